"""Planes made in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.io.dicom.model import Facts, FileRef, PixelForm, Plane

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FORM = PixelForm("1.2.840.10008.1.2.1", 1, "MONOCHROME2", 16, 12, 11, False)


def make_plane(
    position_lps_mm: Sequence[float] | None,
    orientation_lps: Sequence[float] | None = AXIAL,
    label: str = "",
    spacing_mm: tuple[float, float] | None = (0.5, 0.75),
    matrix: tuple[int, int] = (8, 6),
    **facts: Any,
) -> Plane:
    position = None if position_lps_mm is None else tuple(float(v) for v in position_lps_mm)
    name = label or f"{position}{sorted(facts.items())}"
    return Plane(
        file=FileRef(Path(name), label=name),
        frame=0,
        frames=1,
        sop_class="1.2.840.10008.5.1.4.1.1.4",
        sop_instance=f"1.2.{abs(hash(name))}",
        instance_number=1,
        rows=matrix[1],
        columns=matrix[0],
        form=FORM,
        slope=1.0,
        intercept=0.0,
        unit="",
        spacing_mm=spacing_mm,
        orientation_lps=None if orientation_lps is None else tuple(map(float, orientation_lps)),
        position_lps_mm=position,  # type: ignore[arg-type]
        thickness_mm=None,
        gap_mm=None,
        facts=Facts(**facts),
    )


def column(heights_mm: Sequence[float], **facts: Any) -> list[Plane]:
    """Axial planes at the given heights."""
    return [make_plane((-3.0, 4.0, z), **facts) for z in heights_mm]


def along(orientation: Sequence[float], steps: Sequence[float], origin: Sequence[float] = (1, 2, 3)) -> list[Plane]:
    """Planes of any orientation, at multiples of mm along their normal."""
    normal = np.cross(orientation[:3], orientation[3:])
    return [make_plane((np.array(origin) + s * normal).tolist(), orientation) for s in steps]
