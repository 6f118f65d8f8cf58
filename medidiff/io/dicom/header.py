"""The header of one file: its series and its planes, or why it has none. Nothing that a file holds makes it raise."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Literal

from medidiff.errors import InputError
from medidiff.io.dicom.contrast import contrast_facts
from medidiff.io.dicom.dicomdir import is_dicomdir
from medidiff.io.dicom.enhanced import has_groups, planes_of_frames
from medidiff.io.dicom.files import HEAD_BYTES, has_dicom_start, open_file
from medidiff.io.dicom.model import FileNote, FileRef, Plane, SeriesFacts
from medidiff.io.dicom.people import identifiers_of, person_names
from medidiff.io.dicom.plane_tags import plane_of_file
from medidiff.io.dicom.sop_classes import DIRECTORY, kind_of, must_have_pixels
from medidiff.io.dicom.tags import integer, items, number, text

if TYPE_CHECKING:
    from pydicom import Dataset

_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DEFLATED_BYTES = 1 << 26  # headers are smaller; without a bound a few MB inflate to many GB
_INTEGER_PIXELS, _FLOAT_PIXELS = 0x7FE00010, (0x7FE00008, 0x7FE00009)
_MODALITY_LUT = 0x00283000
_MOSAIC = "MOSAIC"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_MAX_FRAMES = 1 << 20


@dataclass(frozen=True)
class Header:
    """What one file says.

    Args:
        file: Which.
        series: Of which series.
        planes: Its frames; none for a record that is no image.
        trouble: Code of `model.REFUSALS` and a text, where these planes are no volume or damaged; None: all is well.
        identifiers: Names, numbers and dates of the patient.
    """

    file: FileRef
    series: SeriesFacts
    planes: tuple[Plane, ...]
    trouble: tuple[str, str] | None
    identifiers: frozenset[str]


@dataclass(frozen=True)
class _Pixels:
    """Where the pixels of a file lie.

    Args:
        tag: Of the element that holds them, 0 where there is none.
        offset: Of their first byte; None where they cannot be read from the file as they are: compressed, in a zip.
        bytes: How many there are, the lesser of what the element and the file say; None where that says nothing.
    """

    tag: int = 0
    offset: int | None = None
    bytes: int | None = None


def read_header(file: FileRef) -> Header | FileNote:
    """Read one file up to its pixels.

    Returns:
        Its header, or a note that says why it has none.
    """
    try:
        with open_file(file) as stream:
            head = stream.read(HEAD_BYTES)
            if not head.strip(b"\0"):
                return FileNote(file, "empty")
            if is_dicomdir(head):
                return FileNote(file, "a DICOMDIR")
            if not has_dicom_start(head):
                return FileNote(file, "not DICOM")
            stream.seek(0)
            return _parse(file, stream, head)
    except InputError as error:
        return FileNote(file, *_why_unread(file, error))
    except Exception:  # noqa: BLE001  pydicom meets damaged bytes in every way there is
        return FileNote(file, "damaged", "Its header cannot be read.")


def _why_unread(file: FileRef, error: InputError) -> tuple[str, str]:
    """Kind and message of a file that could not be read to its end."""
    match error.__cause__:
        case PermissionError():
            return "no permission", "It may not be read."
        case FileNotFoundError() if file.path.is_symlink():
            return "a link that leads nowhere", ""
        case FileNotFoundError():
            return "listed in the DICOMDIR but not there", ""
        case _:
            return "damaged", "It cannot be opened, or not be read to its end."


def _parse(file: FileRef, stream: BinaryIO, head: bytes) -> Header | FileNote:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom comments on values; they are checked here, one by one
        dataset, meta, pixels = _read(file, stream, head)
        sop_class = text(dataset, 0x00080016) or text(meta, 0x00020002)
        if sop_class == DIRECTORY or text(meta, 0x00020002) == DIRECTORY:
            return FileNote(file, "a DICOMDIR")
        if not len(dataset):
            return FileNote(file, "damaged", "Its header is empty.")
        series = _series(dataset)
        if not (sop_class or series.series_uid or pixels.tag):
            return FileNote(file, "damaged", "Its header makes no sense.")
        planes, trouble = _planes(file, dataset, series, sop_class, _syntax(meta, dataset), pixels)
        return Header(file, series, planes, trouble, identifiers_of(dataset))


def _read(file: FileRef, stream: BinaryIO, head: bytes) -> tuple[Dataset, Dataset, _Pixels]:
    """The header, its group 2, and where the pixels are."""
    import pydicom
    from pydicom.filereader import read_dataset

    if _DEFLATED.encode() in head:
        raw = stream.read(_DEFLATED_BYTES)
        end = 144 + int.from_bytes(raw[140:144], "little")  # after the group length, always the first element
        meta = pydicom.dcmread(io.BytesIO(raw[:end]), force=True).file_meta
        inflated = io.BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw[end:], _DEFLATED_BYTES))
        dataset = read_dataset(inflated, False, True, stop_when=lambda tag, vr, length: tag >= _FLOAT_PIXELS[0])
        return dataset, meta, _Pixels(_find_pixels(inflated, False, "little").tag)
    dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    implicit, little = dataset.original_encoding
    pixels = _find_pixels(stream, bool(implicit), "little" if little else "big")
    if _syntax(dataset.file_meta, dataset) not in _NATIVE:
        return dataset, dataset.file_meta, _Pixels(pixels.tag)
    if file.member is not None:
        return dataset, dataset.file_meta, replace(pixels, offset=None)
    if pixels.offset is not None and pixels.bytes is not None:
        there = max(os.fstat(stream.fileno()).st_size - pixels.offset, 0)
        pixels = replace(pixels, bytes=min(pixels.bytes, there))
    return dataset, dataset.file_meta, pixels


def _find_pixels(stream: BinaryIO, implicit: bool, order: Literal["little", "big"]) -> _Pixels:
    """From a stream that stands before the element with the pixels, or at its end."""
    start = stream.read(12)
    if len(start) < 8:
        return _Pixels()
    tag = int.from_bytes(start[:2], order) << 16 | int.from_bytes(start[2:4], order)
    if tag not in (_INTEGER_PIXELS, *_FLOAT_PIXELS):
        return _Pixels()
    length = int.from_bytes(start[4:8] if implicit else start[8:12], order)
    if length == _UNDEFINED_LENGTH:
        return _Pixels(tag)
    return _Pixels(tag, stream.tell() - (len(start) - 8 if implicit else 0), length)


def _syntax(meta: Dataset, dataset: Dataset) -> str:
    """Transfer syntax, guessed from how the header is written where nobody says."""
    said = text(meta, 0x00020010)
    if said:
        return said
    implicit, little = getattr(dataset, "original_encoding", (True, True))
    return "1.2.840.10008.1.2" + ("" if implicit else ".1" if little else ".2")


def _series(dataset: Dataset) -> SeriesFacts:
    return SeriesFacts(
        series_uid=text(dataset, 0x0020000E),
        study_uid=text(dataset, 0x0020000D),
        frame_of_reference_uid=text(dataset, 0x00200052),
        patient_id=text(dataset, 0x00100020),
        patient_names=person_names(dataset),
        number=integer(dataset, 0x00200011),
        modality=text(dataset, 0x00080060).upper(),
        description=text(dataset, 0x0008103E),
        manufacturer=text(dataset, 0x00080070),
        body_part=text(dataset, 0x00180015),
        burned_in=text(dataset, 0x00280301).upper(),
        lossy=text(dataset, 0x00282110) == "01",
        issuer=text(dataset, 0x00100021),
        **contrast_facts(dataset),
    )


def _planes(
    file: FileRef, dataset: Dataset, series: SeriesFacts, sop_class: str, syntax: str, pixels: _Pixels
) -> tuple[tuple[Plane, ...], tuple[str, str] | None]:
    """The planes of a file, and what is wrong with them.

    Raises:
        Exception: Whatever pydicom meets in damaged sequences.
    """
    kind = kind_of(sop_class)
    if not pixels.tag:
        if must_have_pixels(sop_class):
            return (), ("damaged", "ends before its pixels")
        return (), (kind if kind == "segmentation" else "report", "")
    plane = replace(plane_of_file(dataset, series, file, syntax), sop_class=sop_class, data_offset=pixels.offset)
    frames = integer(dataset, 0x00280008)
    frames = 1 if frames is None else frames
    if not 0 < frames <= _MAX_FRAMES or not plane.rows or not plane.columns:
        return (plane,), ("damaged", "says no size of its images")
    planes, trouble = _with_frames(dataset, plane, frames)
    if kind == "film" and all(p.position_lps_mm and p.orientation_lps and p.spacing_mm for p in planes):
        kind = ""
    trouble = trouble or _pixel_trouble(dataset, plane, frames, pixels)
    if plane.form.samples > 1 or plane.form.photometric.startswith("PALETTE"):
        return planes, ("colour", "")
    if trouble and trouble[0] == "damaged" and kind == "":
        return planes, trouble
    return planes, (kind, "") if kind else trouble


def _with_frames(dataset: Dataset, plane: Plane, frames: int) -> tuple[tuple[Plane, ...], tuple[str, str] | None]:
    if has_groups(dataset):
        planes = planes_of_frames(dataset, plane, frames)
        return planes, None if len(planes) == frames else ("damaged", "does not describe each of its frames")
    if frames > 1:
        return (replace(plane, frames=frames),), ("no-geometry", "")
    return (plane,), None


def _pixel_trouble(dataset: Dataset, plane: Plane, frames: int, pixels: _Pixels) -> tuple[str, str] | None:
    if pixels.tag in _FLOAT_PIXELS:
        return "pixels", "holds floating point pixels"
    form = plane.form
    needed = (plane.rows * plane.columns * form.samples * form.bits_allocated * frames + 7) // 8
    if pixels.bytes is not None and pixels.bytes < needed:
        return "damaged", f"is cut off: {pixels.bytes} of {needed} bytes of pixels are there"
    if form.samples != 1 or form.bits_allocated not in (8, 16, 32) or not 0 < form.bits_stored <= form.bits_allocated:
        return "pixels", f"stores {form.samples} values of {form.bits_stored} bits in {form.bits_allocated} per pixel"
    if form.bits_stored == form.bits_allocated > 8 and integer(dataset, 0x00280103, "US") is None:
        return "pixels", "does not say whether its values have a sign"
    if _MOSAIC in plane.facts.image_type:
        return "mosaic", "holds all slices of a volume side by side"
    if items(dataset, _MODALITY_LUT) and number(dataset, 0x00281053) is None:
        return "pixels", "means its values through a table"
    if plane.slope == 0:
        return "damaged", "says no usable rescale slope"
    return None
