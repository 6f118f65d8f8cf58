"""Two readers on one folder: which volume of one is which of the other, and how far apart they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._dcm2niix import Second, convert
from medidiff.errors import MedidiffError
from medidiff.io.dicom.files import looks_like_dicom
from medidiff.io.dicom.model import Candidate
from medidiff.io.dicom.pixels import stored_plane
from medidiff.io.dicom.read import read_candidate
from medidiff.io.dicom.scan import scan_dicom
from medidiff.volume import Volume

MAX_MM = 1e-3
FLOAT32_ROUNDINGS = 4 * float(np.finfo(np.float32).eps)
"""Of the largest value: slope times stored plus intercept, in float32 by one and in float64 by the other."""
DERIVED = ("_Tilt", "_Eq")
"""What dcm2niix's file names say where it interpolated; the same voxels as they were measured stand in another file."""


@dataclass(frozen=True)
class Difference:
    """Two volumes, voxel by voxel at the same place in the world.

    Args:
        value: Largest difference of two values.
        relative: The same over the largest absolute value.
        mm: Largest distance between where the two have one voxel.
    """

    value: float
    relative: float
    mm: float

    @property
    def agrees(self) -> bool:
        return self.relative <= FLOAT32_ROUNDINGS and self.mm <= MAX_MM


@dataclass(frozen=True)
class Row:
    """One series.

    Args:
        folder: Relative to the set.
        modality: Of the series.
        second: What dcm2niix makes.
        own: What medidiff makes.
        verdict: "agree", "refused" or "not a volume" with codes, or "differ".
        value, mm: Largest differences over all volumes; None where nothing is compared.
        remark: Why they differ, or what is refused.
    """

    folder: str
    modality: str
    second: str
    own: str
    verdict: str
    value: float | None = None
    relative: float | None = None
    mm: float | None = None
    remark: str = ""
    codes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def leaf_folders(root: Path) -> Iterator[Path]:
    """Folders in `root` that hold DICOM files and no folders, in order."""
    for folder in sorted({path.parent for path in root.rglob("*") if path.is_file()}):
        inside = list(folder.iterdir())
        if not any(path.is_dir() for path in inside) and looks_like_dicom(folder):
            yield folder


def compare_folder(folder: Path, root: Path, remarks: Mapping[str, str] | None = None) -> list[Row]:
    """One row for each series in a folder; none where there is no DICOM image."""
    scan = scan_dicom(folder)
    # For Philips the standard's RescaleSlope and RescaleIntercept, as everywhere else, instead of Philips' own scale.
    # Not for others: with it dcm2niix takes the slope of the first slice for all.
    philips = any("philips" in candidate.series.manufacturer.lower() for candidate in scan.candidates)
    second = convert(folder, "-d", "0", *(("-p", "n") if philips else ()), name="%j")
    rows = []
    for uid in dict.fromkeys(candidate.series.series_uid for candidate in scan.candidates):
        own = [candidate for candidate in scan.candidates if candidate.series.series_uid == uid]
        theirs = [one for one in second if one.name.startswith(uid)]
        name = str(folder.relative_to(root))
        rows.append(compare_series(name, own, theirs, (remarks or {}).get(name, "")))
    return rows


def compare_series(name: str, own: list[Candidate], second: list[Second], remark: str = "") -> Row:
    """Hold all candidates of one series against all files dcm2niix makes of it."""
    volumes, codes, read = [], [], []
    for candidate in own:
        if candidate.refusal is not None:
            codes.append(candidate.refusal.code)
            continue
        try:
            volumes.append(read_candidate(candidate).volume)
            read.append(candidate)
        except MedidiffError:
            codes.append("unreadable")
    theirs = [volume for one in second if not any(word in one.name for word in DERIVED) for volume in one.volumes]
    found = [nearest(volume, theirs) for volume in volumes]
    known = [one for one in found if one is not None]
    if codes and not volumes:
        verdict = " + ".join(sorted({f"{c.status}: {c.refusal.code}" for c in own if c.refusal}) or ["unreadable"])
    elif len(known) == len(volumes) and all(one.agrees for one in known) and (codes or len(volumes) == len(theirs)):
        verdict = "agree" + (f", others {', '.join(sorted(set(codes)))}" if codes else "")
    elif len(known) == len(volumes) == len(theirs) and all(one.relative <= FLOAT32_ROUNDINGS for one in known):
        verdict, said = _nearer_to_the_images(read, volumes, theirs)
        remark = "; ".join(filter(None, (remark, said)))
    else:
        verdict = "differ"
    tilted = [candidate for candidate in own if candidate.refusal is not None and candidate.refusal.code == "tilt"]
    remark += "".join(f"; {_straightened(candidate, second)}" for candidate in tilted)
    return Row(
        name,
        own[0].series.modality,
        _shapes([one.shape for one in second], [one.name for one in second]),
        _shapes([volume.shape for volume in volumes], []) or ", ".join(sorted(set(codes))),
        verdict,
        max((one.value for one in known), default=None),
        max((one.relative for one in known), default=None),
        max((one.mm for one in known), default=None),
        remark,
        tuple(sorted(set(codes))),
    )


def _nearer_to_the_images(read: list[Candidate], own: list[Volume], second: list[Volume]) -> tuple[str, str]:
    """Where only the places differ: "agree" if medidiff's are those of the images, and what to say about it."""
    own_mm = max(off_the_images_mm(volume, candidate) for volume, candidate in zip(own, read, strict=True))
    their_mm = max(min(off_the_images_mm(volume, candidate) for candidate in read) for volume in second)
    said = f"the images lie {own_mm:.1e} mm from where medidiff has them, {their_mm:.1e} mm from where dcm2niix has"
    return ("agree" if own_mm <= MAX_MM and own_mm < their_mm else "differ"), said


def off_the_images_mm(volume: Volume, candidate: Candidate) -> float:
    """Largest distance between an image's first voxel, as its header says, and the nearest voxel of a volume."""
    lps = np.array([plane.position_lps_mm for plane in candidate.planes], dtype=np.float64)
    world_to_index = np.linalg.inv(volume.affine_ras)
    index = (lps * (-1, -1, 1)) @ world_to_index[:3, :3].T + world_to_index[:3, 3]
    return float(np.linalg.norm((index - np.rint(index)) @ volume.affine_ras[:3, :3].T, axis=1).max())


def _straightened(candidate: Candidate, second: list[Second]) -> str:
    """What the two make of a tilted stack, held against its images where these lie."""
    own = correlation(read_candidate(candidate, resample_tilt=True).volume, candidate)
    copies = [correlation(one.volumes[0], candidate) for one in second if DERIVED[0] in one.name]
    theirs = "".join(f", dcm2niix's copy {100 * seen:.0f}% at {r:.4f}" for seen, r in copies)
    seen = f"{100 * own[0]:.0f}% of the images' voxels"
    return f"--resample-tilt shows {seen} and correlates with them at {own[1]:.4f}{theirs}"


def correlation(volume: Volume, candidate: Candidate, probes: int = 2000) -> tuple[float, float]:
    """Which part of a candidate's voxels lies in a resampled volume, and how the two correlate."""
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    world_to_index = np.linalg.inv(volume.affine_ras)
    last = np.array(volume.shape) - 1.0
    found, inside = [], []
    for plane in candidate.planes:
        row, column = np.array(plane.orientation_lps).reshape(2, 3)
        between_rows_mm, between_columns_mm = plane.spacing_mm or (1.0, 1.0)
        r, c = rng.integers(0, plane.rows, probes), rng.integers(0, plane.columns, probes)
        lps = np.array(plane.position_lps_mm) + np.outer(c * between_columns_mm, row)
        lps = (lps + np.outer(r * between_rows_mm, column)) * (-1, -1, 1)
        index = lps @ world_to_index[:3, :3].T + world_to_index[:3, 3]
        seen = ((index > -0.01) & (index < last + 0.01)).all(axis=1)
        values = stored_plane(plane)[r, c] * plane.slope + plane.intercept
        resampled = map_coordinates(volume.data.astype(np.float64), np.clip(index, 0, last).T, order=1)
        found.append(np.stack([values[seen], resampled[seen]]))
        inside.append(seen)
    return float(np.mean(inside)), float(np.corrcoef(np.concatenate(found, axis=1))[0, 1])


def nearest(volume: Volume, others: list[Volume]) -> Difference | None:
    """Difference from the volume that fits best; None where none lies on the same grid."""
    found = [difference for other in others if (difference := compare(volume, other)) is not None]
    return min(found, key=lambda one: (one.value, one.mm), default=None)


def compare(a: Volume, b: Volume) -> Difference | None:
    """Difference of two volumes whose grids are the same but for the order and direction of axes; else None."""
    if sorted(a.shape) != sorted(b.shape):
        return None
    to_b = np.linalg.inv(b.affine_ras) @ a.affine_ras
    turn = np.rint(to_b[:3, :3])
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    order = [int(np.argmax(np.abs(turn[:, axis]))) for axis in range(3)]  # a's axis -> b's axis
    flips = [turn[order[axis], axis] < 0 for axis in range(3)]
    turned = np.transpose(b.data, order)
    if turned.shape != a.shape:
        return None
    turned = np.flip(turned, tuple(axis for axis in range(3) if flips[axis]))
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in a.shape])), dtype=float)
    same = np.zeros_like(corners)
    for axis in range(3):
        same[:, order[axis]] = a.shape[axis] - 1 - corners[:, axis] if flips[axis] else corners[:, axis]
    distance = _world(a, corners) - _world(b, same)
    value = float(np.max(np.abs(a.data.astype(np.float64) - turned)))
    largest = max(float(np.max(np.abs(turned))), 1e-30)
    return Difference(value, value / largest, float(np.linalg.norm(distance, axis=1).max()))


def _world(volume: Volume, index: np.ndarray) -> np.ndarray:
    return index @ volume.affine_ras[:3, :3].T + volume.affine_ras[:3, 3]


def _shapes(shapes: list[tuple[int, ...]], names: list[str]) -> str:
    """ "2 x 64x64x32", and what a file's suffix says about it."""
    words: dict[str, int] = {}
    for n, shape in enumerate(shapes):
        suffix = next((word for word in DERIVED if names and word in names[n]), "")
        text = "x".join(map(str, shape)) + (f" ({suffix[1:]})" if suffix else "")
        words[text] = words.get(text, 0) + 1
    return ", ".join(f"{count} of {text}" if count > 1 else text for text, count in words.items())
