"""What `medidiff denoise` does to each scan."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.cli.choices import Machine, PriorChoice
from medidiff.errors import NoiseError, UsageError
from medidiff.geometry import same_grid
from medidiff.result import Result
from medidiff.volume import Volume

NOISES = ("auto", "gaussian", "rician")


def parse_noise_std(text: str | None) -> float | Path | None:
    """A number, the path of a map, or nothing.

    Raises:
        NoiseError: Neither a number nor an existing file.
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    if not Path(text).is_file():
        raise NoiseError(f"--noise-std {text}: must be a number in the scan's unit, or an existing NIfTI map.")
    return Path(text)


@dataclass(frozen=True)
class DenoiseTask:
    """Settings of one run of `medidiff denoise`.

    Raises:
        MedidiffError: A setting that can be judged without a scan is not acceptable.
    """

    prior_name: str
    noise: str = "auto"
    noise_std: str | None = None
    samples: int = 0
    seed: int = 0
    shifts: int = 1
    save: Sequence[str] = ()
    report: bool = False
    machine: Machine = field(default_factory=Machine)
    name: str = "denoise"

    def __post_init__(self) -> None:
        if self.noise not in NOISES:
            raise UsageError(f"--noise {self.noise}: must be {', '.join(NOISES)}.")
        if self.samples < 0:
            raise UsageError(f"--samples {self.samples}: must be 0 or more.")
        if self.shifts < 1:
            raise UsageError(f"--shifts {self.shifts}: must be 1 or more.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more.")
        parse_noise_std(self.noise_std)
        _ = self.prior

    @functools.cached_property
    def choice(self) -> PriorChoice:
        """The prior that was asked for."""
        return PriorChoice(self.prior_name)

    @property
    def prior(self) -> Mapping[str, str]:
        """Name and hash."""
        return self.choice.identity

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the output, besides scan and prior."""
        from medidiff.io import hash_file

        level = parse_noise_std(self.noise_std)
        return {
            "noise": self.noise,
            "noise_std": {"map_sha256": hash_file(level)} if isinstance(level, Path) else level,
            "samples": self.samples,
            "seed": self.seed,
            "shifts": self.shifts,
            "precision": self.machine.precision,
            "save": list(self.save),
            "report": self.report,
        }

    @property
    def inputs(self) -> Sequence[Path]:
        """Files read besides the scans."""
        level = parse_noise_std(self.noise_std)
        return [self.choice.path, level] if isinstance(level, Path) else [self.choice.path]

    def check_settings(self) -> None:
        """Refuse a noise level that suits no scan, before a folder is begun.

        Raises:
            NoiseError: The level is not positive and finite.
        """
        level = parse_noise_std(self.noise_std)
        if isinstance(level, float) and not 0 < level < math.inf:
            raise NoiseError(_not_positive(level, ""))

    def check(self, volume: Volume) -> None:
        """Refuse a noise level that does not suit this scan.

        Raises:
            NoiseError: The level is not positive and finite, or the map lies on another grid.
        """
        level = parse_noise_std(self.noise_std)
        if isinstance(level, float) and not 0 < level < math.inf:
            low, high = float(volume.data.min()), float(volume.data.max())
            raise NoiseError(_not_positive(level, f" (this scan runs from {low:.6g} to {high:.6g})"))
        if self.noise_map is not None and not same_grid(self.noise_map, volume):
            raise NoiseError(
                f"--noise-std {level}: lies on another grid than {volume.name}: shape {self.noise_map.shape} and "
                f"{volume.shape}. Resample the map to the scan first."
            )

    @functools.cached_property
    def noise_map(self) -> Volume | None:
        """The map that was given, if one was."""
        from medidiff.io import read_nifti

        level = parse_noise_std(self.noise_std)
        return read_nifti(level, finite=False) if isinstance(level, Path) else None

    def run(self, volume: Volume) -> Result:
        """Denoise one scan."""
        from medidiff.tasks import denoise

        level = parse_noise_std(self.noise_std)
        return denoise(
            volume,
            self.choice.loaded,
            noise=self.noise,
            noise_std=level if isinstance(level, float) else self.noise_map,
            samples=self.samples,
            seed=self.seed,
            shifts=self.shifts,
            **self.machine.arguments(),
        )


def _not_positive(level: float, scan: str) -> str:
    return f"--noise-std {level:g}: must be a positive number in the scan's unit{scan}. Leave it out to estimate it."
