"""What `medidiff denoise` does to each scan."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.cli.choices import Machine, OnPrior, PriorChoice
from medidiff.cli.noise_choice import NoiseChoice
from medidiff.errors import UsageError
from medidiff.result import Result
from medidiff.volume import Volume

if TYPE_CHECKING:
    from medidiff.tasks.frames import Shared

MOST_SHIFTS = 8


@dataclass(frozen=True)
class DenoiseTask(OnPrior):
    """Settings of one run of `medidiff denoise`.

    Raises:
        MedidiffError: A setting that can be judged without a scan is not acceptable.
    """

    choice: PriorChoice
    noise: NoiseChoice = field(default_factory=NoiseChoice)
    mask_path: Path | None = None
    samples: int = 0
    strength: float = 0.0
    seed: int = 0
    shifts: int = 2
    save: Sequence[str] = ()
    report: bool = False
    machine: Machine = field(default_factory=Machine)
    shared: Shared | None = None
    name: str = "denoise"

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise UsageError(f"--samples {self.samples}: must be 0 or more.")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"--strength {self.strength:g}: must be from 0 (the mean) to 1 (one sample).")
        if not 1 <= self.shifts <= MOST_SHIFTS:
            raise UsageError(f"--shifts {self.shifts}: must be from 1 to {MOST_SHIFTS}.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more.")
        if self.mask_path is not None and not self.mask_path.is_file():
            raise UsageError(f"--mask {self.mask_path}: no such file. Give a NIfTI file on the scan's grid.")
        _ = self.prior  # a prior that is not there is told before any scan is read

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the output, besides scan and prior."""
        from medidiff.io import hash_file

        return {
            **self.noise.settings(),
            **({} if self.mask_path is None else {"mask_file_sha256": hash_file(self.mask_path)}),
            "samples": self.samples,
            **({"strength": self.strength} if self.strength else {}),
            "seed": self.seed,
            "shifts": self.shifts,
            "precision": self.machine.precision,
            "save": list(self.save),
            "report": self.report,
        }

    @property
    def inputs(self) -> Sequence[Path]:
        """Files read besides the scans."""
        return [path for path in (self.choice.path, self.noise.map_path, self.mask_path) if path is not None]

    @functools.cached_property
    def mask(self) -> Volume | None:
        """The mask, read once.

        Raises:
            InputError: It cannot be read.
        """
        from medidiff.io import read_nifti

        return None if self.mask_path is None else replace(read_nifti(self.mask_path), name=str(self.mask_path))

    def check_settings(self) -> None:
        """Refuse a noise level that suits no scan, before a folder is begun.

        Raises:
            NoiseError: The level is not positive and finite.
        """
        self.noise.check()

    def check(self, volume: Volume) -> None:
        """Refuse a noise level or mask that does not suit this scan.

        Raises:
            NoiseError: The level is not positive and finite.
            GeometryError: The map or the mask lies on another grid.
            InputError: The mask is empty.
        """
        self.noise.check(volume)
        if self.mask is not None:
            from medidiff.tasks.grids import region_of

            region_of(self.mask, volume)

    def for_frames(self, volumes: Iterable[Volume], frames: int, diffusion: bool) -> DenoiseTask:
        """The task for the volumes of one 4D scan, whose noise is judged together.

        Args:
            volumes: All of them, in turn.
            frames: How many they are.
            diffusion: Whether they have b-values.
        """
        from medidiff.tasks.frames import share

        return replace(self, shared=share(volumes, frames, self.noise.told(), self.mask, diffusion))

    def foresee(self, volume: Volume, missing: Sequence[int] = ()) -> list[str]:
        """The warnings that a run would give before the network's turn; raises like it."""
        from medidiff.tasks.foresee import foresee

        return [
            *self.choice.modality_warnings(volume.modality),
            *foresee(volume, self.choice.loaded, self.noise.told(), self.mask, missing),
        ]

    def run(self, volume: Volume, missing: Sequence[int] = ()) -> Result:
        """Denoise one scan."""
        from medidiff.tasks import denoise

        shared = None if self.shared is None else self.shared.noise
        result = denoise(
            volume,
            self.choice.loaded,
            noise=self.noise.kind if shared is None else shared,
            noise_std=self.noise.argument(),
            coils=self.noise.coils,
            correlated=self.noise.correlated,
            mask=self.mask,
            missing=missing,
            samples=self.samples,
            strength=self.strength,
            seed=self.seed,
            shifts=self.shifts,
            **self.machine.arguments(),
        )
        result.warnings[:0] = self.choice.modality_warnings(volume.modality)
        if self.shared is not None:
            result.warnings += self.shared.warnings
        return result
