"""Which scans a set has: a split of a store, a set of `medidiff synth`, or a folder of NIfTI scans with a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from medidiff.cohort.manifest import SPLITS
from medidiff.cohort.participants import Participants, names_of, read_participants
from medidiff.cohort.resample import to_ras
from medidiff.cohort.store import META, Store
from medidiff.errors import GeometryError, InputError, UsageError
from medidiff.geometry import spacing_from_affine
from medidiff.io import read_nifti
from medidiff.volume import Volume

SYNTHETIC, TABLE = "manifest.parquet", "participants.tsv"
SYNTHETIC_SETTINGS = "synthesis.json"
_MASK = re.compile(r"_(mask|dseg|label|labels|seg)\.nii(\.gz)?$", re.IGNORECASE)
_NIFTI = (".nii.gz", ".nii")
Attributes = Mapping[str, float | str | None]
Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]
Arrays = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class FoundScan:
    """One scan that is there.

    Attributes:
        name: What messages call it.
        patient: Whose it is; of a synthetic one its own name.
        read: The scan (x, y, z), axes along R, A, S, and its label map or None.
        grid: Its voxels and their spacing in mm, axes likewise; cheap where a header says so.
        attributes: What is known of it.
    """

    name: str
    patient: str
    read: Callable[[], Arrays] = field(repr=False)
    grid: Callable[[], tuple[Triple, Spacing]] = field(repr=False)
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class FoundSet:
    """The scans of one set.

    Attributes:
        where: What was given.
        kind: store, synthetic or folder.
        scans: In the order of their names.
        warnings: What is not as sure as it should be.
    """

    where: str
    kind: str
    scans: tuple[FoundScan, ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scans)

    def of(self, wanted: Callable[[str], bool]) -> FoundSet:
        """The scans of some patients."""
        return replace(self, scans=tuple(scan for scan in self.scans if wanted(scan.patient)))

    @property
    def patients(self) -> set[str]:
        """Everybody in it."""
        return {scan.patient for scan in self.scans}


def find_scan_set(where: str | Path, split: str | None = None, table: Path | None = None) -> FoundSet:
    """The scans of a set; none is read yet.

    Args:
        where: A store of `medidiff prepare`, a folder of `medidiff synth`, or a folder of NIfTI scans.
        split: Of a store or of a table with a column `split`: train, val or holdout; None: all scans.
        table: Participants of a folder; `participants.tsv` in it where not given.

    Raises:
        InputError: Nothing is there, or no scan of that split.
        UsageError: A split is asked for where nothing knows of one.
        ConfigError: The table cannot be used.
    """
    path = Path(where)
    if split is not None and split not in SPLITS:
        raise UsageError(f"split {split}: must be one of {', '.join(SPLITS)}.")
    if is_store(where):
        found = _of_store(str(where), split)
    elif (path / SYNTHETIC_SETTINGS).is_file():
        found = _of_synthetic(path)
    elif path.is_dir():
        found = _of_folder(path, split, table)
    else:
        raise InputError(f"{where}: no such folder. Give a store, a set of `medidiff synth`, or a folder of scans.")
    if not found.scans:
        what = f" of the split {split}" if split else ""
        raise InputError(f"{where}: no scan{what} is there. Scans are .nii or .nii.gz files in or below a folder.")
    return found


def is_store(where: str | Path) -> bool:
    """Whether it is a store of `medidiff prepare`: an address is taken for one."""
    return "://" in str(where) or (Path(where) / META).is_file()


def _of_store(url: str, split: str | None) -> FoundSet:
    store = Store.open(url)
    scans = [
        FoundScan(
            row.source or row.scan_id,
            row.patient,
            partial(_read_stored, store, row.scan_id),
            partial(_known, row.shape, row.spacing_mm),
            row.attributes,
        )
        for row in store.scans(split)
    ]
    return FoundSet(url, "store", tuple(scans))


def _known(shape: Triple, spacing_mm: Spacing) -> tuple[Triple, Spacing]:
    return shape, spacing_mm


def _read_stored(store: Store, scan_id: str) -> Arrays:
    mask = np.asarray(store.read(scan_id, array="mask")) if store.has_scan(scan_id, "mask") else None
    return np.asarray(store.read(scan_id), dtype=np.float32), mask


def _of_synthetic(root: Path) -> FoundSet:
    import pyarrow.parquet as pq

    path = root / SYNTHETIC
    if not path.is_file():
        raise InputError(f"{root}: the set is not finished ({SYNTHETIC} is missing). Run its `medidiff synth` again.")
    rows: list[dict[str, Any]] = [row for row in pq.read_table(path).to_pylist() if row["status"] == "done"]
    scans = []
    for row in rows:
        known = {name.removeprefix("condition_"): row[name] for name in row if name.startswith("condition_")}
        known |= {name: row[name] for name in row if name.startswith("measured_")}
        mask = root / row["mask"] if row["mask"] else None
        read = partial(_read_files, root / row["image"], mask)
        scans.append(FoundScan(row["image"], row["image"], read, partial(_grid_of_file, root / row["image"]), known))
    return FoundSet(str(root), "synthetic", tuple(scans))


def _of_folder(root: Path, split: str | None, table: Path | None) -> FoundSet:
    table = table or (root / TABLE if (root / TABLE).is_file() else None)
    participants = read_participants(table) if table is not None else None
    if split is not None and (participants is None or not any(row.split for row in participants.rows)):
        raise UsageError(
            f"{root}: nothing says which scans are of the split {split}: give --table with a column `split`, a store, "
            "or a folder for each."
        )
    scans, unknown = [], []
    for path in _scans_below(root):
        below = path.relative_to(root).as_posix()
        row = participants.find(names_of(_stem(below))) if participants is not None else None
        if row is None:
            unknown.append(below)
        if split is not None and (row is None or row.split != split):
            continue
        patient = row.patient if row is not None else _patient_of(below)
        attributes = dict(row.attributes) if row is not None else {}
        read, grid = partial(_read_files, path, _mask_of(path)), partial(_grid_of_file, path)
        scans.append(FoundScan(below, patient, read, grid, attributes))
    return FoundSet(str(root), "folder", tuple(scans), tuple(_warned(root, participants, unknown)))


def _warned(root: Path, participants: Participants | None, unknown: list[str]) -> Iterator[str]:
    if participants is None:
        yield f"{root}: no table says whose scans these are; each is taken for a patient (BIDS: each sub-...)."
    elif unknown:
        yield f"{root}: {len(unknown)} scans are not in {participants.path.name}, such as {unknown[0]}."


def _scans_below(root: Path) -> list[Path]:
    found = [path for path in root.rglob("*") if path.name.lower().endswith(_NIFTI) and path.is_file()]
    return sorted(path for path in found if not _MASK.search(path.name) and not path.name.startswith("."))


def _mask_of(path: Path) -> Path | None:
    ending = ".nii.gz" if path.name.endswith(".gz") else ".nii"
    mask = path.with_name(f"{_stem(path.name)}_mask{ending}")
    return mask if mask.is_file() else None


def _stem(name: str) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def _patient_of(below: str) -> str:
    subject = re.match(r"(?:.*/)?(sub-[A-Za-z0-9]+)(?:[/_])", below)
    return subject.group(1) if subject else _stem(below)


def _read_files(image: Path, mask: Path | None) -> Arrays:
    scan = to_ras(_volume(image))
    labels = to_ras(read_nifti(mask)) if mask is not None else None
    if labels is not None and labels.shape != scan.shape:
        raise GeometryError(f"{mask}: {labels.shape} voxels, its scan has {scan.shape}.")
    return scan.data.astype(np.float32), None if labels is None else np.rint(labels.data).astype(np.uint8)


def _grid_of_file(image: Path) -> tuple[Triple, Spacing]:
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    header: Any = None
    if image.is_file():
        try:
            header = nib.load(image)  # type: ignore[attr-defined]
        except (ImageFileError, OSError, ValueError):
            header = None  # `_volume` says what is wrong with it
    if header is None or len(header.shape) != 3:
        volume = to_ras(_volume(image))
        return cast(Triple, volume.shape), volume.spacing_mm
    order = np.argsort(nib.orientations.io_orientation(header.affine)[:, 0])  # type: ignore[attr-defined]
    spacing = spacing_from_affine(header.affine)
    return tuple(int(header.shape[i]) for i in order), tuple(spacing[i] for i in order)  # type: ignore[return-value]


def _volume(image: Path) -> Volume:
    if not image.exists():
        raise InputError(f"{image}: is not there, though its set names it.")
    if not image.is_dir():
        return read_nifti(image)
    from medidiff.io.dicom import read_dicom

    return read_dicom(image)


__all__ = ["FoundScan", "FoundSet", "find_scan_set", "is_store"]
