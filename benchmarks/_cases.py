"""The scans the denoising benchmark runs on: noise-free phantoms and real patients, cropped, in their own units."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medidiff.evaluate import foreground_mask
from medidiff.io import read_nifti
from medidiff.phantoms.solids import Phantom
from medidiff.volume import Volume

DATA = Path(os.environ.get("MEDIDIFF_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SEED = 20261120
# Training draws procedural volumes from seeds below 100 000; each split has its own block, far above.
PHANTOM_SEEDS = {"val": 900_000, "holdout": 910_000}
PHANTOM_SHAPE = (56, 56, 56)
IXI_SHAPE = (72, 72, 56)
CT_SHAPE = (72, 72, 24)
MR_SHAPE = (72, 72, 24)
REAL_SETS = ("hippocampus", "ixi", "sarcoma_ct", "sarcoma_mr")
DEFAULT_SETS = ("head", "body", "procedural", "hippocampus", "ixi")


@dataclass(frozen=True, eq=False)
class Case:
    """One reference scan.

    Args:
        set_name: Which set it belongs to.
        name: Unique name; the noise is drawn from it.
        clean: Reference. Phantoms are free of noise; real scans carry their own.
        modality: "mr" or "ct", for the foreground.
    """

    set_name: str
    name: str
    clean: Volume
    modality: str = "mr"

    @property
    def lower(self) -> float:
        """0.5th percentile of the reference."""
        return float(np.percentile(self.clean.data, 0.5))

    @property
    def data_range(self) -> float:
        """99.5th minus 0.5th percentile of the reference: the range of PSNR and SSIM, and 100% of the noise level."""
        return float(np.percentile(self.clean.data, 99.5)) - self.lower

    @property
    def foreground(self) -> np.ndarray:
        return foreground_mask(self.clean.data, self.modality)

    def noise_std(self, percent: float) -> float:
        """Noise standard deviation in the scan's own unit."""
        return percent / 100 * self.data_range

    def noisy(self, percent: float) -> Volume:
        """The reference plus white Gaussian noise; the same case and level give the same bits."""
        key = int.from_bytes(hashlib.sha256(f"{self.name} {percent:g}".encode()).digest()[:8], "little")
        noise = np.random.default_rng([SEED, key]).standard_normal(self.clean.shape)
        return self.clean.with_data((self.clean.data + self.noise_std(percent) * noise).astype(np.float32))


def load_cases(set_name: str, split: str, limit: int | None = None) -> list[Case]:
    """The cases of one set: phantoms of the split's own seeds, or one scan of each of its patients."""
    makers: dict[str, Callable[[str], Iterator[Case]]] = {
        "head": _head,
        "body": _body,
        "procedural": _procedural,
        "hippocampus": _hippocampus,
        "ixi": _ixi,
        "sarcoma_ct": _sarcoma_ct,
        "sarcoma_mr": _sarcoma_mr,
    }
    if set_name not in makers:
        raise SystemExit(f"--sets {set_name}: must be among {', '.join(makers)}.")
    cases = []
    for case in makers[set_name](split):
        if limit is not None and len(cases) >= limit:
            break
        cases.append(case)
    return cases


# Phantoms -------------------------------------------------------------------------------------------------------------


def _head(split: str) -> Iterator[Case]:
    from medidiff.phantoms.head import head_phantom

    for seed in range(PHANTOM_SEEDS[split], PHANTOM_SEEDS[split] + 3):
        yield _phantom_case("head", head_phantom(seed=seed), seed)


def _body(split: str) -> Iterator[Case]:
    from medidiff.phantoms.body import body_phantom

    for seed in range(PHANTOM_SEEDS[split], PHANTOM_SEEDS[split] + 3):
        yield _phantom_case("body", body_phantom(seed=seed), seed)


def _phantom_case(set_name: str, phantom: Phantom, seed: int) -> Case:
    # Central in x and z, from the back in y: skin, background and the inside are all in it.
    volume = Volume(phantom.data, phantom.affine_ras)
    start = ((volume.shape[0] - PHANTOM_SHAPE[0]) // 2, 8, (volume.shape[2] - PHANTOM_SHAPE[2]) // 2)
    modality = "ct" if set_name == "body" else "mr"  # the body phantom is in HU
    return Case(set_name, f"{set_name}_{seed}", crop(volume, start, PHANTOM_SHAPE), modality)


def _procedural(split: str) -> Iterator[Case]:
    from medidiff.phantoms.procedural import procedural_volume

    for seed in range(PHANTOM_SEEDS[split], PHANTOM_SEEDS[split] + 4):
        yield Case("procedural", f"procedural_{seed}", Volume.from_array(procedural_volume(PHANTOM_SHAPE, seed)))


# Real scans -----------------------------------------------------------------------------------------------------------


def _hippocampus(split: str) -> Iterator[Case]:
    for row in _one_case_per_patient("hippocampus", split)[:6]:
        volume = read_nifti(DATA / "hippocampus" / "images" / f"{row['case']}.nii.gz")
        yield Case("hippocampus", row["case"], volume)


def _ixi(split: str) -> Iterator[Case]:
    for row in _one_case_per_patient("ixi", split)[:4]:
        volume = read_nifti(next((DATA / "ixi" / "images").glob(f"*{row['case']}*")))
        yield Case("ixi", row["case"], centre(volume, IXI_SHAPE))


def _sarcoma_ct(split: str) -> Iterator[Case]:
    for row in _one_case_per_patient("sarcoma", split)[:4]:
        volume = read_nifti(DATA / "sarcoma" / row["case"] / "CT_image.nii.gz")
        yield Case("sarcoma_ct", f"{row['case']}_ct", centre(volume, CT_SHAPE), modality="ct")


def _sarcoma_mr(split: str) -> Iterator[Case]:
    for row in _one_case_per_patient("sarcoma", split)[:4]:
        volume = read_nifti(DATA / "sarcoma" / row["case"] / "MR_T1_image.nii.gz")
        yield Case("sarcoma_mr", f"{row['case']}_mr", centre(volume, MR_SHAPE))


def _one_case_per_patient(folder: str, split: str) -> list[dict[str, str]]:
    path = DATA / folder / "participants.tsv"
    if not path.is_file():
        raise SystemExit(f"no real scans at {path.parent}: set MEDIDIFF_DATA to the folder that holds {folder}/.")
    patients: dict[str, dict[str, str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == split:
                patients.setdefault(row.get("patient", row["case"]), row)
    return list(patients.values())


def centre(volume: Volume, shape: tuple[int, int, int]) -> Volume:
    """The central block, as large as the volume allows."""
    return crop(volume, tuple(max(0, (n - c) // 2) for n, c in zip(volume.shape, shape, strict=True)), shape)


def crop(volume: Volume, start: tuple[int, ...], shape: tuple[int, int, int]) -> Volume:
    """A block of a volume at its place in space."""
    affine = volume.affine_ras.copy()
    affine[:3, 3] += affine[:3, :3] @ np.asarray(start, dtype=np.float64)
    block = volume.data[tuple(slice(s, s + c) for s, c in zip(start, shape, strict=True))]
    return Volume(np.ascontiguousarray(block, dtype=np.float32), affine, name=volume.name)
