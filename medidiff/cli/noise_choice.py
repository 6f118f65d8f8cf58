"""What was said about the noise: its kind, its level as a number, as a map, or not at all, and how it is correlated."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.errors import NoiseError, UsageError
from medidiff.volume import Volume

if TYPE_CHECKING:
    from medidiff.tasks.known_noise import Told

KINDS = ("auto", "gaussian", "rician", "chi")
CORRELATED = ("auto", "yes", "no")


@dataclass(frozen=True)
class NoiseChoice:
    """The values of --noise, --noise-std, --coils and --correlated.

    Args:
        kind: "auto", "gaussian", "rician" or "chi".
        std: A number in the scan's unit or the path of a NIfTI map, as written; None estimates it.
        coils: Coils whose squares were added up; None where nobody said.
        correlated: "auto", "yes" or "no".

    Raises:
        UsageError: A value that none of them has.
        NoiseError: `std` is neither a number nor an existing file.
    """

    kind: str = "auto"
    std: str | None = None
    coils: int | None = None
    correlated: str = "auto"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"--noise {self.kind}: must be {', '.join(KINDS)}.")
        if self.correlated not in CORRELATED:
            raise UsageError(f"--correlated {self.correlated}: must be {', '.join(CORRELATED)}.")
        if self.coils is not None and self.coils < 1:
            raise UsageError(f"--coils {self.coils}: must be 1 or more.")
        if self.coils is not None and self.kind in ("gaussian", "rician"):
            raise UsageError(f"--coils {self.coils}: --noise {self.kind} has no coils to count. Use --noise chi.")
        if self.std is not None and self.number is None and not Path(self.std).is_file():
            raise NoiseError(f"--noise-std {self.std}: must be a number in the scan's unit, or an existing NIfTI map.")

    @property
    def number(self) -> float | None:
        """The level, if a number was given; it may be one that is no level."""
        try:
            return None if self.std is None else float(self.std)
        except ValueError:
            return None

    @property
    def map_path(self) -> Path | None:
        """The map's file, if one was given."""
        return None if self.std is None or self.number is not None else Path(self.std)

    @functools.cached_property
    def map(self) -> Volume | None:
        """The map, read once.

        Raises:
            InputError: It cannot be read.
        """
        from medidiff.io import read_nifti

        if self.map_path is None:
            return None
        return replace(read_nifti(self.map_path, finite=False), name=str(self.map_path))  # messages name the file

    def argument(self) -> float | Volume | None:
        """The level as the tasks take it."""
        return self.map if self.map_path is not None else self.number

    def told(self) -> Told:
        """All of it as the tasks take it."""
        from medidiff.tasks.known_noise import Told

        return Told(self.kind, self.argument(), self.coils, self.correlated)

    def settings(self) -> dict[str, Any]:
        """As it is recorded; what was left out is not named."""
        from medidiff.io import hash_file

        std = self.number if self.map_path is None else {"map_file_sha256": hash_file(self.map_path)}
        settings: dict[str, Any] = {"noise": self.kind, "noise_std": std}
        if self.coils is not None:
            settings["coils"] = self.coils
        if self.correlated != "auto":
            settings["correlated"] = self.correlated
        return settings

    def check(self, volume: Volume | None = None) -> None:
        """Refuse a level that is none, or that does not suit this scan.

        Raises:
            NoiseError: The level is not positive and finite.
            GeometryError: The map lies on another grid.
        """
        if self.number is not None and not 0 < self.number < math.inf:
            scan = ""
            if volume is not None:
                scan = f" (this scan runs from {float(volume.data.min()):.6g} to {float(volume.data.max()):.6g})"
            raise NoiseError(
                f"--noise-std {self.number:g}: must be a positive number in the scan's unit{scan}. "
                "Leave it out to estimate it."
            )
        if volume is not None and self.map is not None:
            from medidiff.tasks.grids import check_noise_map

            check_noise_map(self.map, volume)
