"""What corrupts a scan: simulate it, estimate it, stabilise it."""

from medidiff.noise.background import Background, find_background
from medidiff.noise.chi import add_noncentral_chi
from medidiff.noise.correlated import (
    CtKernel,
    GaussianKernel,
    Kernel,
    KSpaceWindow,
    LinearInterpolation,
    add_correlated,
    add_correlated_rician,
    full_spectrum,
    kernel_correlations,
    power_spectrum,
)
from medidiff.noise.estimate import NoiseEstimate, estimate_noise
from medidiff.noise.gaussian import add_gaussian
from medidiff.noise.low_dose_ct import CtScanner, add_low_dose, low_dose_std, photons_for
from medidiff.noise.rician import add_rician
from medidiff.noise.transform import stabilise, unstabilise
from medidiff.noise.varying import g_factor_map, radial_level_map, smooth_level_map

__all__ = [
    "Background",
    "CtKernel",
    "CtScanner",
    "GaussianKernel",
    "KSpaceWindow",
    "Kernel",
    "LinearInterpolation",
    "NoiseEstimate",
    "add_correlated",
    "add_correlated_rician",
    "add_gaussian",
    "add_low_dose",
    "add_noncentral_chi",
    "add_rician",
    "estimate_noise",
    "find_background",
    "full_spectrum",
    "g_factor_map",
    "kernel_correlations",
    "low_dose_std",
    "photons_for",
    "power_spectrum",
    "radial_level_map",
    "smooth_level_map",
    "stabilise",
    "unstabilise",
]
