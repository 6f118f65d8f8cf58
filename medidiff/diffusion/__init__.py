from medidiff.diffusion.colour import colour, correlations, draw_power, gaussian_power
from medidiff.diffusion.fusion import (
    fill_unobserved,
    fuse,
    fuse_coloured,
    posterior_denoiser,
    posterior_start,
    starting_level,
)
from medidiff.diffusion.gaussian import GaussianDenoiser, wiener_denoise, wiener_error
from medidiff.diffusion.guidance import guided
from medidiff.diffusion.losses import (
    NoisyPair,
    clean_squared_error,
    corrupt,
    corrupt_coloured,
    denoising_error,
    expected_error,
    log_variance_loss,
    mask_error,
)
from medidiff.diffusion.maps import LevelRange, MapDistribution
from medidiff.diffusion.noise_shape import NoiseShape, noise_shape
from medidiff.diffusion.preconditioning import Coefficients, Denoised, Preconditioned, coefficients, loss_weight
from medidiff.diffusion.samplers import sample_dpmpp_2m, sample_euler, sample_heun
from medidiff.diffusion.sampling import SAMPLERS, Samples, sample_posterior, sample_prior
from medidiff.diffusion.schedules import karras_sigmas
from medidiff.diffusion.signatures import Callback, Colour, Denoise, DenoiseMap, Fuse, Sampler
from medidiff.diffusion.strength import blend, distortion, distortion_db

__all__ = [
    "SAMPLERS",
    "Callback",
    "Coefficients",
    "Colour",
    "Denoise",
    "DenoiseMap",
    "Denoised",
    "Fuse",
    "GaussianDenoiser",
    "LevelRange",
    "MapDistribution",
    "NoiseShape",
    "NoisyPair",
    "Preconditioned",
    "Sampler",
    "Samples",
    "blend",
    "clean_squared_error",
    "coefficients",
    "colour",
    "correlations",
    "corrupt",
    "corrupt_coloured",
    "denoising_error",
    "distortion",
    "distortion_db",
    "draw_power",
    "expected_error",
    "fill_unobserved",
    "fuse",
    "fuse_coloured",
    "gaussian_power",
    "guided",
    "karras_sigmas",
    "log_variance_loss",
    "loss_weight",
    "mask_error",
    "noise_shape",
    "posterior_denoiser",
    "posterior_start",
    "sample_dpmpp_2m",
    "sample_euler",
    "sample_heun",
    "sample_posterior",
    "sample_prior",
    "starting_level",
    "wiener_denoise",
    "wiener_error",
]
