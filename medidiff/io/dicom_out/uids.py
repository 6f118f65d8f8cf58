"""UIDs that a rerun makes again: a hash of what the object is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

IMPLEMENTATION_UID = "2.25.180117938046210532471690241653870812339"
"""Implementation Class UID: which software wrote the file. Drawn once, for medidiff."""


def derived_uid(*parts: str) -> str:
    """A UID under 2.25 from what the object is; other parts give another one.

    Source: PS3.5 annex B.2 (a UID from a 128-bit number), RFC 9562 version 8 (bits by the maker's own rule).
    """
    text = json.dumps(parts, ensure_ascii=True)  # a list in JSON: ("a", "bc") is not ("ab", "c")
    number = int.from_bytes(hashlib.sha256(b"medidiff uid " + text.encode()).digest()[:16], "big")
    number = (number & ~(0xF << 76)) | (8 << 76)
    number = (number & ~(3 << 62)) | (2 << 62)
    return f"2.25.{number}"


def canonical(settings: Mapping[str, Any]) -> str:
    """Settings as one text: the same whatever their order; arrays by their hash."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=True, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return [little.dtype.str, list(value.shape), hashlib.sha256(little.tobytes()).hexdigest()]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
