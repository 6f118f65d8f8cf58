"""What was said about the noise: its kind, and its level as a number, as a map, or not at all."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medidiff.errors import NoiseError, UsageError
from medidiff.volume import Volume

KINDS = ("auto", "gaussian", "rician")


@dataclass(frozen=True)
class NoiseChoice:
    """The values of --noise and --noise-std.

    Args:
        kind: "auto", "gaussian" or "rician".
        std: A number in the scan's unit or the path of a NIfTI map, as written; None estimates it.

    Raises:
        UsageError: An unknown kind.
        NoiseError: `std` is neither a number nor an existing file.
    """

    kind: str = "auto"
    std: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"--noise {self.kind}: must be {', '.join(KINDS)}.")
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

    def kind_for(self, volume: Volume) -> str:
        """The kind of noise, where the scan's modality decides it: CT has no magnitudes, so nothing Rician."""
        return "gaussian" if self.kind == "auto" and volume.modality == "CT" else self.kind

    def explain(self, volume: Volume, figures: dict[str, Any]) -> None:
        """Say in a result's figures why its noise is taken for what it is, where `kind_for` decided that."""
        if self.kind_for(volume) != self.kind:
            figures["noise_kind_because"] = "CT: its values are no magnitudes, so nothing is Rician"

    def argument(self) -> float | Volume | None:
        """As the tasks take it."""
        return self.map if self.map_path is not None else self.number

    def settings(self) -> dict[str, Any]:
        """As it is recorded."""
        from medidiff.io import hash_file

        std = self.number if self.map_path is None else {"map_file_sha256": hash_file(self.map_path)}
        return {"noise": self.kind, "noise_std": std}

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
            from medidiff.tasks.observation import check_noise_map

            check_noise_map(self.map, volume)
