"""--like: the DICOM series beside which NIfTI scans are filed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medidiff.cli.dicom_source import DicomSource
from medidiff.cli.input_choice import InputChoice
from medidiff.errors import GeometryError, InputError
from medidiff.geometry import spacing_from_affine
from medidiff.volume import Volume


@dataclass(frozen=True, eq=False)
class Like:
    """The series that NIfTI scans came from.

    Args:
        source: The series.
    """

    source: DicomSource

    def number(self, order: int) -> int:
        """Number of the series that the scan `order` of a run becomes: new in the study, and another for each."""
        number = self.source.new_number
        for _ in range(order):
            number += 1
            while number in self.source.taken:
                number += 1
        return number

    def check(self, volume: Volume, label: str) -> None:
        """Refuse a scan that does not lie on the series' grid, flips and permutations of axes aside.

        Raises:
            GeometryError: It does not: its slices would name images that they were not made from.
        """
        from medidiff.io.dicom_out.grid import lies_on

        candidate = self.source.candidate
        if candidate.stacking is None or lies_on(volume, candidate):
            return
        here = _size(volume.shape, volume.spacing_mm)
        there = _size(candidate.stacking.shape, spacing_from_affine(candidate.stacking.affine_ras))
        raise GeometryError(
            f"{label}: does not lie on the grid of the series that --like names ({self.source.label}): {here} here, "
            f"{there} there{', at another place' if here == there else ''}. Give the series that this scan came from, "
            "or leave --like out: it becomes a study of its own."
        )


def find_like(path: Path, given: InputChoice) -> Like:
    """The one series that --like, and where it holds several --series, names.

    Args:
        path: DICOM: a folder, zip, DICOMDIR or file.
        given: What was said about the input; --series and --keep-ids count here.

    Raises:
        InputError: Missing, or no volume in it.
        GeometryError: The series has no grid.
        UsageError: Several volumes and none chosen, or no DICOM.
    """
    from medidiff.cli.discover_dicom import discover_dicom

    if not path.exists():
        raise InputError(f"--like {path}: no such file or folder.")
    found = discover_dicom(path, InputChoice(series=given.series, keep_ids=given.keep_ids), option="--like ")
    source = found.sources[0]
    if not isinstance(source, DicomSource):
        raise TypeError("discover_dicom found something else than DICOM")
    return Like(source)


def _size(shape: Sequence[int], spacing_mm: Sequence[float]) -> str:
    return f"{' x '.join(map(str, shape))} voxels of {' x '.join(f'{s:.3g}' for s in spacing_mm)} mm"
