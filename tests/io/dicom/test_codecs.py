"""Every transfer syntax of the real corpus, and streams that must not take the process down."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.io.dicom import codecs
from medidiff.io.dicom.codecs import CODECS, check_stream, codec_refusal
from medidiff.io.dicom.decoding import DecodeError, FrameDecoder
from medidiff.io.dicom.files import find_files, open_file
from medidiff.io.dicom.header import Header, read_header
from medidiff.io.dicom.model import PixelForm, Plane
from medidiff.io.dicom.pixels import stored_plane

GENERIC = "dicom2nifti/generic"


def planes(folder: Path) -> list[Plane]:
    headers = [read_header(file) for file in find_files(folder)]
    return [plane for header in headers if isinstance(header, Header) for plane in header.planes]


def frame_of(plane: Plane) -> bytes:
    """The only frame's codestream, found without the reader under test."""
    import pydicom
    from pydicom.encaps import get_frame

    with open_file(plane.file) as file:
        return get_frame(pydicom.dcmread(file).PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize(
    "name", ["compressed", "compressed_rle", "compressed_jpegls", "compressed_j2k", "compressed_jpeg"]
)
def test_compressed_equals_the_nifti_beside_it(real_data: Callable[[str], Path], name: str) -> None:
    folder = real_data("dicom") / GENERIC / name
    truth = np.asarray(nib.load(folder / "001_ground_truth.nii.gz").dataobj)  # type: ignore[attr-defined]
    compressed = planes(folder / "001")
    assert all(plane.form.transfer_syntax in CODECS for plane in compressed)
    # A row of the file is the x axis; which way slices and axes point is another test's matter.
    ours = [np.sort(stored_plane(plane).T, axis=None) for plane in compressed]
    axis = truth.shape.index(len(compressed))
    theirs = [np.sort(np.take(truth, k, axis), axis=None) for k in range(len(compressed))]
    assert all(any(np.array_equal(a, b) for b in theirs) for a in ours)
    first, turned = stored_plane(compressed[0]), [np.rot90(np.moveaxis(truth, axis, -1), k) for k in range(4)]
    candidates = [view[..., k] for t in turned for view in (t, t.transpose(1, 0, 2)) for k in range(len(compressed))]
    assert any(np.array_equal(first, candidate) for candidate in candidates)


def test_every_syntax_has_its_decoder() -> None:
    assert [codec_refusal(uid) for uid in CODECS] == [None] * len(CODECS)


def test_missing_decoder_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs.importlib.util, "find_spec", lambda name: None)
    refusal = codec_refusal("1.2.840.10008.1.2.4.80")
    assert refusal is not None
    assert refusal.code == "codec"
    assert "JPEG-LS" in str(refusal)
    assert "pip install python-gdcm" in str(refusal)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.100", "1.2.3\x01Doe^John", ""])
def test_unknown_syntax_is_refused_and_not_repeated(uid: str) -> None:
    refusal = codec_refusal(uid)
    assert refusal is not None
    assert "Doe" not in str(refusal)


def test_lossy_twelve_bits_is_refused() -> None:
    assert codec_refusal("1.2.840.10008.1.2.4.51", 8) is None
    assert codec_refusal("1.2.840.10008.1.2.4.51", 12) is not None


def test_stream_of_another_size_is_refused() -> None:
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc3\x00\x0b\x10\x00\x40\x00\x20\x01" + b"\0" * 8
    check_stream(jpeg, "jpeg", 64, 32, 16)
    for wrong in ((64, 33, 16), (63, 32, 16), (64, 32, 8)):
        with pytest.raises(ValueError, match="holds 64 x 32"):
            check_stream(jpeg, "jpeg", *wrong)
    for nothing in (b"", b"\xff\xd8", jpeg[:9], b"\xff\xd8\xff\xe0\0\0" * 9):
        with pytest.raises(ValueError, match="no frame header"):
            check_stream(nothing, "jpeg", 64, 32, 16)


def test_sixtyfive_thousand_squared_from_a_hundred_bytes_is_refused_at_once(plane: Plane) -> None:
    huge = replace(plane, rows=65535, columns=65535)
    with FrameDecoder() as decoder, pytest.raises(DecodeError):
        decoder.decode(b"\0" * 100, huge)
    assert decoder._process is None


def damage(stream: bytes, seed: int) -> bytes:
    """Bits or bytes changed, most of them in the stream's header."""
    rng, out = random.Random(seed), bytearray(stream)
    kind = rng.random()
    reach = lambda: rng.randrange(min(len(out), 200 if rng.random() < 0.6 else len(out)))  # noqa: E731
    if kind < 0.5:
        for _ in range(rng.choice([1, 1, 2, 5, 20])):
            i = reach()
            out[i] ^= 1 << rng.randrange(8)
    elif kind < 0.75:
        for _ in range(rng.choice([1, 2, 4])):
            i = reach()
            out[i] = rng.choice([0, 255, 127, 128, rng.randrange(256)])
    elif kind < 0.85:
        del out[rng.randrange(len(out)) :]
    else:
        i, j = sorted((rng.randrange(len(out)), rng.randrange(len(out))))
        length = rng.randrange(1, 64)
        out[i : i + length] = out[j : j + length]
    return bytes(out)


def test_streams_that_crash_the_decoder_are_errors_and_the_next_is_read(real_data: Callable[[str], Path]) -> None:
    """These seeds make gdcm 3.2.6 abort, though the stream's own header is that of the file."""
    one = planes(real_data("dicom") / GENERIC / "compressed_jpeg/001")[0]
    good = frame_of(one)
    with FrameDecoder() as decoder:
        expected = decoder.decode(good, one).copy()
        for seed in (51, 98, 161, 298, 450):
            with pytest.raises(DecodeError):
                decoder.decode(damage(good, seed), one)
        assert np.array_equal(decoder.decode(good, one), expected)
        assert decoder._process is not None
        decoder._process.kill()  # however it dies
        decoder._process.wait()
        assert np.array_equal(decoder.decode(good, one), expected)


def test_damaged_stream_in_a_file_is_an_input_error(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    one = planes(real_data("dicom") / GENERIC / "compressed_jpegls/001")[0]
    content = one.file.path.read_bytes()
    stream = content.index(b"\xff\xd8\xff")
    (tmp_path / "1.dcm").write_bytes(content[: stream + 60] + b"\xff" * (len(content) - stream - 60))
    with pytest.raises(InputError, match=r"frame 1: the pixels are damaged|truncated"):
        stored_plane(replace(one, file=replace(one.file, path=tmp_path / "1.dcm")))


@pytest.fixture
def plane() -> Plane:
    from medidiff.io.dicom.model import Facts, FileRef

    form = PixelForm("1.2.840.10008.1.2.4.90", 1, "MONOCHROME2", 16, 12, 11, False)
    return Plane(
        FileRef(Path("x"), label="x"),
        0,
        1,
        "",
        "",
        None,
        4,
        4,
        form,
        1.0,
        0.0,
        "",
        None,
        None,
        None,
        None,
        None,
        Facts(),
    )
