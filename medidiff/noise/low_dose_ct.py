"""A CT scan as it had been with a fraction of its dose: noise made in the sinogram, in Hounsfield units.

    mu = mu_water (1 + HU / 1000)    p = integral of mu along a ray, in cm    counts = Poisson(I0 e^-p) + N(0, s_e^2)
    p_low = ln(I0 / max(counts, 1))                                   (Massoumzadeh et al. 2009; Zeng et al. 2015)

Only p_low - p is filtered, projected back and added: the scan itself is not resampled, so nothing is blurred. A scan
that has the noise of its own dose already gets what is missing at the fraction a of it: counts whose mean is
a I0 e^-p, with the variance a (1 - a) I0 e^-p + (1 - a^2) s_e^2 (Yu et al. 2012).

The logarithm of few counts is too large in the mean, by about variance / (2 mean^2). Scanners correct that before they
reconstruct, and here its expectation is taken off: without it soft tissue behind 50 counts a ray is 1 to 4 HU too
bright, which no filter of the image can know.

Left out: beam hardening, scatter, the bowtie filter, tube current modulation, and the noise that neighbouring slices of
a spiral scan share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Shaped

from medidiff.errors import NoiseError, UsageError
from medidiff.noise.gaussian import in_type
from medidiff.noise.parallel_beam import WINDOWS, ParallelBeam, View

_VIEWS = 1000  # the views that `photons` and `electronic_std` are stated for
_SLICES = 32  # at a time, which bounds the memory
_TISSUE_HU = -500.0
_CUT = 0.02  # share of the border that is tissue: above it the field of view cuts the body
_BODY_CM = 30.0
_NO_COUNTS = 1e-3  # photons of a reading: fewer are noise of the electronics alone
_ATTEMPTS, _CLOSE = 8, 0.005  # to find the photons: projections of one slice, and the relative error that will do


@dataclass(frozen=True)
class CtScanner:
    """What decides the noise of a CT scan.

    Args:
        photons: I0, photons at full dose in a ray of a voxel's width and a slice's thickness through air, in one of
            1000 views. With fewer views each has more, so that the noise does not depend on how many are simulated.
        electronic_std: s_e, electronic noise of one such reading, in photons.
        window: Reconstruction kernel: the ramp with ramp (none), shepp-logan, cosine, hamming or hann.
        cutoff: Frequency above which the kernel leaves nothing, as a share of the voxels' Nyquist frequency.
        mu_water_per_cm: Attenuation of water; 0.19 is 120 kVp at about 72 keV (NIST: 0.206 at 60, 0.184 at 80 keV).
        body_cm: Diameter of the body where the field of view cuts it. The missing path is taken to be a cylinder of
            water round the middle of the field. None: 30 where more than 2% of the border in the x-y plane is above
            -500 HU, else 0 (the whole body is in the field).
        floor_hu: Smallest value the scanner writes. Noise is cut off there, and voxels at it or below stay as they are.
            None: the scan's smallest value where that is -1000 to -1030 HU, else -1024.

    Raises:
        NoiseError: A value is out of range.
    """

    photons: float = 2e5
    electronic_std: float = 5.0
    window: str = "hann"
    cutoff: float = 1.0
    mu_water_per_cm: float = 0.19
    body_cm: float | None = None
    floor_hu: float | None = None

    def __post_init__(self) -> None:
        bounds = {
            "photons": (self.photons, 10, 1e12),
            "electronic_std": (self.electronic_std, 0, 1e6),
            "cutoff": (self.cutoff, 0.1, 1),
            "mu_water_per_cm": (self.mu_water_per_cm, 0.05, 1),
            "body_cm": (self.body_cm or 0.0, 0, 100),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise NoiseError(f"{name} {value:g}: must be from {low:g} to {high:g}.")
        if self.window not in WINDOWS:
            raise NoiseError(f"window {self.window}: must be one of {', '.join(WINDOWS)}.")


def add_low_dose(
    hu: Shaped[np.ndarray, "x y z"],
    spacing_mm: tuple[float, float, float],
    dose: float,
    rng: np.random.Generator,
    scanner: CtScanner | None = None,
    *,
    own_noise: bool = True,
) -> Shaped[np.ndarray, "x y z"]:
    """The scan at a fraction of its dose.

    Args:
        hu: CT scan in HU with axial slices across z. A scan of whole numbers comes back in its type, rounded.
        spacing_mm: Voxel size; the same along x and y.
        dose: The fraction a, over 0 to 1.
        rng: Source of randomness.
        scanner: Photons, kernel and so on; None: `CtScanner()`. `photons_for` finds the photons from a scan's noise.
        own_noise: Whether the scan has the noise of its full dose. False: it is noise-free (a phantom), and gets all of
            the noise.

    Raises:
        NoiseError: The dose is out of range, or is 1 where nothing would be added.
        UsageError: Voxels are not square in the x-y plane.
    """
    _check_dose(dose, own_noise)
    scanner = scanner or CtScanner()
    noise = np.zeros(hu.shape, np.float32)
    for slices, beam, view, p in _each_path(hu, spacing_mm, scanner):
        many = _VIEWS / beam.views
        mean = dose * scanner.photons * many * np.exp(-np.minimum(p, 60))
        spread = mean * (1 - dose) if own_noise else mean
        electronic = scanner.electronic_std * math.sqrt(many * (1 - dose**2 if own_noise else 1))
        counts = mean + (rng.poisson(spread) - spread) + electronic * rng.standard_normal(p.shape)
        error = np.log(mean / np.maximum(counts, 1.0))  # p_low - p, since mean is a I0 e^-p
        error -= _expected(mean, 1 - dose if own_noise else 1.0, electronic)
        noise[:, :, slices] += _image(beam.back(view, beam.filter(error)), noise.shape)
    noise *= 1000 / scanner.mu_water_per_cm
    floor = _floor(hu, scanner)
    kept = hu <= floor
    noise += hu
    np.maximum(noise, floor, out=noise)
    return np.where(kept, hu, in_type(noise, hu.dtype))


def low_dose_std(
    hu: Shaped[np.ndarray, "x y z"],
    spacing_mm: tuple[float, float, float],
    dose: float,
    scanner: CtScanner | None = None,
    *,
    own_noise: bool = True,
) -> Float[np.ndarray, "x y z"]:
    """Standard deviation in HU of the noise that `add_low_dose` adds, voxel by voxel, without drawing any.

    Exact to first order in the noise of a reading, before the values are cut off at the floor; 0 where voxels stay as
    they are. Where a scan has noise of its own, its total is the root of the sum of both squares.

    Args:
        hu: As for `add_low_dose`.
        spacing_mm: As for `add_low_dose`.
        dose: As for `add_low_dose`.
        scanner: As for `add_low_dose`.
        own_noise: As for `add_low_dose`.

    Raises:
        NoiseError: The dose is out of range.
        UsageError: Voxels are not square in the x-y plane.
    """
    _check_dose(dose, own_noise)
    scanner = scanner or CtScanner()
    variance = np.zeros(hu.shape, np.float32)
    for slices, beam, view, p in _each_path(hu, spacing_mm, scanner):
        many = _VIEWS / beam.views
        mean = dose * scanner.photons * many * np.exp(-np.minimum(p, 60))
        electronic = scanner.electronic_std**2 * many
        added = mean * (1 - dose) + electronic * (1 - dose**2) if own_noise else mean + electronic
        variance[:, :, slices] += _image(beam.back_variance(view, added / mean**2), variance.shape)
    std = np.sqrt(np.maximum(variance, 0)) * np.float32(1000 / scanner.mu_water_per_cm)
    return np.where(hu <= _floor(hu, scanner), np.float32(0), std)


def photons_for(
    hu: Shaped[np.ndarray, "x y z"],
    spacing_mm: tuple[float, float, float],
    noise_std_hu: float,
    scanner: CtScanner | None = None,
) -> CtScanner:
    """The scanner with the photons that give a scan of this body its noise.

    Args:
        hu: Scan in HU.
        spacing_mm: Voxel size.
        noise_std_hu: Noise of the scan as it is: the median over soft tissue (-200 to 300 HU) of its middle slice.
        scanner: Everything else; None: `CtScanner()`.

    Raises:
        NoiseError: The level is not positive, or the middle slice has no soft tissue.
    """
    if not (math.isfinite(noise_std_hu) and noise_std_hu > 0):
        raise NoiseError(f"noise_std_hu {noise_std_hu:g}: must be a positive number of HU.")
    scanner = scanner or CtScanner()
    middle = hu[:, :, hu.shape[2] // 2 :][:, :, :1]
    tissue = (middle > -200) & (middle < 300)
    if not tissue.any():
        raise NoiseError("the middle slice has no soft tissue (-200 to 300 HU): is the scan in HU? Give the photons.")
    slope, last = -1.0, (0.0, 0.0)
    for attempt in range(_ATTEMPTS):
        std = float(np.median(low_dose_std(middle, spacing_mm, 1.0, scanner, own_noise=False)[tissue]))
        now = (math.log(scanner.photons), 2 * math.log(std / noise_std_hu))
        if abs(now[1]) < 2 * _CLOSE:
            break
        if attempt and now[0] != last[0]:  # the variance goes as 1 / photons, and as their square in electronic noise
            slope = min(max((now[1] - last[1]) / (now[0] - last[0]), -2.0), -1.0)
        last = now
        scanner = replace(scanner, photons=float(np.clip(math.exp(now[0] - now[1] / slope), 10, 1e12)))
    return scanner


def _expected(mean: np.ndarray, poisson: float, electronic: float) -> np.ndarray:
    """Expectation of ln(mean / max(counts, 1)): counts normal about their mean, variance poisson * mean + electronic^2.

    By Gauss-Hermite quadrature at 256 means, and linearly in their logarithm between them. Below a mean of 1e-3 (behind
    metal) counts do not depend on it.
    """
    z, weights = np.polynomial.hermite_e.hermegauss(64)
    levels = np.geomspace(max(float(mean.min()), _NO_COUNTS), max(float(mean.max()), 2 * _NO_COUNTS), 256)
    counts = levels[:, None] + np.sqrt(poisson * levels + electronic**2)[:, None] * z
    table = np.log(levels[:, None] / np.maximum(counts, 1.0)) @ (weights / weights.sum())
    below = np.log(np.minimum(mean / _NO_COUNTS, 1))
    return np.interp(np.log(mean) - below, np.log(levels), table) + below


def _each_path(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], scanner: CtScanner
) -> Iterator[tuple[slice, ParallelBeam, View, np.ndarray]]:
    """Slices, geometry, view and the path integrals p (detectors, slices) of each view of each stack of slices."""
    if abs(spacing_mm[0] - spacing_mm[1]) > 0.01 * spacing_mm[0]:
        raise UsageError(
            f"spacing {spacing_mm[0]:g} x {spacing_mm[1]:g} mm: voxels must be square in the axial plane (x, y) to "
            "simulate a sinogram. Resample the scan to square voxels first."
        )
    shape = (hu.shape[0], hu.shape[1])
    beam = ParallelBeam(shape, spacing_mm[0] / 10, 180, scanner.window, scanner.cutoff)
    beam = replace(beam, views=max(180, math.ceil(beam.detectors * math.pi / 2)))
    body_cm = _body(hu, scanner)
    field = np.ones((shape[0] * shape[1], 1), np.float32)
    for start in range(0, hu.shape[2], _SLICES):
        slices = slice(start, start + _SLICES)
        part = hu[:, :, slices].reshape(shape[0] * shape[1], -1).astype(np.float32)
        mu = np.maximum(scanner.mu_water_per_cm * (1 + part / 1000), 0)
        for view in beam.each_view():
            p = beam.project(view, mu)
            if body_cm:
                chord = 2 * np.sqrt(np.maximum((body_cm / 2) ** 2 - view.at**2, 0))[:, None]
                p = p + scanner.mu_water_per_cm * np.maximum(chord - beam.project(view, field), 0)
            yield slices, beam, view, p


def _body(hu: np.ndarray, scanner: CtScanner) -> float:
    """Diameter in cm of the cylinder of water that stands for what the field of view has cut off; 0: nothing."""
    if scanner.body_cm is not None:
        return scanner.body_cm
    border = np.concatenate([hu[0], hu[-1], hu[:, 0], hu[:, -1]])
    return _BODY_CM if np.mean(border > _TISSUE_HU) > _CUT else 0.0


def _floor(hu: np.ndarray, scanner: CtScanner) -> float:
    """The smallest value the scanner writes."""
    if scanner.floor_hu is not None:
        return scanner.floor_hu
    lowest = float(hu.min())
    return lowest if -1030 <= lowest <= -1000 else -1024.0


def _image(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return values.reshape(shape[0], shape[1], -1)


def _check_dose(dose: float, own_noise: bool) -> None:
    if not 0 < dose <= 1 or (own_noise and dose == 1):
        accepted = "over 0 and below 1 (the scan has its full dose's noise already)" if own_noise else "over 0 to 1"
        raise NoiseError(f"dose {dose:g}: must be a fraction {accepted}, such as 0.25.")


__all__ = ["CtScanner", "add_low_dose", "low_dose_std", "photons_for"]
