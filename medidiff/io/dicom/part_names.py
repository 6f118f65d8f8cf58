"""What the parts of a series are called: from figures and known words only, never from free text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Triple = tuple[float, ...]

_WORDS = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "M": "magnitude",
    "MAGNITUDE": "magnitude",
    "P": "phase",
    "PHASE": "phase",
    "PHASE MAP": "phase",
    "R": "real",
    "REAL": "real",
    "I": "imaginary",
    "IMAGINARY": "imaginary",
    "W": "water",
    "WATER": "water",
    "F": "fat",
    "FAT": "fat",
    "IP": "in phase",
    "IN_PHASE": "in phase",
    "OP": "out of phase",
    "OUT_PHASE": "out of phase",
    "ADC": "ADC",
    "TRACEW": "trace",
    "FA": "FA",
    "MPR": "reformatted",
    "MIP": "maximum projection",
    "MAX_IP": "maximum projection",
    "PROJECTION IMAGE": "projection",
}
_KNOWN = frozenset(_WORDS.values())


def telling_type(image_type: tuple[str, ...]) -> tuple[str, ...]:
    """What of an image type separates images whatever their positions: its third value, known words behind it."""
    return image_type[2:3] + tuple(sorted({_WORDS[value] for value in image_type[3:] if value in _WORDS}))


def type_names(types: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """A name for each of the types that `telling_type` gives, from the words that not all of them have."""
    common = set.intersection(*(set(image_type) for image_type in types)) if types else set()
    names = {}
    for number, image_type in enumerate(types, start=1):
        words = [_WORDS.get(value, value) for value in image_type if value not in common]
        words = [word for word in words if word in _KNOWN]
        names[image_type] = " ".join(dict.fromkeys(words)) or f"type {number}"
    return names


def orientation_names(cosines: dict[int, Triple | None]) -> dict[int, str]:
    """A name for each direction of slicing: the body axis that is closest to the normal."""
    names = {}
    for group, values in cosines.items():
        normal = np.abs(np.cross(values[:3], values[3:])) if values is not None else np.zeros(3)
        plane = ("sagittal", "coronal", "axial")[int(np.argmax(normal))]
        names[group] = plane if normal.max() > np.cos(np.radians(1)) else f"oblique {plane}"
    return names


def echo_name(number: str | None, time_ms: float | None) -> str:
    """Name of an echo."""
    said = [f"echo {number}" if number is not None and number.isdecimal() and len(number) < 4 else "echo"]
    return ", ".join([*said, f"{time_ms:.5g} ms"] if time_ms is not None else said)


def gradient_names(b_values: dict[Any, float | None]) -> dict[Any, str]:
    """A name for each diffusion weighting: its b-value, and a number where several directions share it."""
    names, count = {}, dict[str, int]()
    for key in sorted(b_values):
        b_value = b_values[key]
        name = "no diffusion weighting" if b_value is None else f"b {b_value:.5g}"
        count[name] = count.get(name, 0) + 1
        names[key] = (name, count[name])
    return {key: f"{name}, direction {i}" if count[name] > 1 else name for key, (name, i) in names.items()}
