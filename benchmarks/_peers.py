"""The peers as a careful user runs them: on the scan scaled to its range, told the noise level.

Where a peer has no model of Rician noise, our variance-stabilising transform and its exact unbiased inverse stand
around it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from benchmarks._noise import Noisy
from medidiff.noise import stabilise, unstabilise

Filter = Callable[[np.ndarray, float, bool, int], np.ndarray]
"""(scan scaled to its range, level in the same unit, Rician, threads) -> denoised."""


def run_peer(name: str, noisy: Noisy, threads: int, informed: bool = False) -> np.ndarray:
    """One peer on one noisy scan, in the scan's unit, float32.

    Args:
        name: One of `PEERS`.
        noisy: The scan and what is known.
        threads: Threads, for the peers that take a number.
        informed: Tell more than one level (bm4d only): the spectrum, or the map by filtering y / sigma(v).
    """
    if name == "bm4d":
        return run_bm4d(noisy, informed)
    # Rician noise needs a scale whose zero is the scan's own.
    lower = 0.0 if noisy.rician else noisy.lower
    scaled = ((noisy.volume.data.astype(np.float64) - lower) / noisy.data_range).astype(np.float32)
    level = noisy.std / noisy.data_range
    inside = noisy.rician and name in _KNOWS_RICIAN
    if noisy.rician and not inside:
        scaled = stabilise(scaled, level)
    out = PEERS[name](scaled, level, inside, threads).astype(np.float32)
    if noisy.rician and not inside:
        out = unstabilise(out, level)
    return (out * np.float32(noisy.data_range) + np.float32(lower)).astype(np.float32)


def run_bm4d(noisy: Noisy, informed: bool) -> np.ndarray:
    """BM4D, default profile; the scan is scaled by the reference's range, nothing is clipped."""
    bm4d = importlib.import_module("bm4d").bm4d  # a peer for the benchmarks only, non-commercial licence
    if not hasattr(np, "trapz"):  # numpy 2.4 took the name away; bm4d 4.2.5 calls it for a spectrum
        setattr(np, "trapz", np.trapezoid)  # noqa: B010
    data, lower, span = noisy.volume.data.astype(np.float64), noisy.lower, noisy.data_range
    if noisy.rician:
        even = np.ascontiguousarray(stabilise(data, noisy.std) / span)
        return unstabilise(bm4d(even, sigma_psd=noisy.std / span) * span, noisy.std).astype(np.float32)
    scaled, level = np.ascontiguousarray((data - lower) / span), noisy.std / span
    if not informed:
        out = bm4d(scaled, sigma_psd=level)
    elif noisy.std_map is not None:
        relative = noisy.std_map.astype(np.float64) / noisy.std
        power = 1.0 if noisy.power is None else noisy.power.astype(np.float64)
        out = bm4d(scaled / relative, sigma_psd=_psd(power, level, scaled.size)) * relative
    elif noisy.power is not None:
        out = bm4d(scaled, sigma_psd=_psd(noisy.power.astype(np.float64), level, scaled.size))
    else:
        raise ValueError(f"{noisy.kind}: nothing to be told beyond the level")
    return (out * span + lower).astype(np.float32)


def _psd(power: float | np.ndarray, level: float, size: int) -> float | np.ndarray:
    """In bm4d's scale: a level s alone stands for the spectrum s^2 * size."""
    return level if isinstance(power, float) else power * (level**2 * size)


# The cheap ones -------------------------------------------------------------------------------------------------------


def nlmeans(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """DIPY's non-local means, its blockwise default."""
    dipy = importlib.import_module("dipy.denoise.nlmeans")
    return dipy.nlmeans(scan, sigma=level, rician=rician, num_threads=threads)


def ascm(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """DIPY's adaptive soft coefficient matching of two non-local means, patch radii 1 and 2, as in its example."""
    dipy = importlib.import_module("dipy.denoise.nlmeans")
    match = importlib.import_module("dipy.denoise.adaptive_soft_matching").adaptive_soft_matching
    fine, coarse = (
        dipy.nlmeans(
            scan, sigma=level, rician=rician, patch_radius=r, block_radius=1, num_threads=threads, method="blockwise"
        )
        for r in (1, 2)
    )
    return match(scan.astype(np.float64), fine.astype(np.float64), coarse.astype(np.float64), level)


def ants_denoise(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """ANTs' adaptive non-local means; it estimates the noise itself, place by place, and takes no level."""
    ants = importlib.import_module("ants")
    image = ants.from_numpy(scan.astype(np.float32))
    # Search radius 2, the default of its command line; antspyx alone defaults to 3, for 2.4 times the time.
    return ants.denoise_image(image, noise_model="Rician" if rician else "Gaussian", r=2).numpy()


def skimage_nlm(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """scikit-image's non-local means, fast mode, told the level."""
    restoration = importlib.import_module("skimage.restoration")
    return restoration.denoise_nl_means(scan, patch_size=3, patch_distance=4, h=NLM_H * level, sigma=level)


def skimage_tv(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """scikit-image's total variation; the weight is a multiple of the level."""
    restoration = importlib.import_module("skimage.restoration")
    return restoration.denoise_tv_chambolle(scan, weight=TV_WEIGHT * level)


def skimage_wavelet(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """scikit-image's BayesShrink, told the level."""
    restoration = importlib.import_module("skimage.restoration")
    return restoration.denoise_wavelet(
        scan, sigma=level, wavelet=WAVELET, mode="soft", method="BayesShrink", rescale_sigma=False
    )


def itk_bilateral(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """SimpleITK's bilateral filter; the range width is a multiple of the level."""
    sitk = importlib.import_module("SimpleITK")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    image = sitk.GetImageFromArray(scan.astype(np.float32))  # its axes are reversed, its voxels 1 x 1 x 1
    return sitk.GetArrayFromImage(sitk.Bilateral(image, BILATERAL_DOMAIN, BILATERAL_RANGE * level))


def itk_curvature(scan: np.ndarray, level: float, rician: bool, threads: int) -> np.ndarray:
    """SimpleITK's curvature flow; it takes no level, so the number of steps grows with it."""
    sitk = importlib.import_module("SimpleITK")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    image = sitk.GetImageFromArray(scan.astype(np.float32))
    steps = max(1, round(CURVATURE_STEPS * level))
    return sitk.GetArrayFromImage(sitk.CurvatureFlow(image, 0.05, steps))


# The best mean PSNR at 3 and 12% on blocks of 28^3 of a val head phantom and a val hippocampus crop, or nearly.
NLM_H = 0.4
TV_WEIGHT = 0.45
WAVELET = "sym4"
BILATERAL_DOMAIN = 0.8
BILATERAL_RANGE = 2.5
CURVATURE_STEPS = 40.0

PEERS: dict[str, Filter] = {
    "dipy nlmeans": nlmeans,
    "dipy ascm": ascm,
    "ants": ants_denoise,
    "skimage nlm": skimage_nlm,
    "skimage tv": skimage_tv,
    "skimage wavelet": skimage_wavelet,
    "itk bilateral": itk_bilateral,
    "itk curvature flow": itk_curvature,
}
_KNOWS_RICIAN = ("dipy nlmeans", "dipy ascm", "ants")
