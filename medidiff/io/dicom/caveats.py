"""What to know about a volume before trusting it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medidiff.io.dicom.model import Plane, SeriesFacts, Stacking
from medidiff.io.dicom.sop_classes import SECONDARY_CAPTURES
from medidiff.io.dicom.stacking import SPACING_TOLERANCE

_THIN = 0.9  # slices thinner than this part of their distance leave tissue between them that nobody measured


def caveats_of(
    series: SeriesFacts, planes: Sequence[Plane], stacking: Stacking | None, told: Sequence[str] = ()
) -> tuple[str, ...]:
    """The warnings of one candidate: no patient data, one fact each.

    Args:
        series: Its series.
        planes: Its planes.
        stacking: Its grid.
        told: How they were told apart from others of their series.
    """
    if not planes:
        return ()
    found = list(told)
    captured = any(plane.sop_class in SECONDARY_CAPTURES for plane in planes)
    if series.burned_in == "YES":
        found.append("the file says that text is burned into the images: it may name the patient")
    elif captured and series.burned_in != "NO":
        found.append("a secondary capture: text that names the patient may be burned into the images")
    if any(plane.form.photometric == "MONOCHROME1" for plane in planes):
        found.append("MONOCHROME1: shown inverted, the values are not inverted")
    slopes = {(plane.slope, plane.intercept) for plane in planes}
    if len(slopes) > 1:
        low, high = min(slope for slope, _ in slopes), max(slope for slope, _ in slopes)
        found.append(f"the rescale slope differs from slice to slice ({low:.4g} to {high:.4g}); each has its own")
    if series.lossy:
        found.append("the images were compressed with loss")
    return (*found, *_about_spacing(planes, stacking))


def _about_spacing(planes: Sequence[Plane], stacking: Stacking | None) -> list[str]:
    if stacking is None:
        return []
    found = []
    spacing_mm = float(np.linalg.norm(stacking.affine_ras[:3, 2]))
    distance_mm = spacing_mm * float(np.cos(np.radians(stacking.tilt_deg)))
    thickness_mm, said_mm = planes[0].thickness_mm, planes[0].gap_mm
    if len(planes) == 2:
        found.append("two slices only: their distance is the only proof of the spacing")
    if said_mm is not None and all(abs(said_mm / d - 1) > SPACING_TOLERANCE for d in (distance_mm, spacing_mm)):
        found.append(f"the positions say {distance_mm:.4g} mm between slices, the header {said_mm:.4g} mm")
    if thickness_mm is not None and thickness_mm < _THIN * distance_mm:
        found.append(f"slices are {thickness_mm:.4g} mm thick and {distance_mm:.4g} mm apart: gaps were not measured")
    return found
