"""Planes of one series that belong together, and what sets them apart from the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from medidiff.io.dicom.model import Plane


@dataclass(frozen=True)
class Part:
    """Planes of one series that belong together.

    Args:
        names: What sets them apart from the others, by kind, outermost first.
        planes: In no order.
        over_time: Whether a time sets them apart, or a b-value: then `names` without these is common to a 4D scan.
        caveats: What to know about how they were told apart.
    """

    names: tuple[tuple[str, str], ...]
    planes: tuple[Plane, ...]
    caveats: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Names of all kinds in one line."""
        return ", ".join(name for _, name in self.names)

    @property
    def scan_name(self) -> str:
        """The name without time and b-value: common to the volumes of one 4D scan."""
        return ", ".join(name for kind, name in self.names if kind not in ("time", "diffusion"))


Groups = list[tuple[str, list[Plane]]]


def gather(planes: Sequence[Plane], keys: Sequence[Any], name: Callable[[Any], str]) -> Groups:
    """Planes by key, in the order of the keys."""
    groups: dict[Any, list[Plane]] = defaultdict(list)
    for plane, key in zip(planes, keys, strict=True):
        groups[key].append(plane)
    return [(name(key), groups[key]) for key in sorted(groups)]
