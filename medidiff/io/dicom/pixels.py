"""The stored integers of one plane: straight from the file where they lie there, else through a decoder."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import numpy as np

from medidiff.errors import InputError
from medidiff.io.dicom.codecs import BYTE_ORDERS, CODECS, DEFLATED, codec_refusal
from medidiff.io.dicom.decoding import DecodeError, FrameDecoder, shared_decoder
from medidiff.io.dicom.files import open_file
from medidiff.io.dicom.fragments import Fragment, frame_fragments, read_frame
from medidiff.io.dicom.model import FileRef, PixelForm, Plane

_PIXELS = 0x7FE00010
_MAX_HEADER, _MAX_DEFLATED, _MAX_EXPANSION = 1 << 26, 1 << 30, 1032  # bytes, bytes, what deflate can reach at most
_AGAIN = "Get the file again from its source."


def stored_plane(plane: Plane) -> np.ndarray:
    """The stored integers of one plane, by itself. Many planes: `PlaneReader`.

    Returns:
        (rows, columns), bits outside BitsStored cleared, or filled with the sign where the values are signed.

    Raises:
        InputError: Absent, truncated, damaged, compressed in a way that is not decoded, or not one grey integer.
    """
    with PlaneReader() as reader:
        return reader.stored(plane)


class PlaneReader:
    """Reads planes one after another; the frames of a multi-frame file open it once. A context manager."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._file: FileRef | None = None
        self._frames: _Frames | None = None

    def __enter__(self) -> PlaneReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def stored(self, plane: Plane) -> np.ndarray:
        """As `stored_plane`."""
        check_form(plane)
        name = plane.file.label or plane.file.path.name
        try:
            if plane.data_offset is not None and plane.file.member is None:
                raw = _read_array(plane)
            else:
                raw = self._frames_of(plane).read(plane, shared_decoder())
        except (DecodeError, ValueError) as error:
            raise InputError(f"{name}: frame {plane.frame + 1}: the pixels are damaged. {_AGAIN}") from error
        except EOFError as error:
            raise InputError(f"{name}: truncated before the end of frame {plane.frame + 1}. {_AGAIN}") from error
        return significant_bits(raw, plane.form)

    def _frames_of(self, plane: Plane) -> _Frames:
        if self._frames is None or self._file != plane.file:
            self._open.close()
            self._frames, self._file = None, None
            self._frames = self._open.enter_context(_frames_in(plane))
            self._file = plane.file
        return self._frames


def check_form(plane: Plane) -> None:
    """Refuse pixels that are not one integer of 8, 16 or 32 bits.

    Raises:
        InputError: They are not.
    """
    form = plane.form
    whole = form.bits_allocated in (8, 16, 32) and 0 < form.bits_stored <= form.high_bit + 1 <= form.bits_allocated
    if form.samples != 1 or not whole or plane.rows < 1 or plane.columns < 1:
        raise InputError(
            f"{plane.file.label}: {form.samples} values of {form.bits_stored} bits, the highest bit {form.high_bit}, "
            f"in {form.bits_allocated} bits: must be one grey integer of 8, 16 or 32 bits. {_AGAIN}"
        )


def stored_type(form: PixelForm) -> np.dtype:
    """Type of the values in a file that is not compressed, in its byte order."""
    order = ">" if BYTE_ORDERS.get(form.transfer_syntax) == "big" else "<"
    return np.dtype(f"{order}{'i' if form.signed else 'u'}{form.bits_allocated // 8}")


def significant_bits(raw: np.ndarray, form: PixelForm) -> np.ndarray:
    """The bits that mean something, as a number: old files keep overlays in the others (PS3.5, 8.1.1)."""
    if form.bits_stored == form.bits_allocated:
        return raw
    if not form.signed:
        shifted = raw >> (form.high_bit + 1 - form.bits_stored) if form.high_bit + 1 != form.bits_stored else raw
        return shifted & raw.dtype.type((1 << form.bits_stored) - 1)
    # The sign bit goes to the top, then all back down: an arithmetic shift fills with the sign.
    return (raw << (form.bits_allocated - 1 - form.high_bit)) >> (form.bits_allocated - form.bits_stored)


def _read_array(plane: Plane) -> np.ndarray:
    """Straight from its place in the file.

    Raises:
        EOFError: The file ends before it.
    """
    dtype = stored_type(plane.form)
    bytes_needed = plane.rows * plane.columns * dtype.itemsize
    with open_file(plane.file) as file:
        # No memory is taken for what the file does not hold.
        if file.seek(0, io.SEEK_END) < (plane.data_offset or 0) + bytes_needed:
            raise EOFError
        file.seek(plane.data_offset or 0)
        return _exactly(file, plane, dtype)


def _exactly(file: BinaryIO, plane: Plane, dtype: np.dtype) -> np.ndarray:
    raw = file.read(plane.rows * plane.columns * dtype.itemsize)
    if len(raw) < plane.rows * plane.columns * dtype.itemsize:
        raise EOFError
    return np.frombuffer(raw, dtype).reshape(plane.rows, plane.columns)


class _Frames:
    """The frames of one open file, compressed or inside something."""

    def __init__(self, file: BinaryIO, start: int, fragments: list[list[Fragment]] | None) -> None:
        self._file = file
        self._start = start
        self._fragments = fragments

    def read(self, plane: Plane, decoder: FrameDecoder) -> np.ndarray:
        if self._fragments is not None:
            return decoder.decode(read_frame(self._file, self._fragments[plane.frame]), plane)
        dtype = stored_type(plane.form)
        self._file.seek(self._start + plane.frame * plane.rows * plane.columns * dtype.itemsize)
        return _exactly(self._file, plane, dtype)


@contextmanager
def _frames_in(plane: Plane) -> Iterator[_Frames]:
    """Open a file whose pixels do not lie at a known place, and find them.

    Raises:
        InputError: No pixels, or of a transfer syntax that is not decoded.
        EOFError, ValueError: Damaged.
    """
    syntax = plane.form.transfer_syntax
    name = plane.file.label or plane.file.path.name
    refusal = codec_refusal(syntax, plane.form.bits_stored)
    if refusal is not None:
        raise InputError(f"{name}: {refusal}")
    with open_file(plane.file) as opened:
        file = _inflated(opened, plane) if syntax == DEFLATED else opened
        undefined = _go_to_pixels(file, syntax)
        if undefined != (syntax in CODECS):
            raise ValueError("compressed or not, the file contradicts itself")
        fragments = frame_fragments(file, plane.frames) if undefined else None
        yield _Frames(file, file.tell(), fragments)


def _inflated(file: BinaryIO, plane: Plane) -> BinaryIO:
    """The part of a deflated file after its group 2, which is 12 bytes of group length and what they count."""
    head = file.read(144)
    file.seek(144 + int.from_bytes(head[140:144], "little"))
    limit = _MAX_HEADER + plane.frames * plane.rows * plane.columns * plane.form.bits_allocated // 8
    deflated = file.read(min(limit, _MAX_DEFLATED))
    limit = min(limit, _MAX_EXPANSION * len(deflated))
    return io.BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, limit))


def _go_to_pixels(file: BinaryIO, syntax: str) -> bool:
    """Leave the file at the value of its pixels; whether they are fragments (their length is undefined)."""
    import pydicom
    from pydicom.filereader import read_dataset

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the header has been judged by the scan
            if syntax == DEFLATED:
                read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >= _PIXELS)
                implicit = False
            else:
                dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=[])
                implicit = bool(dataset.original_encoding[0])
    except Exception as error:  # pydicom meets damage in every way there is
        raise ValueError("the header is damaged") from error
    order = BYTE_ORDERS.get(syntax, "little")
    start = file.read(8 if implicit else 12)
    tag = int.from_bytes(start[:2], order) << 16 | int.from_bytes(start[2:4], order)
    if tag != _PIXELS:
        raise ValueError("no integer pixels")
    return int.from_bytes(start[-4:], order) == 0xFFFFFFFF
