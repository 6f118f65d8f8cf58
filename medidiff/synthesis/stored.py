"""A synthetic scan on disk: which files belong to a record, which record to a file, and their voxels."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.errors import InputError
from medidiff.io import read_nifti
from medidiff.synthesis.layout import MANIFEST, SETTINGS


@dataclass(frozen=True, eq=False)
class Stored:
    """Voxels as they are on disk.

    Attributes:
        image: Intensities; of DICOM in the order of its files.
        affine: Voxel index to mm.
        mask: Label map, or None.
        mask_affine: Voxel index of the mask to mm, or None.
    """

    image: np.ndarray
    affine: np.ndarray
    mask: np.ndarray | None
    mask_affine: np.ndarray | None = None


def read_stored(record: Mapping[str, Any], record_path: Path) -> Stored:
    """The scan and the mask of a record.

    Raises:
        InputError: A file is missing or unreadable.
    """
    paths = files_of_record(record, record_path)
    mask = read_nifti(paths["mask"]) if "mask" in paths else None
    if record["settings"]["format"] == "dicom":
        image, affine = _read_series(paths["image"])
    else:
        volume = read_nifti(paths["image"])
        image, affine = volume.data, volume.affine_ras
    return Stored(image, affine, *((None, None) if mask is None else (mask.data, mask.affine_ras)))


def files_of_record(record: Mapping[str, Any], record_path: Path) -> dict[str, Path]:
    """Where the image of a record lies, and its mask if it has one."""
    folders = {"image": record_path.parent, "mask": record_path.parent}
    if record["settings"]["layout"] == "nnunet":
        root = record_path.parent.parent
        folders = {"image": root / "imagesTr", "mask": root / "labelsTr"}
    return {kind: folders[kind] / Path(entry["file"]).name for kind, entry in record["files"].items()}


def record_of(path: Path) -> Path:
    """The record that a scan, a mask, a DICOM folder or one of its images belongs to.

    Raises:
        InputError: There is none.
    """
    if path.suffix.lower() == ".json":
        return path
    if path.suffix.lower() == ".dcm":
        path = path.parent
    if path.is_dir():
        found = [path.with_name(f"{path.name}.json")]
    else:
        stem = re.sub(r"\.nii(\.gz)?$", "", path.name)
        found = [path.with_name(f"{stem}.json"), path.with_name(f"{stem.removesuffix('_mask')}.json")]
        if stem.endswith("_dseg"):
            found += sorted(path.parent.glob(f"{stem.removesuffix('_dseg')}_*.json"))
        records = path.parent.parent / "records"
        found += [records / f"{stem}.json", records / f"{stem.removesuffix('_0000')}.json"]
    for candidate in found:
        if candidate.is_file():
            return candidate
    raise InputError(
        f"{path}: no record beside it ({found[0].name}): nothing says from which prior and seed it was made."
    )


def records_in(folder: Path) -> list[Path]:
    """Records of a set, in the order of their names.

    Raises:
        InputError: There is none.
    """
    found = sorted(itertools.chain(_flat(folder), folder.glob("records/*.json"), folder.glob("sub-syn*/*/*.json")))
    if not found:
        raise InputError(f"{folder}: holds no synthetic scans of medidiff synth.")
    return found


@dataclass(frozen=True)
class Missing:
    """What a set lacks.

    Attributes:
        scans: How many of its scans have no record here; those given up are not counted.
        of: Scans that it should have.
        finished: Whether it was complete once: its manifest is there.
    """

    scans: int = 0
    of: int = 0
    finished: bool = False


def missing_of(folder: Path, records: int) -> Missing:
    """What a set lacks by its manifest, or by its settings where it is not finished.

    Args:
        folder: The set.
        records: Records that are there.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        import pyarrow.parquet as pq

        status = pq.read_table(manifest, columns=["status"]).column("status").to_pylist()
        made = sum(one == "done" for one in status)
        return Missing(max(0, made - records), made, finished=True)
    try:
        count = int(json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["count"])
    except (OSError, ValueError, TypeError, KeyError):
        return Missing()
    return Missing(max(0, count - records), count)


def without_record(folder: Path) -> list[Path]:
    """Scans and masks in a set that no record speaks of."""
    patterns = ("*.nii", "*.nii.gz", "imagesTr/*.nii*", "labelsTr/*.nii*", "sub-*/*/*.nii*", "synthetic-*/")
    found = sorted(itertools.chain.from_iterable(folder.glob(pattern) for pattern in patterns))
    return [path for path in found if not _has_record(path)]


def _has_record(path: Path) -> bool:
    try:
        return record_of(path).is_file()
    except InputError:
        return False


def _flat(folder: Path) -> Iterator[Path]:
    return folder.glob("synthetic-*.json")


def _read_series(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Intensities slice by slice, and what the headers say of the place."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    files = sorted(folder.glob("*.dcm"))
    if not files:
        raise InputError(f"{folder}: holds no DICOM images.")
    slices, places = [], []
    for file in files:
        try:
            image = pydicom.dcmread(file)
            slope, intercept = float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
            slices.append(image.pixel_array.astype(np.float64) * slope + intercept)
            places.append([*image.ImagePositionPatient, *image.ImageOrientationPatient, *image.PixelSpacing])
        except (OSError, AttributeError, ValueError, InvalidDicomError) as error:
            raise InputError(f"{file}: cannot be read ({error}).") from error
    if len({s.shape for s in slices}) > 1:
        raise InputError(f"{folder}: its images differ in size.")
    return np.stack(slices), np.array(places, dtype=np.float64)


__all__ = ["Stored", "files_of_record", "read_stored", "record_of", "records_in", "without_record"]
