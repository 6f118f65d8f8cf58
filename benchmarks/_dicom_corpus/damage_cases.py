"""Damage: truncated, garbled, empty, contradictory; one file among good ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate, generate_frames

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.codec_cases import compressed
from benchmarks._dicom_corpus.series import (
    CT,
    MR,
    make_series,
    write,
    write_file,
)
from benchmarks._dicom_corpus.truth import VolumeTruth


@case("damaged", oracle=False)
def pixels_truncated(folder: Path) -> None:
    """One file of nine ends early, in its pixels."""
    paths = write(make_series(), folder)
    paths[4].write_bytes(paths[4].read_bytes()[:-100])


@case("damaged", oracle=False)
def header_truncated(folder: Path) -> None:
    """One file ends before its geometry: its series is known, its place is not."""
    paths = write(make_series(), folder)
    raw = paths[4].read_bytes()
    paths[4].write_bytes(raw[: raw.index(b"\x20\x00\x32\x00") + 10])


@case("damaged", oracle=False)
def pixels_too_short_for_rows(folder: Path) -> None:
    """Rows says more than there is."""
    series = make_series()
    for dataset in series.datasets:
        dataset.Rows = 13
    write(series, folder)


@case("volume | damaged")
def pixels_longer_than_rows(folder: Path) -> VolumeTruth:
    """Trailing bytes in PixelData: the first Rows x Columns count."""
    series = make_series()
    for dataset in series.datasets:
        dataset.PixelData = dataset.PixelData + bytes(64)
    write(series, folder)
    return series.truth()


@case("damaged | report", oracle=False)
def pixels_missing(folder: Path) -> None:
    series = make_series()
    for dataset in series.datasets:
        del dataset.PixelData
    write(series, folder)


@case("damaged", oracle=False)
def pixels_missing_in_one(folder: Path) -> None:
    series = make_series()
    del series.datasets[4].PixelData
    write(series, folder)


@case("damaged | unreadable", oracle=False)
def compressed_stream_truncated(folder: Path) -> None:
    """The JPEG-LS stream of one slice is cut to a half; the file around it is whole."""
    compressed(folder, uid.JPEGLSLossless, MR)
    path = sorted(folder.iterdir())[2]
    dataset = dcmread(path)
    (whole,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([whole[: len(whole) // 2]])
    write_file(dataset, path, uid.JPEGLSLossless)


@case("damaged | unreadable", oracle=False)
def rle_stream_damaged(folder: Path) -> None:
    """The RLE header of one slice points behind the end."""
    compressed(folder, uid.RLELossless, CT)
    path = sorted(folder.iterdir())[2]
    dataset = dcmread(path)
    (whole,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([whole[:8] + b"\xff\xff\xff\x7f" + whole[12:]])
    write_file(dataset, path, uid.RLELossless)


@case("gap", oracle=False, notes=("damaged",))
def garbage_instead_of_a_slice(folder: Path) -> None:
    """A file said to be DICOM by its name and preamble, with nothing sensible in it."""
    paths = write(make_series(), folder)
    noise = np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8).tobytes()
    _slice_file(paths, 4).write_bytes(bytes(128) + b"DICM" + noise)


@case("gap", oracle=False, notes=("empty",))
def empty_file_instead_of_a_slice(folder: Path) -> None:
    paths = write(make_series(), folder)
    _slice_file(paths, 4).write_bytes(b"")


def _slice_file(paths: list[Path], slice_index: int) -> Path:
    """The file of a slice: `write` shuffles them."""
    return next(path for path in paths if dcmread(path).InstanceNumber == slice_index + 1)


@case("volume | damaged")
def trailing_bytes_after_the_file(folder: Path) -> VolumeTruth:
    """Zero bytes behind the last element."""
    series = make_series()
    for path in write(series, folder):
        path.write_bytes(path.read_bytes() + bytes(512))
    return series.truth()
