"""Damage: truncated, garbled, empty, contradictory; one file among good ones."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate, generate_frames

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.codec_cases import compressed
from benchmarks._dicom_corpus.medium import make_medium
from benchmarks._dicom_corpus.series import (
    CT,
    MR,
    Grid,
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


@case("damaged", oracle=False, notes=("empty",))
def last_slice_empty(folder: Path) -> None:
    """At the end of a stack no gap shows: eight slices would pass for all."""
    paths = write(make_series(), folder)
    _slice_file(paths, 8).write_bytes(b"")


@case("damaged", oracle=False, notes=("not DICOM",))
def last_slice_random(folder: Path) -> None:
    """Random bytes under a name like that of the others."""
    paths = write(make_series(), folder)
    _slice_file(paths, 8).write_bytes(np.random.default_rng(0).bytes(2000))


@case("damaged", oracle=False, notes=("not DICOM",))
def last_slice_random_without_suffix(folder: Path) -> None:
    paths = write(make_series(), folder, pattern="IM{:05d}")
    _slice_file(paths, 8).write_bytes(np.random.default_rng(0).bytes(2000))


@case("damaged", oracle=False, notes=("damaged",))
def last_slice_cut_in_its_header(folder: Path) -> None:
    """After 500 bytes: neither the series nor the place is there, and it is no patient of its own."""
    paths = write(make_series(), folder)
    path = _slice_file(paths, 8)
    path.write_bytes(path.read_bytes()[:500])


@case("damaged", oracle=False, notes=("a link that leads nowhere",))
def last_slice_not_fetched(folder: Path) -> None:
    """A link into a store that does not have the file, as git-annex leaves it."""
    paths = write(make_series(), folder)
    path = _slice_file(paths, 8)
    path.unlink()
    path.symlink_to(folder / "store" / "absent")


@case("damaged", oracle=False, notes=("empty",), root="in.zip")
def last_slice_empty_in_a_zip(folder: Path) -> None:
    paths = write(make_series(), folder / "in")
    _slice_file(paths, 8).write_bytes(b"")
    with zipfile.ZipFile(folder / "in.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"a/{path.name}")


@case("damaged", oracle=False, root="cd/DICOMDIR", notes=("listed in the DICOMDIR but not there",))
def last_slice_absent_from_a_medium(folder: Path) -> None:
    """The DICOMDIR names nine files, eight are there."""
    make_medium(folder / "cd", write(make_series(), folder / "raw"))
    last = max((path for path in (folder / "cd").rglob("*") if path.is_file()), key=_height)
    last.unlink()


@case("volume x2", oracle=False, notes=("empty",), warns="may be a slice of this or another series")
def empty_file_among_two_series(folder: Path) -> list[VolumeTruth]:
    """Nothing says whose slice it was: both are read, with a warning."""
    truths = []
    for n in range(2):
        series = make_series(seed=n, series=n)
        write(series, folder, pattern=f"{n}{{:03d}}.dcm")
        truths.append(series.truth())
    (folder / "1009.dcm").write_bytes(b"")
    return truths


@case("damaged, volume", oracle=False, notes=("empty",))
def empty_file_in_the_folder_of_one_of_two_series(folder: Path) -> VolumeTruth:
    """The other series, in a folder of its own, is read."""
    good = make_series(seed=1, series=1)
    write(good, folder / "b")
    write(make_series(), folder / "a")
    (folder / "a" / "0009.dcm").write_bytes(b"")
    return good.truth()


@case("damaged", oracle=False, notes=("empty",))
def tilted_with_an_empty_file(folder: Path) -> None:
    """--resample-tilt would read it short: so it is not refused for the tilt alone."""
    write(make_series(Grid(shear=0.3)), folder)
    (folder / "0009.dcm").write_bytes(b"")


@case("damaged", oracle=False, notes=("empty",))
def one_gap_two_empty_files(folder: Path) -> None:
    """One of them may belong into the gap, the other behind the end, where --fill-gaps would not look."""
    paths = write(make_series(), folder)
    for path in [_slice_file(paths, index) for index in (4, 8)]:
        path.write_bytes(b"")


def _height(path: Path) -> float:
    position = dcmread(path).get("ImagePositionPatient")
    return float("-inf") if position is None else float(position[2])


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
