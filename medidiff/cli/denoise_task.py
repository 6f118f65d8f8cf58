"""What `medidiff denoise` does to each scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.cli.choices import Machine, PriorChoice
from medidiff.cli.noise_choice import NoiseChoice
from medidiff.errors import UsageError
from medidiff.result import Result
from medidiff.volume import Volume

MOST_SHIFTS = 8


@dataclass(frozen=True)
class DenoiseTask:
    """Settings of one run of `medidiff denoise`.

    Raises:
        MedidiffError: A setting that can be judged without a scan is not acceptable.
    """

    choice: PriorChoice
    noise: NoiseChoice = field(default_factory=NoiseChoice)
    samples: int = 0
    seed: int = 0
    shifts: int = 2
    save: Sequence[str] = ()
    report: bool = False
    machine: Machine = field(default_factory=Machine)
    name: str = "denoise"

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise UsageError(f"--samples {self.samples}: must be 0 or more.")
        if not 1 <= self.shifts <= MOST_SHIFTS:
            raise UsageError(f"--shifts {self.shifts}: must be from 1 to {MOST_SHIFTS}.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more.")
        _ = self.prior  # a prior that is not there is told before any scan is read

    @property
    def prior(self) -> Mapping[str, str]:
        """Name and hash."""
        return self.choice.identity

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the output, besides scan and prior."""
        return {
            **self.noise.settings(),
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
        return [path for path in (self.choice.path, self.noise.map_path) if path is not None]

    def check_machine(self) -> None:
        """Refuse a device that is not there.

        Raises:
            DeviceError: It is not.
        """
        self.machine.check_device()

    def check_settings(self) -> None:
        """Refuse a noise level that suits no scan, before a folder is begun.

        Raises:
            NoiseError: The level is not positive and finite.
        """
        self.noise.check()

    def check(self, volume: Volume) -> None:
        """Refuse a noise level that does not suit this scan.

        Raises:
            NoiseError: The level is not positive and finite.
            GeometryError: The map lies on another grid.
        """
        self.noise.check(volume)

    def foresee(self, volume: Volume, missing: Sequence[int] = ()) -> list[str]:
        """The warnings that a run would give before the network's turn; raises like it."""
        from medidiff.tasks.gaps import Gaps
        from medidiff.tasks.observation import observe
        from medidiff.tasks.session import level_warnings, spacing_warnings

        prior, gaps, level = self.choice.loaded, Gaps.of(volume, missing), self.noise.argument()
        level = gaps.without(level) if isinstance(level, Volume) else level
        seen = observe(gaps.without(volume), prior, self.noise.kind_for(volume), level)
        return [
            *self.choice.modality_warnings(volume.modality),
            *spacing_warnings(prior, volume.spacing_mm),
            *level_warnings(prior, seen.sigma),
            *seen.warnings,
            *gaps.warnings(),
        ]

    def run(self, volume: Volume, missing: Sequence[int] = ()) -> Result:
        """Denoise one scan."""
        from medidiff.tasks import denoise

        result = denoise(
            volume,
            self.choice.loaded,
            noise=self.noise.kind_for(volume),
            noise_std=self.noise.argument(),
            missing=missing,
            samples=self.samples,
            seed=self.seed,
            shifts=self.shifts,
            **self.machine.arguments(),
        )
        self.noise.explain(volume, result.figures)
        result.warnings[:0] = self.choice.modality_warnings(volume.modality)
        return result
