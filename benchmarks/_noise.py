"""Noise as scanners make it, put on the benchmark's references, with everything that may be told about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks._cases import SEED, Case, crop
from medidiff.diffusion.colour import colour, correlations, gaussian_power
from medidiff.noise import CtScanner, add_low_dose, low_dose_std, photons_for
from medidiff.volume import Volume

KINDS = ("gaussian", "rician", "correlated", "varying", "ct")
LEVELS: dict[str, tuple[float, ...]] = {
    "gaussian": (1.0, 3.0, 5.0, 9.0, 15.0),  # percent of the reference's range
    "rician": (1.0, 3.0, 5.0, 9.0, 15.0),
    "correlated": (0.6, 1.0),  # standard deviation of the in-plane kernel in voxels
    "varying": (4.0,),  # percent where the map is lowest; three times that where it is highest
    "ct": (0.25,),  # of the dose
}
PHANTOMS = ("head", "body", "procedural")
SETS: dict[str, tuple[str, ...]] = {
    "gaussian": ("head", "body", "procedural", "hippocampus", "ixi"),
    "rician": ("head", "procedural", "hippocampus", "ixi", "sarcoma_mr"),
    "correlated": ("head", "body", "procedural", "hippocampus", "ixi"),
    "varying": ("head", "body", "procedural", "hippocampus", "ixi"),
    "ct": ("body", "sarcoma_ct"),
}
CORRELATED_PERCENT = 10.0
VARYING_RATIO = 3.0
SMALL_SHAPE = (40, 40, 24)
"""Block of every kind but gaussian where peers are compared: bm4d takes 11 core seconds for one of 56^3."""
CT_SHAPE = (72, 72, 24)
"""The blocks of CT: a whole cross-section of the phantom's trunk or of the thigh, as far as the case has it."""
PHANTOM_CT_HU = 10.0
"""Noise of the phantoms at full dose, median over soft tissue; a real scan has its own."""
_LEAST_SHARE = 0.1  # of the median level: what is told of voxels where the scanner's floor hides all noise
_WAVES, _FASTEST = 3, 0.75  # of the varying level: cosines, cycles across the block
_OTHER_DRAWS = 8  # from which the spectrum of CT noise is told
_PAD = 8  # coloured noise is made on a larger block, so that it is not periodic


@dataclass(frozen=True, eq=False)
class Noisy:
    """A corrupted reference and what is known of its noise.

    Args:
        kind: One of `KINDS`.
        level: The kind's own number, see `LEVELS`.
        volume: The noisy scan.
        std: Standard deviation of the noise, root mean square over the scan, in its unit (Rician: of each part).
        std_map: The same voxel by voxel where it differs, else None.
        power: Power spectrum on the full FFT grid of the scan, mean 1, where the noise is correlated, else None.
        correlation: One and two voxels apart along each axis (x1, x2, y1, y2, z1, z2), where it is correlated.
        lower: 0.5th percentile of the reference: the peers work on (scan - lower) / data_range.
        data_range: 100% of the noise level.
    """

    kind: str
    level: float
    volume: Volume
    std: float
    lower: float
    data_range: float
    std_map: np.ndarray | None = None
    power: np.ndarray | None = None
    correlation: tuple[float, ...] | None = None

    @property
    def rician(self) -> bool:
        return self.kind == "rician"

    @property
    def informable(self) -> bool:
        """Whether more can be told than one level."""
        return self.std_map is not None or self.power is not None

    @property
    def typical(self) -> float:
        """The median level, which is what an estimate of one number means: of voxels at the floor nothing is seen."""
        data = self.volume.data
        return self.std if self.std_map is None else float(np.median(self.std_map[data > data.min()]))


def label(kind: str, level: float) -> str:
    """How the tables name one setting."""
    if kind == "correlated":
        return f"kernel {level:g}"
    if kind == "varying":
        return f"{level:g} to {VARYING_RATIO * level:g}%"
    return f"dose {level:g}" if kind == "ct" else f"{level:g}%"


def reference(case: Case, kind: str, whole: bool = False) -> Case:
    """The reference of that kind; a magnitude has no negative values.

    Args:
        case: From `load_cases`.
        kind: One of `KINDS`, or anything else for the small block.
        whole: The block as it is for every kind, not only for gaussian.
    """
    clean = case.clean
    if kind != "gaussian" and not whole:
        shape = CT_SHAPE if kind == "ct" else SMALL_SHAPE
        # Centred, but phantoms keep their back, where skin and air are.
        start = [max(0, (n - c) // 2) for n, c in zip(clean.shape, shape, strict=True)]
        if case.set_name in PHANTOMS:
            start[1] = 0
        clean = crop(clean, tuple(start), shape)
    return replace(case, clean=clean.with_data(np.maximum(clean.data, 0)) if kind == "rician" else clean)


def corrupt(case: Case, kind: str, level: float) -> Noisy:
    """The reference with noise of one kind and level; the same case, kind and level give the same bits.

    Args:
        case: From `reference(case, kind)`.
        kind: One of `KINDS`.
        level: See `LEVELS`.
    """
    makers: dict[str, Callable[[Case, float], Noisy]] = {
        "gaussian": _gaussian,
        "rician": _rician,
        "correlated": _correlated,
        "varying": _varying,
        "ct": _ct,
    }
    return makers[kind](case, level)


def generator(case: Case, kind: str, level: float) -> np.random.Generator:
    """The random numbers of one case, kind and level."""
    key = int.from_bytes(hashlib.sha256(f"{case.name} {kind} {level:g}".encode()).digest()[:8], "little")
    return np.random.default_rng([SEED, key])


def unit_coloured(
    shape: tuple[int, int, int], width: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Noise of unit variance, blurred in the plane (x, y): itself, its spectrum on the full grid, its correlations."""
    x, y, z = shape
    padded = (x + 2 * _PAD, y + 2 * _PAD, z)
    white = torch.from_numpy(rng.standard_normal(padded, dtype=np.float32))
    noise = colour(white, gaussian_power(padded, (width, width, 0.0)))[_PAD:-_PAD, _PAD:-_PAD].numpy()
    half = gaussian_power(shape, (width, width, 0.0)).expand(x, y, z // 2 + 1)
    covariance = torch.fft.irfftn(half.to(torch.complex64), s=shape)
    power = torch.fft.fftn(covariance).real.clamp_min(0).numpy()
    known = tuple(float(c) for c in correlations(half, shape))
    return noise, power, known


def _gaussian(case: Case, level: float) -> Noisy:
    return _noisy(case, "gaussian", level, case.noisy(level).data, case.noise_std(level))


def _rician(case: Case, level: float) -> Noisy:
    # Written out, not `medidiff.noise.add_rician`: what is measured should not simulate its own test.
    std, rng = case.noise_std(level), generator(case, "rician", level)
    real = case.clean.data + std * rng.standard_normal(case.clean.shape)
    return _noisy(case, "rician", level, np.hypot(real, std * rng.standard_normal(case.clean.shape)), std)


def _correlated(case: Case, level: float) -> Noisy:
    std = case.noise_std(CORRELATED_PERCENT)
    noise, power, known = unit_coloured(_shape(case), level, generator(case, "correlated", level))
    noisy = _noisy(case, "correlated", level, case.clean.data + std * noise, std)
    return replace(noisy, power=power, correlation=known)


def _shape(case: Case) -> tuple[int, int, int]:
    x, y, z = case.clean.shape
    return x, y, z


def _varying(case: Case, level: float) -> Noisy:
    rng = generator(case, "varying", level)
    shape = smooth_field(_shape(case), rng)
    std_map = case.noise_std(level) * (1 + (VARYING_RATIO - 1) * shape)
    noisy = case.clean.data + std_map * rng.standard_normal(case.clean.shape)
    std = float(np.sqrt(np.mean(std_map**2)))
    return replace(_noisy(case, "varying", level, noisy, std), std_map=std_map.astype(np.float32))


def _ct(case: Case, level: float) -> Noisy:
    """Through the sinogram; the full dose is what gives a real scan its own noise."""
    from benchmarks._scores import own_level  # not above: the scores need this file

    clean, spacing = case.clean.data, case.clean.spacing_mm
    phantom = case.set_name in PHANTOMS
    # A phantom's voxels are so large that its noise takes few photons: electronic noise of a usual scanner's five would
    # drown them.
    kind = CtScanner(electronic_std=0.0) if phantom else CtScanner()
    scanner = photons_for(clean, spacing, PHANTOM_CT_HU if phantom else own_level(case), kind)
    data = add_low_dose(clean, spacing, level, generator(case, "ct", level), scanner, own_noise=not phantom)
    std_map = low_dose_std(clean, spacing, level, scanner, own_noise=not phantom)
    seen = std_map > 0
    std_map = np.maximum(std_map, _LEAST_SHARE * float(np.median(std_map[seen]))).astype(np.float32)
    # What is told of the spectrum comes from other draws than the one to be removed, where no floor cuts them off.
    spectrum = np.zeros(clean.shape)
    for i in range(_OTHER_DRAWS):
        other = add_low_dose(clean, spacing, level, generator(case, f"ct {i}", level), scanner, own_noise=not phantom)
        unit = np.where(seen & (other > float(other.min())), (other - clean) / std_map, 0)
        spectrum += np.abs(np.fft.fftn(unit)) ** 2
    power = (spectrum / spectrum.mean()).astype(np.float32)
    std = float(np.sqrt(np.mean(std_map[seen] ** 2)))
    noisy = _noisy(case, "ct", level, data, std)
    volume = replace(noisy.volume, modality="CT")  # as a DICOM series or --modality says
    return replace(noisy, volume=volume, std_map=std_map, power=power, correlation=_near(power))


def _near(power: np.ndarray) -> tuple[float, ...]:
    """Correlation one and two voxels apart along each axis (x1, x2, y1, y2, z1, z2), of a spectrum on the full grid."""
    covariance = np.fft.ifftn(power).real
    x, y, z = covariance[:3, 0, 0], covariance[0, :3, 0], covariance[0, 0, :3]
    return tuple(float(axis[lag] / covariance[0, 0, 0]) for axis in (x, y, z) for lag in (1, 2))


def smooth_field(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """A field from exactly 0 to exactly 1 that no axis takes through more than `_FASTEST` cycles a wave."""
    grid = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij", sparse=True)
    field = np.zeros(shape)
    for _ in range(_WAVES):
        cycles, phase = rng.uniform(-_FASTEST, _FASTEST, 3), rng.uniform(0, 2 * np.pi)
        field += np.cos(2 * np.pi * sum(c * g for c, g in zip(cycles, grid, strict=True)) + phase)
    return (field - field.min()) / (field.max() - field.min())


def _noisy(case: Case, kind: str, level: float, data: np.ndarray, std: float) -> Noisy:
    return Noisy(kind, level, case.clean.with_data(data.astype(np.float32)), std, case.lower, case.data_range)
