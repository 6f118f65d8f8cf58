"""The NIfTI files below a folder, by their headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.errors import MedidiffError

_PARTICIPANT = re.compile(r"(?:^|/)(sub-[0-9A-Za-z+]+)(?:/|_)")


@dataclass(frozen=True)
class NiftiEntry:
    """One NIfTI file.

    Args:
        path: Where it is; never printed.
        file: Its path below the folder, redacted.
        shape: Voxels along x, y and z.
        frames: Volumes it holds.
        spacing_mm: Distance between neighbouring voxels.
        orientation: Where x, y and z point, such as "RAS".
        affine_ras: 4x4, voxel index to mm.
        problem: Why it cannot be read; "" if it can.
        redacted: `file` is not the file's real name.
    """

    path: Path = field(repr=False)
    file: str
    shape: tuple[int, ...] = ()
    frames: int = 0
    spacing_mm: tuple[float, ...] = ()
    orientation: str = ""
    affine_ras: tuple[tuple[float, ...], ...] = ()
    problem: str = ""
    redacted: bool = False

    @property
    def participant(self) -> str:
        """The BIDS participant its path names, "sub-01"; "" where it names none."""
        found = _PARTICIPANT.search(self.file)
        return found[1] if found else ""

    @property
    def case(self) -> str:
        """The path without its ending."""
        from medidiff.io.nifti_header import nifti_suffix

        return self.file[: -len(nifti_suffix(Path(self.file)))]

    @property
    def status(self) -> str:
        """For the terminal."""
        if self.problem:
            return "refused"
        return "volume" if self.frames == 1 else f"4D, {self.frames} volumes"

    @property
    def grid(self) -> str:
        """For the terminal."""
        return "x".join(map(str, self.shape)) or "-"

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "file": self.file,
            "status": "refused" if self.problem else "volume",
            "shape": list(self.shape) or None,
            "volumes": self.frames,
            "spacing_mm": [round(s, 6) for s in self.spacing_mm] or None,
            "orientation": self.orientation or None,
            "affine_ras": [list(row) for row in self.affine_ras] or None,
            "refusal": self.problem or None,
        }


def list_nifti(root: Path, identifiers: frozenset[str], keep_ids: bool) -> tuple[list[NiftiEntry], frozenset[str]]:
    """Every NIfTI file below a folder, subfolders too, or the file itself; and `identifiers` with what was found.

    Args:
        root: The folder or file; a zip's NIfTI files are not entered.
        identifiers: What to take out of names, besides what the JSON files beside the scans name.
        keep_ids: Leave names as they are.

    Raises:
        InputError: There is nothing.
    """
    from medidiff.io.dicom.files import find_files
    from medidiff.io.identity.redact import redact_path
    from medidiff.io.nifti_header import NIFTI_SUFFIXES

    ends, voxels = NIFTI_SUFFIXES, (".img", ".img.gz")
    names = [(ref, ref.label.lower()) for ref in find_files(root) if ref.member is None]
    files = [ref for ref, name in names if name.endswith(ends) and not name.endswith(voxels)]
    known = identifiers.union(*(_named_beside(ref.path) for ref in files))
    entries = []
    for ref in files:
        label = ref.label if keep_ids else redact_path(ref.label, known)
        entries.append(_describe(ref.path, label, label != ref.label))
    return entries, known


def _describe(path: Path, label: str, redacted: bool) -> NiftiEntry:
    import numpy as np

    from medidiff.io.nifti_4d import frames_of
    from medidiff.io.nifti_header import read_header
    from medidiff.io.nifti_voxels import check_size
    from medidiff.volume import Volume

    try:
        declared = read_header(path)
        frames = frames_of(path)
        check_size(path, declared)
    except MedidiffError as error:
        problem = str(error).replace(str(path), label).removeprefix(f"{label}: ")
        return NiftiEntry(path, label, problem=problem[:1].upper() + problem[1:], redacted=redacted)
    affine = declared.memory.affine_ras
    placed = Volume(np.empty(0), affine)
    return NiftiEntry(
        path,
        label,
        declared.shape[:3],
        frames,
        placed.spacing_mm,
        placed.axcodes,
        tuple(tuple(row) for row in affine.tolist()),
        redacted=redacted,
    )


def _named_beside(path: Path) -> frozenset[str]:
    """Names and numbers of patients in the JSON file beside a scan."""
    from medidiff.errors import InputError
    from medidiff.io.identity.traces_nifti import traces_of_json
    from medidiff.io.nifti_header import nifti_suffix

    beside = path.with_name(path.name[: -len(nifti_suffix(path))] + ".json")
    try:
        with open(beside, "rb") as stream:
            traces: Iterable[Any] = traces_of_json(stream, beside.name)
            return frozenset(
                trace.value for trace in traces if trace.meaning in ("patient's name", "number of the patient")
            )
    except (OSError, InputError):
        return frozenset()
