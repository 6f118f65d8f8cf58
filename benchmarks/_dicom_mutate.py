"""Small DICOM series and ways to break one of their files, for the fuzzing benchmark."""

from __future__ import annotations

import io
import random
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from benchmarks._dicom_corpus import CASES
from benchmarks._dicom_corpus.series import MR, Grid, make_series, write

Base = dict[str, bytes]
"""A series: its files by name."""

_CASES = (
    "signed_16",
    "ct_unsigned_with_intercept",
    "signed_12_of_16",
    "bits_8",
    "bits_32",
    "padding_value",
    "slope_of_every_slice",
    "implicit_vr",
    "explicit_big_endian",
    "deflated",
    "rle",
    "jpeg_ls",
    "jpeg_2000",
    "jpeg_lossless",
    "jpeg_lossless_signed",
    "htj2k",
    "enhanced_ct",
    "enhanced_mr",
    "enhanced_diffusion",
)
_SYNTAXES = tuple(
    f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".5", ".4.50", ".4.57", ".4.70", ".4.80", ".4.90")
)
_NUMBERS: tuple[Any, ...] = (0, 1, 2, 3, 7, 8, 12, 16, 17, 24, 32, 64, 255, 4095, 32767, 65535)
_DECIMALS = ("0", "-1", "1e-300", "1e300", "nan", "inf", "-inf", "", "abc", "1" * 16, "0.0001", "1e-5")
_SIZES = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
_PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")
_LENGTHS = (0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def base_sets() -> list[Base]:
    """The series that are mutated, generated; at most five files each."""
    sets = []
    for case in CASES:
        if case.name in _CASES:
            with tempfile.TemporaryDirectory() as folder:
                case.truths(Path(folder))
                files = sorted(path for path in Path(folder).rglob("*") if path.is_file())[:5]
                sets.append({f"{k}.dcm": path.read_bytes() for k, path in enumerate(files)})
    return [*sets, _larger_jpeg_lossless()]


def _larger_jpeg_lossless() -> Base:
    """Frames large enough for damage inside the entropy-coded part, which gdcm answers with abort now and then."""
    import gdcm

    base: Base = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in write(make_series(Grid(columns=80, rows=64, slices=3), MR), Path(folder)):
            reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
            reader.SetFileName(str(path))
            change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
            if not reader.Read():
                raise RuntimeError("gdcm cannot read what pydicom wrote")
            change.SetInput(reader.GetImage())
            change.Change()
            writer.SetFileName(str(path))
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            writer.Write()
            base[path.name] = path.read_bytes()
    return base


def mutate(sets: list[Base], rng: random.Random, folder: Path) -> str:
    """Write one series with one file broken; what was done to it."""
    series = dict(rng.choice(sets))
    name = rng.choice(sorted(series))
    way = rng.choice(_WAYS)
    try:
        series[name] = way(series[name], rng)
    except Exception:  # noqa: BLE001  pydicom does not write everything: then bytes
        way = _flip_bits
        series[name] = way(series[name], rng)
    if rng.random() < 0.05:
        with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in series.items():
                archive.writestr(file, content)
        if rng.random() < 0.5:
            content = (folder / "all.zip").read_bytes()
            (folder / "all.zip").write_bytes(_flip_bits(content, rng))
    else:
        for file, content in series.items():
            (folder / file).write_bytes(content)
    return way.__name__.strip("_")


def _anywhere(data: bytes, rng: random.Random) -> int:
    """Mostly in the header: there the bytes mean most."""
    return rng.randrange(min(len(data), 2500)) if rng.random() < 0.7 else rng.randrange(len(data))


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        out[_anywhere(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _flip_pixels(data: bytes, rng: random.Random) -> bytes:
    """In the pixels, mostly at their start: where they are compressed, the codestream's own header."""
    start = max(data.rfind(b"\xe0\x7f\x10\x00"), 0)
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 4, 16))):
        at = start + (rng.randrange(150) if rng.random() < 0.6 else rng.randrange(len(data) - start))
        out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _set_bytes(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 4))):
        out[_anywhere(data, rng)] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
    return bytes(out)


def _splice(data: bytes, rng: random.Random) -> bytes:
    at, source, length = _anywhere(data, rng), _anywhere(data, rng), rng.randrange(1, 200)
    piece = data[source : source + length]
    return data[:at] + piece + data[at + (len(piece) if rng.random() < 0.5 else 0) :]


def _cut_out(data: bytes, rng: random.Random) -> bytes:
    at = _anywhere(data, rng)
    return data[:at] + data[at + rng.randrange(1, 200) :]


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: _anywhere(data, rng)]


def _huge_length(data: bytes, rng: random.Random) -> bytes:
    """A length field that lies: the two or four bytes after a value representation, or after an item's tag."""
    marks = [i for mark in (b"OW", b"OB", b"SQ", b"DS", b"UI", b"LO", b"\xfe\xff\x00\xe0") for i in _all(data, mark)]
    if not marks:
        return _set_bytes(data, rng)
    at = rng.choice(marks)
    at += 4 if data[at : at + 2] in (b"OW", b"OB", b"SQ", b"\xfe\xff") else 2
    size = 4 if data[at - 4 : at - 2] in (b"OW", b"OB", b"SQ", b"\xfe\xff") else 2
    length = rng.choice(_LENGTHS).to_bytes(4, "little")[:size]
    return data[:at] + length + data[at + size :]


def _bury(data: bytes, rng: random.Random) -> bytes:
    """Sequences inside sequences, as deep as no reader's stack."""
    at = data.find(b"\x08\x00\x18\x00UI")
    if at < 0:
        return _splice(data, rng)
    at += 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    depth = rng.choice((3, 50, 400, 3000))
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return data[:at] + opening * depth + closing * depth + data[at:]


def _all(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0 and len(found) < 400:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def _in_dataset(change: Callable[[Dataset, random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def way(data: bytes, rng: random.Random) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(data))
            change(dataset, rng)
            out = io.BytesIO()
            pydicom.dcmwrite(out, dataset)
            return out.getvalue()

    way.__name__ = change.__name__
    return way


def _change_size(dataset: Dataset, rng: random.Random) -> None:
    for keyword in rng.sample(_SIZES, rng.choice((1, 1, 2))):
        setattr(dataset, keyword, rng.choice(_NUMBERS))


def _change_frames(dataset: Dataset, rng: random.Random) -> None:
    dataset.NumberOfFrames = rng.choice(("0", "1", "2", "5", "1000", "100000000", "2147483647", "-1"))


def _change_place(dataset: Dataset, rng: random.Random) -> None:
    for element in _nested(dataset, rng.choice(_PLACES)):
        values = list(element.value) if element.VM > 1 else [element.value]
        for _ in range(rng.choice((1, 1, 3))):
            values[rng.randrange(len(values))] = rng.choice((*_DECIMALS, f"{rng.uniform(-300, 300):.6g}"))
        if rng.random() < 0.2:
            values = values[: rng.randrange(len(values))] or [""]
        with_text = Dataset()
        with_text.add_new(element.tag, "LO", values)
        element.VR, element.value = "LO", with_text[element.tag].value


def _nested(dataset: Dataset, keyword: str) -> list[Any]:
    return [element for element in dataset.iterall() if element.keyword == keyword][:3]


def _change_syntax(dataset: Dataset, rng: random.Random) -> None:
    dataset.file_meta.TransferSyntaxUID = UID(rng.choice(_SYNTAXES))


def _delete(dataset: Dataset, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3))):
        tag = rng.choice(list(dataset.keys()))
        del dataset[tag]


def _change_kind(dataset: Dataset, rng: random.Random) -> None:
    """Another value representation, or a sequence, where none belongs."""
    tag = rng.choice([tag for tag in dataset.keys() if tag != 0x7FE00010])
    kind, value = rng.choice(
        (("LO", "x" * rng.randrange(100)), ("SQ", [Dataset()]), ("UN", b"\0" * 7), ("US", 3), ("FD", 1e308))
    )
    dataset[tag] = pydicom.DataElement(tag, kind, value)


def _empty_sequence(dataset: Dataset, rng: random.Random) -> None:
    sequences = [element for element in dataset.iterall() if element.VR == "SQ"]
    for element in rng.sample(sequences, min(len(sequences), rng.choice((1, 3)))):
        element.value = list(element.value)[: rng.randrange(2)]


_WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip_bits,
    _flip_bits,
    _flip_pixels,
    _flip_pixels,
    _flip_pixels,
    _set_bytes,
    _splice,
    _cut_out,
    _truncate,
    _huge_length,
    _bury,
    *map(
        _in_dataset,
        (_change_size, _change_frames, _change_place, _change_syntax, _delete, _change_kind, _empty_sequence),
    ),
)
