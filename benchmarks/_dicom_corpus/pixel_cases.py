"""How values are stored: number types, slopes, padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.series import (
    CT,
    EXPLICIT,
    MR,
    PT,
    Form,
    Grid,
    make_series,
    plane_truth,
    random_stored,
    write,
)
from benchmarks._dicom_corpus.truth import VolumeTruth


def stored_as(folder: Path, form: Form, syntax: str = EXPLICIT, **options: object) -> VolumeTruth:
    """A good series in some form."""
    series = make_series(form=form, **options)  # type: ignore[arg-type]
    write(series, folder, syntax)
    return series.truth()


@case("volume")
def slope_of_every_slice(folder: Path) -> VolumeTruth:
    slopes = list(np.linspace(0.5, 7.25, 9))
    return stored_as(folder, MR, slopes=slopes, intercepts=list(np.linspace(-100, 31, 9)))


@case("volume")
def pet_with_decaying_slopes(folder: Path) -> VolumeTruth:
    return stored_as(folder, PT, slopes=list(2.5 * np.exp(-0.1 * np.arange(9))))


@case("volume")
def slope_in_some_slices_only(folder: Path) -> VolumeTruth:
    """Where none is said, the stored value is the value."""
    series = make_series(slopes=[2.0 if k % 2 else 1.0 for k in range(9)], intercepts=[0.0] * 9)
    for dataset in series.datasets[::2]:
        del dataset.RescaleSlope, dataset.RescaleIntercept
    write(series, folder)
    return series.truth()


@case("volume")
def slope_negative(folder: Path) -> VolumeTruth:
    return stored_as(folder, Form("MR", 16, 12, False, -0.5, 1000.25))


@case("volume")
def slope_tiny(folder: Path) -> VolumeTruth:
    return stored_as(folder, Form("MR", 16, 12, False, 3.0517578e-07, 0.0))


@case("volume | refused", oracle=False)
def slope_zero(folder: Path) -> None:
    """Nothing can be right here but to refuse, or to say that every voxel is the intercept."""
    series = make_series(form=Form("CT", 16, 16, True, 0.0, 0.0))
    write(series, folder)
    return series.truth()  # type: ignore[return-value]


@case("refused", oracle=False)
def slope_not_a_number(folder: Path) -> None:
    for path in write(make_series(form=CT), folder):
        tag = b"\x28\x00\x53\x10DS\x04\x00"
        path.write_bytes(path.read_bytes().replace(tag + b"1.0 ", tag + b"nan "))


@case("volume", warns="MONOCHROME1")
def monochrome1_ct(folder: Path) -> VolumeTruth:
    series = make_series(form=CT).set(PhotometricInterpretation="MONOCHROME1")
    write(series, folder)
    return series.truth()


@case("volume")
def signed_16(folder: Path) -> VolumeTruth:
    return stored_as(folder, Form("MR", 16, 16, True))


@case("volume")
def unsigned_16_above_32767(folder: Path) -> VolumeTruth:
    return stored_as(folder, Form("MR", 16, 16, False))


@case("volume")
def ct_unsigned_with_intercept(folder: Path) -> VolumeTruth:
    return stored_as(folder, Form("CT", 16, 12, False, 1.0, -1024.0))


@case("volume")
def signed_12_of_16(folder: Path) -> VolumeTruth:
    """Sign-extended to 16 bits, as most write it."""
    return stored_as(folder, Form("CT", 16, 12, True, 1.0, 0.0))


@case("volume")
def signed_12_of_16_not_extended(folder: Path) -> VolumeTruth:
    """Only 12 bits are set: the sign is bit 11."""
    return _with_top_bits(folder, signed=True, top=np.zeros)


@case("volume")
def overlay_in_the_top_bits(folder: Path) -> VolumeTruth:
    """Bits 12 to 15 hold something else (retired overlays)."""
    rng = np.random.default_rng(7)
    return _with_top_bits(folder, signed=False, top=lambda shape: rng.integers(0, 16, shape))


@case("volume")
def overlay_above_signed(folder: Path) -> VolumeTruth:
    rng = np.random.default_rng(8)
    return _with_top_bits(folder, signed=True, top=lambda shape: rng.integers(0, 16, shape))


def _with_top_bits(folder: Path, signed: bool, top: Callable[[tuple[int, ...]], np.ndarray]) -> VolumeTruth:
    form = Form("CT", 16, 12, signed, 1.0, 0.0)
    stored = random_stored(Grid(), form, 0)
    series = make_series(form=form, stored=stored)
    for k, dataset in enumerate(series.datasets):
        word = (stored[k] & 0xFFF) | (np.asarray(top(stored[k].shape), dtype=int) << 12)
        dataset.PixelData = word.astype("<u2").tobytes()
    write(series, folder)
    return series.truth()


@case("volume | pixels", oracle=False)
def high_bit_15_of_12(folder: Path) -> VolumeTruth:
    """The value sits in the upper twelve bits: not allowed since 1993, but files live long."""
    series = make_series()
    for dataset in series.datasets:
        words = np.frombuffer(dataset.PixelData, "<u2") << 4
        dataset.PixelData, dataset.HighBit = words.astype("<u2").tobytes(), 15
    write(series, folder)
    return series.truth()


@case("volume")
def bits_8(folder: Path) -> VolumeTruth:
    return stored_as(folder, Form("MR", 8, 8, False))


@case("volume")
def bits_8_odd_length(folder: Path) -> VolumeTruth:
    """15 x 11 bytes and one of padding."""
    return stored_as(folder, Form("MR", 8, 8, False), grid=Grid(columns=15, rows=11))


@case("volume | pixels")
def bits_32(folder: Path) -> VolumeTruth:
    """24 bits used: float32 holds each of them."""
    stored = random_stored(Grid(), Form("MR", 32, 24, True), 0)
    return stored_as(folder, Form("MR", 32, 32, True), stored=stored)


@case("volume")
def signed_in_some_slices_only(folder: Path) -> VolumeTruth:
    """PixelRepresentation differs from slice to slice, as some CTs write it."""
    stored = random_stored(Grid(), Form("CT", 16, 15, False), 0)
    series = make_series(form=Form("CT", 16, 16, False, 1.0, 0.0), stored=stored)
    for dataset in series.datasets[::2]:
        signed = np.frombuffer(dataset.PixelData, "<u2").astype(int) - 2000
        dataset.PixelData, dataset.PixelRepresentation = signed.astype("<i2").tobytes(), 1
        dataset.RescaleIntercept = "2000"
    write(series, folder)
    return series.truth()


@case("volume")
def padding_value(folder: Path) -> VolumeTruth:
    """-2000 outside the circle of a CT: whatever is made of it, the other voxels are untouched."""
    stored = random_stored(Grid(), Form("CT", 16, 12, False), 0) - 1000
    stored[:, :3, :3] = -2000
    series = make_series(form=CT, stored=stored).set(PixelPaddingValue=-2000)
    for dataset in series.datasets:
        dataset["PixelPaddingValue"].VR = "SS"
    write(series, folder)
    known = [np.where(plane.values == -2000, np.nan, plane.values) for plane in series.planes]
    grid = Grid()
    return VolumeTruth(tuple(plane_truth(grid, grid.position(k), values) for k, values in enumerate(known)))


@case("volume | pixels", oracle=False)
def modality_lut(folder: Path) -> VolumeTruth:
    """A table instead of slope and intercept: to be applied or refused, never ignored."""
    table = np.random.default_rng(3).integers(0, 60000, 256)
    form, grid = Form("CT", 16, 8, False), Grid()
    stored = random_stored(grid, form, 0)
    series = make_series(grid, form, stored=stored)
    for dataset in series.datasets:
        lut = Dataset()
        lut.LUTDescriptor, lut.ModalityLUTType = [256, 0, 16], "HU"
        lut["LUTDescriptor"].VR = "US"
        lut.add_new("LUTData", "OW", table.astype("<u2").tobytes())
        dataset.ModalityLUTSequence = [lut]
    write(series, folder)
    return VolumeTruth(tuple(plane_truth(grid, grid.position(k), table[stored[k]]) for k in range(9)))


@case("colour", oracle=False)
def rgb(folder: Path) -> None:
    series = make_series()
    for k, dataset in enumerate(series.datasets):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = np.random.default_rng(k).integers(0, 256, (12, 16, 3), dtype=np.uint8).tobytes()
    write(series, folder)


@case("colour | pixels", oracle=False)
def palette_colour(folder: Path) -> None:
    """One number a pixel, but it is an index into a table of colours."""
    series = make_series(form=Form("MR", 8, 8, False)).set(PhotometricInterpretation="PALETTE COLOR")
    for dataset in series.datasets:
        for colour in ("Red", "Green", "Blue"):
            dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
            dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", bytes(512))
    write(series, folder)
