"""Patients that no prior was trained on, and the noise of each kind put on them, for the calibration of intervals."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks._cases import DATA, _one_case_per_patient, centre
from medidiff.cohort.own_noise import own_noise_level
from medidiff.cohort.sources import block_mean
from medidiff.diffusion.colour import colour, correlations, gaussian_power, normalised
from medidiff.evaluate import foreground_mask
from medidiff.intensity import Normalisation
from medidiff.io import read_nifti
from medidiff.tasks.known_noise import WHITE, KnownNoise
from medidiff.volume import Volume

KINDS = ("gaussian", "rician", "correlated", "varying", "ct")
LEVELS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Percent of the reference's range; of a map its root mean square."""
EDGE = 48
"""Voxels along each side of a phantom: one network evaluation is a tenth of a second."""
# Training draws phantoms below 100 000 and validates just above; other benchmarks take 900 000 to 919 999.
SEEDS = {"val": 950_000, "holdout": 960_000}
PHANTOMS = {"procedural": 16, "head": 10, "body": 22}
"""Phantoms of each kind, each a patient; as many bodies as CT alone needs for 20."""
REAL = {"ixi": 12, "hippocampus": 12}
"""At most so many real patients of a set; val has 12 and 6."""


@dataclass(frozen=True, eq=False)
class Patient:
    """One reference.

    Args:
        set_name: procedural, head, body, ixi or hippocampus.
        name: Unique; the noise is drawn from it.
        clean: Reference.
        tau: Its own white noise, in its unit; 0 for phantoms.
        modality: mr or ct.
    """

    set_name: str
    name: str
    clean: Volume
    tau: float = 0.0
    modality: str = "mr"

    @property
    def data_range(self) -> float:
        """99.5th minus 0.5th percentile: 100% of the noise level."""
        low, high = np.percentile(self.clean.data, [0.5, 99.5])
        return float(high - low)

    @property
    def foreground(self) -> np.ndarray:
        return foreground_mask(self.clean.data, self.modality)

    def kinds(self) -> tuple[str, ...]:
        """CT noise is put on bodies only, a magnitude's on what is none."""
        return ("gaussian", "correlated", "varying", "ct") if self.modality == "ct" else KINDS[:4]


def patients(split: str, limit: int | None = None) -> Iterator[Patient]:
    """All patients of a split: phantoms of its own seeds and real patients of its own."""
    for set_name, count in PHANTOMS.items():
        for seed in range(SEEDS[split], SEEDS[split] + min(count, limit or count)):
            yield _phantom(set_name, seed)
    for set_name, count in REAL.items():
        rows = _one_case_per_patient(set_name, split)[: min(count, limit or count)]
        for row in rows:
            yield _real(set_name, row["case"])


def noisy(patient: Patient, kind: str, percent: float) -> tuple[Volume, KnownNoise]:
    """The reference with noise, and all that is to be known of it: own and added noise together.

    Args:
        patient: The reference.
        kind: One of `KINDS`.
        percent: Level of the total noise, of the reference's range.
    """
    rng = np.random.default_rng([zlib.crc32(f"{patient.name} {kind} {percent:g}".encode())])
    total = percent / 100 * patient.data_range
    (x, y, z), clean = patient.clean.shape, patient.clean.data.astype(np.float32)
    level = total * _map(patient, kind, rng)
    added = np.sqrt(np.maximum(level**2 - patient.tau**2, 0)).astype(np.float32)
    noise, correlation = _unit_noise((x, y, z), kind, rng)
    level = np.sqrt(added**2 + patient.tau**2).astype(np.float32)
    if kind == "rician":
        second = rng.standard_normal((x, y, z)).astype(np.float32)
        data = np.hypot(clean + added * noise, added * second)
    else:
        data = clean + added * noise
    share = float(np.mean(added**2 / level**2))  # the reference's own noise is white
    known = KnownNoise(
        "rician" if kind == "rician" else "gaussian",
        level if kind in ("varying", "ct") else float(level.mean()),
        tuple(share * r for r in correlation),  # pyright: ignore[reportArgumentType]
        source="map" if kind in ("varying", "ct") else "given",
    )
    return patient.clean.with_data(data.astype(np.float32)), known


def _map(patient: Patient, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Relative level, root mean square 1: constant, smooth over a factor of 3, or by what rays pass through in CT."""
    shape = patient.clean.shape
    if kind == "varying":
        directions = rng.standard_normal(3)
        places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"), axis=-1)
        along = places @ (directions / np.linalg.norm(directions))
        low, high = along.min(), along.max()
        relative = 3.0 ** ((along - low) / (high - low))
    elif kind == "ct":
        # Counts fall by exp(-path); a voxel's variance is about the mean of exp(path) over the rays through it, of
        # which two directions are taken: water attenuates 0.019 a millimetre.
        density = np.clip(1 + patient.clean.data / 1000, 0, None)
        dx, dy, _ = patient.clean.spacing_mm
        across, down = (density.sum(axis=a, keepdims=True) * d for a, d in ((0, dx), (1, dy)))
        relative = np.sqrt(np.exp(0.019 * across) + np.exp(0.019 * down))
        relative = np.clip(relative, 0, np.quantile(relative, 0.95))
    else:
        return np.ones((1, 1, 1), dtype=np.float32)
    return (relative / np.sqrt(np.mean(relative**2))).astype(np.float32)


def _unit_noise(
    shape: tuple[int, int, int], kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Noise of unit variance, and its correlation."""
    white = rng.standard_normal(shape).astype(np.float32)
    if kind == "correlated":
        width = rng.uniform(0.6, 1.0)
        power = gaussian_power(shape, (width, width, 0.0))
    elif kind == "ct":
        f = [torch.fft.fftfreq(n) for n in shape[:2]]
        radius = (f[0][:, None, None] ** 2 + f[1][None, :, None] ** 2).sqrt()
        power = (radius + 0.01) * torch.exp(-((radius / rng.uniform(0.2, 0.4)) ** 2))
        power = normalised(power.expand(*shape[:2], shape[2] // 2 + 1), shape)
    else:
        return white, WHITE
    power = power.expand(*shape[:2], shape[2] // 2 + 1)
    return colour(torch.from_numpy(white), power).numpy(), tuple(correlations(power, shape).tolist())


def _phantom(set_name: str, seed: int) -> Patient:
    size = (EDGE, EDGE, EDGE)
    name = f"{set_name}-{seed}"
    if set_name == "head":
        from medidiff.phantoms.head import head_phantom

        made = head_phantom(size, (3.0, 3.0, 3.0), seed=seed)
        return Patient(set_name, name, Volume(made.data, made.affine_ras))
    if set_name == "body":
        from medidiff.phantoms.body import body_phantom

        made = body_phantom(size, (6.0, 6.0, 6.0), seed=seed)
        return Patient(set_name, name, Volume(made.data, made.affine_ras, modality="CT"), modality="ct")
    from medidiff.phantoms.procedural import procedural_volume

    made = procedural_volume(size, seed)
    return Patient(set_name, name, Volume.from_array(made - made.min()))  # a magnitude has no negative values


def _real(set_name: str, case: str) -> Patient:
    """A head averaged over 2 voxels a side (its own noise falls to 0.35), or a hippocampus as it is."""
    folder = DATA / set_name / "images"
    path = folder / f"{case}.nii.gz" if set_name == "hippocampus" else next(folder.glob(f"*{case}*"))
    full = read_nifti(path)
    values = full.data.astype(np.float32)
    factor = 2 if set_name == "ixi" else 1
    recipe = Normalisation.fit(values)
    own = own_noise_level(recipe.forward(values)) * recipe.scale / math.sqrt(factor**3)
    data = block_mean(values, (factor, factor, factor))
    affine = full.affine_ras.copy()
    affine[:3, :3] *= factor
    volume = centre(Volume(data, affine), (EDGE + 8, EDGE + 8, EDGE))
    return Patient(set_name, case, volume, tau=own)


__all__ = ["KINDS", "LEVELS", "Patient", "noisy", "patients"]
