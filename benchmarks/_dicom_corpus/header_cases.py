"""Headers as they come: vendors' own elements, icons, text where numbers belong, elements that are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.geometry_cases import plain_and
from benchmarks._dicom_corpus.series import (
    CT,
    EXPLICIT,
    IMPLICIT,
    Form,
    Grid,
    Series,
    ds,
    make_series,
    random_stored,
    set_pixels,
    write,
)
from benchmarks._dicom_corpus.truth import VolumeTruth

VECTORS = (None, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.6, 0.0, 0.8))


def diffusion_parts(manufacturer: str) -> list[Series]:
    """Four volumes of one series and nothing standard that tells them apart."""
    parts = [make_series(seed=n) for n in range(4)]
    for n, part in enumerate(parts):
        part.set(Manufacturer=manufacturer, InstanceNumber=[9 * n + k + 1 for k in range(9)])
    return parts


def written(parts: list[Series], folder: Path) -> list[VolumeTruth]:
    for n, part in enumerate(parts):
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("volume x4", stacked=True)
def diffusion_siemens(folder: Path) -> list[VolumeTruth]:
    """b-value and direction in Siemens' group 0019."""
    parts = diffusion_parts("SIEMENS")
    for part, vector in zip(parts, VECTORS, strict=True):
        for dataset in part.datasets:
            block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
            block.add_new(0x0C, "IS", "1000" if vector else "0")
            if vector:
                block.add_new(0x0E, "FD", list(vector))
    return written(parts, folder)


@case("volume x4", stacked=True)
def diffusion_philips(folder: Path) -> list[VolumeTruth]:
    """b-value and axis in Philips' group 2001, the components in 2005."""
    parts = diffusion_parts("Philips Medical Systems")
    for part, vector in zip(parts, VECTORS, strict=True):
        for dataset in part.datasets:
            block = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
            block.add_new(0x03, "FL", 1000.0 if vector else 0.0)
            block.add_new(0x04, "CS", "O" if vector else "I")
            more = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
            for element, component in zip((0xB0, 0xB1, 0xB2), vector or (0.0, 0.0, 0.0), strict=True):
                more.add_new(element, "FL", component)
    return written(parts, folder)


@case("volume x4", stacked=True)
def diffusion_ge(folder: Path) -> list[VolumeTruth]:
    """b-value as the first of four numbers in GE's group 0043, 10^9 added; direction in 0019."""
    parts = diffusion_parts("GE MEDICAL SYSTEMS")
    for part, vector in zip(parts, VECTORS, strict=True):
        for dataset in part.datasets:
            block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
            block.add_new(0x39, "IS", ["1000001000" if vector else "0", "8", "0", "0"])
            more = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
            for element, component in zip((0xBB, 0xBC, 0xBD), vector or (0.0, 0.0, 0.0), strict=True):
                more.add_new(element, "DS", ds(component)[0])
    return written(parts, folder)


@case("volume")
def philips_own_scale(folder: Path) -> VolumeTruth:
    """Philips' precise scale beside the standard's: the standard's is what values mean here."""
    series = make_series(slopes=[2.5] * 9, intercepts=[0.0] * 9).set(Manufacturer="Nobody")
    for dataset in series.datasets:
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.0123)
        block.add_new(0x0D, "FL", 0.0)
    write(series, folder)
    return series.truth()


@case("volume")
def icon_image(folder: Path) -> VolumeTruth:
    """A preview with Rows, Columns and PixelData of its own, before the real ones."""
    series = make_series()
    for dataset in series.datasets:
        icon = Dataset()
        set_pixels(icon, np.full((8, 8), 77), Form("MR", 8, 8))
        dataset.IconImageSequence = [icon]
    write(series, folder)
    return series.truth()


@case("volume", oracle=False)
def elements_behind_the_pixels(folder: Path) -> VolumeTruth:
    """Padding at the end, which is allowed, and an overlay before the pixels."""
    series = make_series()
    for dataset in series.datasets:
        dataset.add_new(0x60003000, "OW", bytes(24))
        dataset.add_new(0xFFFCFFFC, "OB", bytes(200))
    write(series, folder)
    return series.truth()


@case("volume")
def large_private_element(folder: Path) -> VolumeTruth:
    """A vendor's header of 200 kB with the pixels' tag somewhere in it."""
    series = make_series()
    for dataset in series.datasets:
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", (b"\xe0\x7f\x10\x00OW\0\0\x80\1\0\0" + bytes(84)) * 2000)
    write(series, folder)
    return series.truth()


@case("volume")
def text_where_numbers_belong(folder: Path) -> VolumeTruth:
    """Blank or bad values of what does not matter."""
    series = make_series()
    for dataset in series.datasets:
        dataset.EchoTime = dataset.SliceThickness = dataset.RepetitionTime = None
        dataset.SeriesNumber = dataset.AcquisitionNumber = None
    for path in write(series, folder):
        raw = path.read_bytes()
        tag = b"\x20\x00\x13\x00IS\x02\x00"
        at = raw.index(tag) + len(tag)
        path.write_bytes(raw[:at] + b"x?" + raw[at + 2 :])
    return series.truth()


@case("no-position", oracle=False)
def position_not_a_number(folder: Path) -> None:
    _with_text(folder, b"\x20\x00\x32\x00DS", b"nan")


@case("no-position", oracle=False)
def position_is_text(folder: Path) -> None:
    _with_text(folder, b"\x20\x00\x32\x00DS", b"abc")


@case("no-position | spacing", oracle=False)
def orientation_is_text(folder: Path) -> None:
    _with_text(folder, b"\x20\x00\x37\x00DS", b"abc")


@case("spacing", oracle=False)
def spacing_is_text(folder: Path) -> None:
    _with_text(folder, b"\x28\x00\x30\x00DS", b"abc")


def _with_text(folder: Path, tag: bytes, text: bytes) -> None:
    """The first characters of a decimal string in one file are something else."""
    paths = write(make_series(), folder)
    raw = paths[4].read_bytes()
    at = raw.index(tag) + len(tag) + 2
    paths[4].write_bytes(raw[:at] + text + raw[at + len(text) :])


@case("no-position", oracle=False)
def position_of_two_numbers(folder: Path) -> None:
    plain_and(folder, ImagePositionPatient=[ds(*Grid().position(k)[:2]) for k in range(9)])


@case("spacing", oracle=False)
def spacing_of_one_number(folder: Path) -> None:
    plain_and(folder, PixelSpacing=[ds(0.85) for _ in range(9)])


@case("volume")
def samples_per_pixel_missing(folder: Path) -> VolumeTruth:
    return plain_and(folder, SamplesPerPixel=None)


@case("damaged | pixels", oracle=False)
def bits_allocated_missing(folder: Path) -> None:
    plain_and(folder, BitsAllocated=None)


@case("damaged | pixels", oracle=False)
def pixel_representation_missing(folder: Path) -> None:
    """Signed or not: nobody says. 12 bits of 16 would make no difference, but sixteen do."""
    series = make_series(form=Form("CT", 16, 16, False, 1.0, 0.0)).set(PixelRepresentation=None)
    write(series, folder)


@case("damaged | pixels", oracle=False)
def bits_stored_above_allocated(folder: Path) -> None:
    plain_and(folder, BitsStored=20, HighBit=19)


@case("damaged | pixels", oracle=False)
def rows_zero(folder: Path) -> None:
    plain_and(folder, Rows=0)


@case("damaged | pixels", oracle=False)
def twelve_bits_packed(folder: Path) -> None:
    """BitsAllocated 12: two values in three bytes, as ACR-NEMA allowed."""
    series = make_series().set(BitsAllocated=12)
    stored = random_stored(Grid(), Form("CT", 16, 12), 0)
    for k, dataset in enumerate(series.datasets):
        flat = stored[k].ravel()
        low, high = flat[::2], flat[1::2]
        packed = np.stack([low & 0xFF, (low >> 8) | ((high & 0xF) << 4), high >> 4], axis=1)
        dataset.PixelData = packed.astype(np.uint8).tobytes()
    write(series, folder)


@case("volume | damaged")
def implicit_said_to_be_explicit(folder: Path) -> VolumeTruth:
    """The file meta information names another encoding than the dataset has."""
    series = make_series()
    for path in write(series, folder, IMPLICIT):
        raw = path.read_bytes()
        at = raw.index(b"1.2.840.10008.1.2\0")
        path.write_bytes(_longer_syntax(raw, at))
    return series.truth()


def _longer_syntax(raw: bytes, at: int) -> bytes:
    """Replace the transfer syntax in the file meta information, lengths included."""
    uid = EXPLICIT.encode() + b"\0" * (len(EXPLICIT) % 2)
    old = len(b"1.2.840.10008.1.2\0")
    out = raw[: at - 2] + len(uid).to_bytes(2, "little") + uid + raw[at + old :]
    length_at = 132 + 8
    total = int.from_bytes(out[length_at : length_at + 4], "little") + len(uid) - old
    return out[:length_at] + total.to_bytes(4, "little") + out[length_at + 4 :]


@case("volume")
def modality_missing(folder: Path) -> VolumeTruth:
    series = make_series(form=CT).set(Modality=None)
    write(series, folder)
    return series.truth()


@case("volume")
def image_type_missing(folder: Path) -> VolumeTruth:
    return plain_and(folder, ImageType=None)


@case("volume | refused")
def sop_class_missing(folder: Path) -> VolumeTruth:
    """Nobody says what kind of object it is; everything else is there."""
    series = make_series()
    write(series, folder)
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        at = raw.index(b"\x08\x00\x16\x00UI")
        length = int.from_bytes(raw[at + 6 : at + 8], "little")
        path.write_bytes(raw[:at] + raw[at + 8 + length :])
    return series.truth()
