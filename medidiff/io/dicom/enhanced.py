"""Multi-frame files with functional groups (enhanced MR, CT and PET, and what was converted to them).

A frame's geometry, values and facts are in the group shared by all frames or in the frame's own; what the top level
says by the same names is left over from elsewhere and never used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from medidiff.io.dicom.diffusion_tags import diffusion_of_frame
from medidiff.io.dicom.model import Facts, Plane
from medidiff.io.dicom.plane_tags import direction_cosines, pixel_spacing, place, positive, rescale, unit_of
from medidiff.io.dicom.tags import first_item, integer, items, number, text, texts

if TYPE_CHECKING:
    from pydicom import Dataset

_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_CONTENT, _POSITION, _ORIENTATION, _MEASURES, _VALUES = 0x00209111, 0x00209113, 0x00209116, 0x00289110, 0x00289145
_ECHO, _CARDIAC, _COIL, _DIFFUSION, _MODIFIER = (
    0x00189114,
    0x00189118,
    0x00189042,
    0x00189117,
    0x00189115,
)
_FRAME_TYPES = (0x00189226, 0x00189329, 0x00189751)  # MR, CT, PET


def has_groups(dataset: Dataset) -> bool:
    """Whether a header describes its frames one by one."""
    return _PER_FRAME in dataset or _SHARED in dataset


def planes_of_frames(dataset: Dataset, plane: Plane, frames: int) -> tuple[Plane, ...]:
    """The planes of a file with functional groups.

    Args:
        dataset: Its header.
        plane: What the top level says: size, number type, file.
        frames: How many frames the header announces.

    Returns:
        One plane a frame; fewer or more than `frames` where the header describes another number of them.

    Raises:
        Exception: Whatever pydicom meets in damaged sequences.
    """
    shared = first_item(dataset, _SHARED)
    described = items(dataset, _PER_FRAME)
    frame_bytes = plane.rows * plane.columns * plane.form.samples * plane.form.bits_allocated // 8
    planes = []
    for index, own in enumerate(described[: frames + 1]):
        offset = None if plane.data_offset is None else plane.data_offset + index * frame_bytes
        planes.append(replace(_plane(_Groups(own, shared), plane), frame=index, frames=frames, data_offset=offset))
    return tuple(planes)


class _Groups:
    """The functional groups of one frame: its own, else the shared one."""

    def __init__(self, own: Dataset, shared: Dataset | None) -> None:
        self._own = own
        self._shared = shared

    def get(self, tag: int) -> Dataset | None:
        found = first_item(self._own, tag)
        return first_item(self._shared, tag) if found is None and self._shared is not None else found


def _plane(groups: _Groups, plane: Plane) -> Plane:
    orientation, position = groups.get(_ORIENTATION), groups.get(_POSITION)
    measures, values = groups.get(_MEASURES), groups.get(_VALUES)
    slope, intercept = (1.0, 0.0) if values is None else rescale(values)
    return replace(
        plane,
        slope=slope,
        intercept=intercept,
        unit="" if values is None else unit_of(values, ""),
        orientation_lps=None if orientation is None else direction_cosines(orientation),
        position_lps_mm=None if position is None else place(position),
        spacing_mm=None if measures is None else pixel_spacing(measures),
        thickness_mm=None if measures is None else positive(measures, 0x00180050),
        gap_mm=None if measures is None else positive(measures, 0x00180088),
        facts=_facts(groups, plane.facts),
    )


def _facts(groups: _Groups, file_facts: Facts) -> Facts:
    content = groups.get(_CONTENT)
    echo, cardiac, coil = groups.get(_ECHO), groups.get(_CARDIAC), groups.get(_COIL)
    frame_type = next((group for tag in _FRAME_TYPES if (group := groups.get(tag)) is not None), None)
    b_value, gradient = diffusion_of_frame(groups.get(_DIFFUSION))
    modifier = groups.get(_MODIFIER)
    inversion = None if modifier is None else number(modifier, 0x00189079, "FD")
    return Facts(
        image_type=file_facts.image_type if frame_type is None else _frame_type(frame_type),
        echo_time_ms=None if echo is None else number(echo, 0x00189082, "FD"),
        inversion_time_ms=inversion,
        trigger_time_ms=None if cardiac is None else number(cardiac, 0x00209153, "FD"),
        temporal_position=None if content is None else integer(content, 0x00209128, "UL"),
        acquisition_number=None if content is None else integer(content, 0x00209156, "US"),
        acquisition_time=None if content is None else text(content, 0x00189074) or None,
        b_value_s_per_mm2=b_value,
        gradient_lps=gradient,
        stack_id=None if content is None else text(content, 0x00209056) or None,
        coil=None if coil is None else text(coil, 0x00181250) or None,
        frame_of_reference_uid=file_facts.frame_of_reference_uid,
    )


def _frame_type(group: Dataset) -> tuple[str, ...]:
    """Frame Type, and the complex component where the type does not end with it."""
    values = tuple(value.upper() for value in texts(group, 0x00089007))
    component = text(group, 0x00089208).upper()
    return (*values, component) if component and component not in values else values
