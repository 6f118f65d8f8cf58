"""Stored integers of one plane: byte order, sign, bits, places, damage."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medidiff.errors import InputError
from medidiff.io.dicom.fragments import frame_fragments, read_frame
from medidiff.io.dicom.model import Facts, FileRef, PixelForm, Plane
from medidiff.io.dicom.pixels import significant_bits, stored_plane

LITTLE, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def form(
    allocated: int = 16, stored: int = 16, signed: bool = False, syntax: str = LITTLE, high: int | None = None
) -> PixelForm:
    return PixelForm(syntax, 1, "MONOCHROME2", allocated, stored, stored - 1 if high is None else high, signed)


def plane(path: Path, shape: tuple[int, int], pixels: PixelForm, offset: int | None = 0, frame: int = 0) -> Plane:
    file = FileRef(path, label="a/1")
    rows, columns = shape
    return Plane(
        file,
        frame,
        frame + 1,
        "",
        "",
        None,
        rows,
        columns,
        pixels,
        1.0,
        0.0,
        "",
        None,
        None,
        None,
        None,
        None,
        Facts(),
        offset,
    )


@pytest.mark.parametrize("syntax", [LITTLE, BIG])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_numbers_as_stored(tmp_path: Path, syntax: str, kind: str) -> None:
    limits = np.iinfo(kind)
    values = np.random.default_rng(0).integers(limits.min, limits.max, (3, 5), endpoint=True).astype(kind)
    values[0, :2] = limits.min, limits.max
    path = tmp_path / "x"
    path.write_bytes(b"head" + values.astype(values.dtype.newbyteorder(">" if syntax == BIG else "<")).tobytes())
    bits = limits.bits
    assert np.array_equal(stored_plane(plane(path, (3, 5), form(bits, bits, kind[0] == "i", syntax), 4)), values)


@given(st.integers(1, 16), st.integers(0, 15), st.booleans(), st.integers(0, 2**32 - 1))
def test_bits_that_mean_nothing_are_dropped(stored: int, lowest: int, signed: bool, seed: int) -> None:
    lowest = min(lowest, 16 - stored)
    rng = np.random.default_rng(seed)
    low, high = (-(1 << (stored - 1)), 1 << (stored - 1)) if signed else (0, 1 << stored)
    values = rng.integers(low, high, 50)
    noise = rng.integers(0, 1 << 16, 50)
    field = ((1 << stored) - 1) << lowest
    raw = ((values << lowest) & field | noise & ~field).astype(np.uint16).view("i2" if signed else "u2")
    found = significant_bits(raw, form(16, stored, signed, high=lowest + stored - 1))
    assert np.array_equal(found, values)


def test_truncated_file_is_an_error_with_its_label(tmp_path: Path) -> None:
    path = tmp_path / "patient-name"
    path.write_bytes(b"\0" * 29)
    with pytest.raises(InputError, match="a/1: truncated") as caught:
        stored_plane(plane(path, (3, 5), form()))
    assert "patient-name" not in str(caught.value)


def test_header_that_declares_more_than_the_file_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="truncated"):
        stored_plane(plane(path, (65535, 65535), form(32, 32)))


@pytest.mark.parametrize(
    "bad",
    [form(1, 1), form(12, 12), form(64, 64), form(16, 17), form(16, 0), form(16, 12, high=10), form(16, 12, high=16)],
)
def test_other_pixels_are_refused(tmp_path: Path, bad: PixelForm) -> None:
    with pytest.raises(InputError, match="one grey integer"):
        stored_plane(plane(tmp_path / "x", (3, 5), bad))


def test_file_that_went_away(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a/1: no such file"):
        stored_plane(plane(tmp_path / "x", (3, 5), form()))


@pytest.mark.parametrize("zipped", [False, True])
def test_pixels_found_where_no_place_is_known(tmp_path: Path, zipped: bool) -> None:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    values = np.arange(30, dtype=np.uint16).reshape(2, 3, 5)
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(LITTLE)
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2"), UID("1.3")
    dataset.PatientName = "Nobody"
    dataset.add_new("PixelData", "OW", values.tobytes())
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    path = tmp_path / "x"
    if zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("1", file.getvalue())
    else:
        path.write_bytes(file.getvalue())
    second = plane(path, (3, 5), form(), None, frame=1)
    second = replace(second, file=replace(second.file, member="1" if zipped else None))
    assert np.array_equal(stored_plane(second), values[1])


def item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content


END = b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize(
    ("pieces", "table", "frames"),
    [
        ([b"aa", b"bbbb"], b"", [b"aa", b"bbbb"]),
        ([b"aa", b"bbbb"], b"", [b"aabbbb"]),
        ([b"aa", b"bbbb", b"cc"], (0).to_bytes(4, "little") + (22).to_bytes(4, "little"), [b"aabbbb", b"cc"]),
        ([b"aa", b"bbbb", b"cc"], (0).to_bytes(4, "little") + (10).to_bytes(4, "little"), [b"aa", b"bbbbcc"]),
    ],
)
def test_fragments_of_frames(pieces: list[bytes], table: bytes, frames: list[bytes]) -> None:
    for end in (END, b""):
        file = io.BytesIO(item(table) + b"".join(map(item, pieces)) + end)
        found = frame_fragments(file, len(frames))
        assert [read_frame(file, fragments) for fragments in found] == frames


@pytest.mark.parametrize("content", [b"", b"abcdefgh", item(b"") + item(b"aa") * 3 + END, item(b"") + END])
def test_fragments_that_cannot_be_assigned(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"offset|fragment"):
        frame_fragments(io.BytesIO(content), 2)


def test_fragment_longer_than_the_file() -> None:
    file = io.BytesIO(item(b"") + b"\xfe\xff\x00\xe0\xf0\xff\xff\xff" + b"aa")
    with pytest.raises(EOFError):
        read_frame(file, frame_fragments(file, 1)[0])
