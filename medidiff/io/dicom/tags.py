"""Values of DICOM elements as their bytes say them: None for what is missing or garbled, whatever it is garbled into.

pydicom's own conversion raises or warns on values that do not fit their type, and real files are full of those. Here
the bytes of an element are read directly; only sequences go through pydicom.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MAX_TEXT_BYTES = 1 << 16


def texts(dataset: Dataset, tag: int) -> tuple[str, ...]:
    """The values of a text element, without padding; () where it is absent. Bytes are taken for Latin-1."""
    value = _value(dataset, tag)
    if isinstance(value, bytes):
        return _split(value)
    return tuple(str(v).strip() for v in _listed(value))


def text(dataset: Dataset, tag: int) -> str:
    """The first value of a text element; "" where it is absent."""
    return next(iter(texts(dataset, tag)), "")


def numbers(dataset: Dataset, tag: int, vr: str = "DS") -> tuple[float, ...]:
    """The values of a numeric element, each finite; () where it is absent or one of them is not a finite number.

    Args:
        dataset: What holds it.
        tag: Which.
        vr: How it is stored where the file does not say (implicit VR, and "UN").
    """
    element = dataset.get_item(tag)
    value = _value(dataset, tag)
    if isinstance(value, bytes):
        said = getattr(element, "VR", None)
        little = bool(getattr(element, "is_little_endian", True))
        found = _parse(value, vr if said in (None, "UN", "OB") else str(said), little)
    else:
        found = [_to_float(str(v)) for v in _listed(value)]
    return tuple(found) if all(map(math.isfinite, found)) else ()


def number(dataset: Dataset, tag: int, vr: str = "DS") -> float | None:
    """The first value of a numeric element."""
    return next(iter(numbers(dataset, tag, vr)), None)


def integer(dataset: Dataset, tag: int, vr: str = "IS") -> int | None:
    """The first value of a numeric element, if it is a whole number."""
    value = number(dataset, tag, vr)
    return int(value) if value is not None and value == int(value) else None


def triple(dataset: Dataset, tag: int, vr: str = "DS") -> tuple[float, float, float] | None:
    """Three numbers, if it is three."""
    values = numbers(dataset, tag, vr)
    return (values[0], values[1], values[2]) if len(values) == 3 else None


def items(dataset: Dataset, tag: int) -> Sequence[Dataset]:
    """The items of a sequence; () where it is absent.

    Raises:
        Exception: Whatever pydicom meets in damaged bytes.
    """
    if tag not in dataset:
        return ()
    element = dataset[tag]
    return element.value if element.VR == "SQ" and element.value is not None else ()


def first_item(dataset: Dataset, tag: int) -> Dataset | None:
    """The first item of a sequence.

    Raises:
        Exception: Whatever pydicom meets in damaged bytes.
    """
    return next(iter(items(dataset, tag)), None)


def _value(dataset: Dataset, tag: int) -> Any:
    element = dataset.get_item(tag)
    return None if element is None else element.value


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _split(value: bytes) -> tuple[str, ...]:
    parts = value[:_MAX_TEXT_BYTES].decode("latin-1").split("\\")
    cleaned = tuple(part.strip(" \0\t\r\n") for part in parts)
    return cleaned if any(cleaned) else ()


def _parse(value: bytes, vr: str, little: bool) -> list[float]:
    code = _BINARY.get(vr)
    if code is None:
        return [_to_float(part) for part in _split(value)]
    size = struct.calcsize(f"<{code}")
    count = len(value) // size
    if not count or len(value) % size:
        return []
    return [float(v) for v in struct.unpack(f"{'<' if little else '>'}{count}{code}", value)]


def _to_float(written: str) -> float:
    """NaN where it is not a decimal number: `float` alone takes "1_0", "infinity" and Arabic digits too."""
    return float(written) if len(written) < 400 and _NUMBER.fullmatch(written) else math.nan
