"""The JSON beside a NIfTI scan (BIDS, dcm2niix), and what of it may travel with an output: nothing of a patient."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.io.acquisition_keys import CODES, NUMBERS, TEXTS, VENDORS
from medidiff.io.nifti_header import nifti_suffix

_LARGEST_FILE = 1 << 24
_LONGEST_LIST = 4096
_LARGEST_NUMBER = 1e6  # no acquisition parameter is larger in BIDS units; dates and record numbers are


@dataclass(frozen=True)
class Sidecar:
    """What the JSON beside a scan says, all of it: it can name a patient. `carried` says what may travel.

    Args:
        values: Keys and values; empty where there is no file.
        warnings: Why a file that is there was not read.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


def sidecar_path(path: Path) -> Path:
    """The name of the JSON that belongs to a NIfTI file, whether it is there or not.

    Raises:
        UsageError: The name is not a NIfTI file's.
    """
    return path.with_name(f"{path.name[: -len(nifti_suffix(path))]}.json")


def read_sidecar(path: Path) -> Sidecar:
    """The JSON beside a NIfTI file. One that cannot be read is no failure: the scan does not need it.

    Args:
        path: The NIfTI file.
    """
    return read_json(sidecar_path(path))


def read_json(path: Path) -> Sidecar:
    """One JSON object; empty where there is no such file, and with a warning where it is damaged."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return Sidecar(warnings=(f"{path.name}: larger than 16 MiB: not read, nothing of it was carried along.",))
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return Sidecar()
    except (OSError, ValueError, RecursionError):
        return Sidecar(warnings=(f"{path.name}: damaged, not JSON: nothing of it was carried along.",))
    if not isinstance(values, dict):
        return Sidecar(warnings=(f"{path.name}: not a JSON object: nothing of it was carried along.",))
    return Sidecar(values)


def carried(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """How a scan was acquired, and nothing else: the keys and values that can hold nothing of a patient.

    An allow-list: numbers of acquisition parameters, codes out of the standard's own vocabularies, the maker by one
    name, and two short names of device and kernel. Dates, names, numbers, places, UIDs, comments and every unknown key
    stay behind.

    Args:
        sidecar: From `read_sidecar`, or `acquisition_facts`.
    """
    kept = {key: _allowed(key, value) for key, value in sidecar.items()}
    return {key: value for key, value in kept.items() if value is not None}


def _allowed(key: str, value: Any) -> Any:
    """The value as it may travel; None where it may not."""
    if key in NUMBERS:
        return _numbers(value)
    if key in CODES:
        return _codes(value, CODES[key])
    if key == "Manufacturer":
        return _vendor(value)
    if key in TEXTS:
        return value if isinstance(value, str) and TEXTS[key].fullmatch(value) else None
    return None


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        inside = 0 < len(value) <= _LONGEST_LIST and all(map(_is_number, value))
        return list(value) if inside else None
    return value if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _LARGEST_NUMBER


def _codes(value: Any, vocabulary: frozenset[str]) -> Any:
    """A code, or the known ones of several (a list, or DICOM's text with backslashes)."""
    if isinstance(value, str) and "\\" not in value:
        return value if value in vocabulary else None
    several = value if isinstance(value, list) else value.split("\\") if isinstance(value, str) else []
    known = [code for code in several if isinstance(code, str) and code in vocabulary]
    if not known:
        return None
    return known if isinstance(value, list) else "\\".join(known)


def _vendor(value: Any) -> str | None:
    """The maker under one name, whatever else the text says."""
    words = value.lower() if isinstance(value, str) else ""
    return next((name for start, name in VENDORS.items() if re.match(rf"{start}(?![a-z])", words)), None)
