"""What `medidiff inpaint` does to a scan."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.cli.choices import Machine, OnPrior, PriorChoice
from medidiff.cli.noise_choice import NoiseChoice
from medidiff.errors import InputError, UsageError
from medidiff.result import Result
from medidiff.volume import Volume


@dataclass(frozen=True)
class InpaintTask(OnPrior):
    """Settings of one run of `medidiff inpaint`.

    Raises:
        MedidiffError: A setting that can be judged without a scan is not acceptable.
    """

    choice: PriorChoice
    mask_path: Path
    noise: NoiseChoice = field(default_factory=NoiseChoice)
    fillings: int = 1
    seed: int = 0
    save: Sequence[str] = ()
    report: bool = False
    machine: Machine = field(default_factory=Machine)
    name: str = "inpaint"

    def __post_init__(self) -> None:
        if self.fillings < 1:
            raise UsageError(f"--samples {self.fillings}: must be 1 or more.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more.")
        _ = self.prior  # a prior that is not there is told before the scan is read

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the output, besides scan and prior."""
        from medidiff.io import hash_file

        return {
            "mask_file_sha256": hash_file(self.mask_path),
            **self.noise.settings(),
            "samples": self.fillings,
            "seed": self.seed,
            "precision": self.machine.precision,
            "save": list(self.save),
            "report": self.report,
        }

    @property
    def inputs(self) -> Sequence[Path]:
        """Files read besides the scan."""
        return [path for path in (self.choice.path, self.mask_path, self.noise.map_path) if path is not None]

    @property
    def samples(self) -> int:
        """Fillings to write beside the output: none for one, which is the output itself."""
        return self.fillings if self.fillings > 1 else 0

    @functools.cached_property
    def mask(self) -> Volume:
        """The mask, true where the scan is to be filled.

        Raises:
            InputError: Unreadable.
        """
        from medidiff.io import read_nifti

        volume = read_nifti(self.mask_path).check(allow_constant=True)
        return volume.with_data(volume.data != 0)

    def check_settings(self) -> None:
        """Nothing here can be judged without the scan."""

    def check(self, volume: Volume) -> None:
        """Refuse a mask or noise level that does not suit the scan.

        Raises:
            NoiseError: The level is not positive and finite.
            GeometryError: The mask or the noise map lies on another grid.
            InputError: The mask is empty, or leaves nothing observed.
        """
        self.noise.check(volume)
        from medidiff.tasks.grids import check_same_grid

        check_same_grid(self.mask, volume, f"--mask {self.mask_path}")
        if not self.mask.data.any() or self.mask.data.all():
            what = "empty: nothing to fill" if not self.mask.data.any() else "true everywhere: nothing is observed"
            raise InputError(f"--mask {self.mask_path}: is {what}. Mark the part to fill with 1, the rest with 0.")

    def for_frames(self, volumes: Iterable[Volume], frames: int, diffusion: bool) -> InpaintTask:
        """Every volume by itself."""
        return self

    def foresee(self, volume: Volume, missing: Sequence[int] = ()) -> list[str]:
        """The warnings that a run would give before the network's turn; the noise is not estimated."""
        from medidiff.tasks.inpaint import generation_warnings
        from medidiff.tasks.known_noise import Told
        from medidiff.tasks.observation import observe
        from medidiff.tasks.trained_range import level_warnings, spacing_warnings

        prior, warnings = self.choice.loaded, []
        if self.noise.std is not None:
            told = Told(self.noise.kind, self.noise.argument(), correlated="no")
            seen = observe(volume, prior, told, ~self.mask.data)
            warnings = [*level_warnings(prior, seen.sigma), *seen.warnings]
        seen_none = self.choice.modality_warnings(volume.modality)
        return [*seen_none, *spacing_warnings(prior, volume.spacing_mm), *warnings, *generation_warnings(prior)]

    def run(self, volume: Volume, missing: Sequence[int] = ()) -> Result:
        """Fill the hole."""
        from medidiff.tasks import inpaint

        result = inpaint(
            volume,
            self.mask,
            self.choice.loaded,
            noise=self.noise.kind,
            noise_std=self.noise.argument(),
            samples=self.fillings,
            seed=self.seed,
            **self.machine.arguments(),
        )
        result.warnings[:0] = self.choice.modality_warnings(volume.modality)
        return result
