"""Transfer syntaxes: how pixels may be stored, and what decodes those that are compressed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from medidiff.io.dicom.model import Refusal

if TYPE_CHECKING:
    import numpy as np

DEFLATED = "1.2.840.10008.1.2.1.99"
BYTE_ORDERS: dict[str, Literal["little", "big"]] = {
    "1.2.840.10008.1.2": "little",
    "1.2.840.10008.1.2.1": "little",
    DEFLATED: "little",
    "1.2.840.10008.1.2.2": "big",
}
"""Of the transfer syntaxes whose pixels are not compressed."""


@dataclass(frozen=True)
class Codec:
    """What decodes a compressed transfer syntax.

    Args:
        name: The syntax in words.
        plugin: pydicom's name of the decoder.
        module: What must be importable for it.
        package: What provides that, for pip.
        stream: Kind of codestream, whose own header is read before it is decoded.
    """

    name: str
    plugin: str
    module: str
    package: str
    stream: Literal["jpeg", "j2k", "rle"]


_PREFIX = "1.2.840.10008.1.2."
_EXTENDED = _PREFIX + "4.51"
_Decoder = tuple[str, str, str, Literal["jpeg", "j2k", "rle"]]
_RLE: _Decoder = ("pydicom", "pydicom", "pydicom", "rle")
_PILLOW: _Decoder = ("pillow", "PIL", "pillow", "jpeg")
_GDCM: _Decoder = ("gdcm", "gdcm", "python-gdcm", "jpeg")
_OPENJPEG: _Decoder = ("pylibjpeg", "openjpeg", "pylibjpeg-openjpeg", "j2k")
CODECS: dict[str, Codec] = {
    _PREFIX + "5": Codec("RLE Lossless", *_RLE),
    _PREFIX + "4.50": Codec("JPEG Baseline", *_PILLOW),
    _EXTENDED: Codec("JPEG Extended", *_PILLOW),
    _PREFIX + "4.57": Codec("JPEG Lossless", *_GDCM),
    _PREFIX + "4.70": Codec("JPEG Lossless, first-order prediction", *_GDCM),
    _PREFIX + "4.80": Codec("JPEG-LS Lossless", *_GDCM),
    _PREFIX + "4.81": Codec("JPEG-LS Near-Lossless", *_GDCM),
    _PREFIX + "4.90": Codec("JPEG 2000 Lossless", *_OPENJPEG),
    _PREFIX + "4.91": Codec("JPEG 2000", *_OPENJPEG),
    _PREFIX + "4.201": Codec("High-Throughput JPEG 2000 Lossless", *_OPENJPEG),
    _PREFIX + "4.202": Codec("High-Throughput JPEG 2000 Lossless, RPCL", *_OPENJPEG),
    _PREFIX + "4.203": Codec("High-Throughput JPEG 2000", *_OPENJPEG),
}
"""By transfer syntax UID. Decoders whose licence suits this one: pylibjpeg-libjpeg, which decodes most, is GPL.

pyjpegls decodes JPEG-LS as well, but 152 of 2000 mutated streams made it hang, none of them gdcm.
"""


def codec_refusal(transfer_syntax: str, bits_stored: int = 8) -> Refusal | None:
    """Why pixels of this transfer syntax cannot be read here, or None where they can."""
    if transfer_syntax in BYTE_ORDERS:
        return None
    codec = CODECS.get(transfer_syntax)
    deep = transfer_syntax == _EXTENDED and bits_stored > 8  # no decoder here takes 12 bits with loss
    if codec is None or deep:
        return Refusal(
            "codec",
            f"The pixels are stored as {_name_of(transfer_syntax)}{' of 12 bits' * deep}: medidiff does not decode it.",
            "Decompress them first, for example with gdcmconv --raw or dcmdjpeg.",
        )
    if importlib.util.find_spec(codec.module) is None:
        return Refusal(
            "codec",
            f"The pixels are stored as {codec.name}, and its decoder is not installed.",
            f"Install it: pip install {codec.package}",
        )
    return None


def decode_frame(
    stream: bytes, transfer_syntax: str, rows: int, columns: int, bits_allocated: int, bits_stored: int, signed: bool
) -> np.ndarray:
    """Decode one grey frame, in this process: a damaged stream can take it down. See `decoding.FrameDecoder`.

    Returns:
        Stored integers (rows, columns), in as many bytes as the decoder took.

    Raises:
        Exception: Whatever the decoder raises for a damaged stream.
        ValueError: The stream's own header is another image than the file says.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    codec = CODECS[transfer_syntax]
    if codec.stream != "rle":
        check_stream(stream, codec.stream, rows, columns, bits_allocated)
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": bits_allocated,
        "bits_stored": bits_stored,
        "pixel_representation": int(signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    decoder = get_decoder(transfer_syntax)
    array, _ = decoder.as_array(encapsulate([stream]), decoding_plugin=codec.plugin, raw=True, **options)
    if array.shape != (rows, columns) or array.dtype.kind not in "iu":
        raise ValueError(f"decoded to {array.shape} {array.dtype}")
    return array


def check_stream(stream: bytes, kind: Literal["jpeg", "j2k"], rows: int, columns: int, bits_allocated: int) -> None:
    """Hold a codestream's own header against the file's.

    Raises:
        ValueError: It is another size, colour, deeper than the file allows, or not found.
    """
    found = _jpeg_size(stream) if kind == "jpeg" else _j2k_size(stream)
    if found is None:
        raise ValueError("no frame header in the codestream")
    height, width, components, bits = found
    if (height, width, components) != (rows, columns, 1) or not 0 < bits <= bits_allocated:
        raise ValueError(f"the codestream holds {height} x {width} x {components} of {bits} bits")


def _jpeg_size(stream: bytes) -> tuple[int, int, int, int] | None:
    """Height, width, components and bits from the frame header of JPEG (ITU T.81, B.2.2) or JPEG-LS."""
    position = 2
    while stream[:2] == b"\xff\xd8" and position + 10 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:  # filling
            position += 1
            continue
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = (int.from_bytes(stream[position + i : position + i + 2], "big") for i in (5, 7))
            return height, width, stream[position + 9], stream[position + 4]
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    return None


def _j2k_size(stream: bytes) -> tuple[int, int, int, int] | None:
    """Height, width, components and bits from the SIZ segment (ITU T.800, A.5.1), also inside a JP2 wrapper."""
    start = stream[:4096].find(b"\xff\x4f\xff\x51")
    if start < 0 or len(stream) < start + 43:
        return None
    right, bottom, left, top = (int.from_bytes(stream[start + i : start + i + 4], "big") for i in (8, 12, 16, 20))
    components = int.from_bytes(stream[start + 40 : start + 42], "big")
    return bottom - top, right - left, components, (stream[start + 42] & 0x7F) + 1


def _name_of(transfer_syntax: str) -> str:
    """In words where it is a known one; never the text itself, a damaged file could say anything."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    name = UID(transfer_syntax, validation_mode=IGNORE).name
    return name if name and name != transfer_syntax else "an unknown transfer syntax"
