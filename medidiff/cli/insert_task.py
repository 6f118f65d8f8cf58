"""What `medidiff insert` does to a scan."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.cli.choices import Machine, OnPrior, PriorChoice
from medidiff.cli.guidance_choice import GuidanceChoice
from medidiff.cli.noise_choice import NoiseChoice
from medidiff.cli.region_choice import RegionChoice
from medidiff.errors import InputError, UsageError
from medidiff.result import Result
from medidiff.volume import Volume

if TYPE_CHECKING:
    from medidiff.tasks.condition_request import ConditionPlan
    from medidiff.tasks.guidance import Guidance


@dataclass(frozen=True)
class InsertTask(OnPrior):
    """Settings of one run of `medidiff insert`.

    Raises:
        MedidiffError: A setting that can be judged without a scan is not acceptable.
    """

    choice: PriorChoice
    region: RegionChoice
    cond: tuple[str, ...] = ()
    extrapolate: bool = False
    guiding: GuidanceChoice = field(default_factory=GuidanceChoice)
    noise: NoiseChoice = field(default_factory=NoiseChoice)
    paste: bool = True
    draws: int = 1
    steps: int = 20
    seed: int = 0
    saved: Sequence[str] = ()
    report: bool = False
    machine: Machine = field(default_factory=Machine)
    name: str = "insert"

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise UsageError(f"--samples {self.draws}: must be 1 or more.")
        if self.steps < 2:
            raise UsageError(f"--steps {self.steps}: must be 2 or more (10 to 20 is good).")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more.")
        _ = self.prior  # a prior that is not there is told before the scan is read

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the output, besides scan and prior."""
        return {
            **self.region.settings(),
            **self.noise.settings(),
            "cond": list(self.cond),
            "extrapolate": self.extrapolate,
            **self.guiding.settings(),
            "paste": self.paste,
            "samples": self.draws,
            "steps": self.steps,
            "seed": self.seed,
            "precision": self.machine.precision,
            "save": list(self.saved),
            "report": self.report,
        }

    @property
    def inputs(self) -> Sequence[Path]:
        """Files read besides the scan."""
        paths = [self.choice.path, *self.region.inputs, *self.guiding.inputs, self.noise.map_path]
        return [path for path in paths if path is not None]

    @property
    def samples(self) -> int:
        """Samples to write beside the output: none for one, which is the output itself."""
        return self.draws if self.draws > 1 else 0

    @property
    def save(self) -> Sequence[str]:
        """Kinds of volumes to write beside the output: label maps always."""
        return [*self.saved, "label", *(f"label-{i + 1}" for i in range(self.samples))]

    @functools.cached_property
    def plan(self) -> ConditionPlan:
        """What is asked for.

        Raises:
            UsageError: The prior does not know it.
        """
        from medidiff.tasks.condition_request import parse_requests

        return parse_requests(self.choice.loaded.card.conditions, self.cond, extrapolate=self.extrapolate)

    @property
    def guidance(self) -> Guidance:
        """How strongly the conditions are followed."""
        return self.guiding.guidance(self.choice.loaded.card, bool(self.cond))

    def check_settings(self) -> None:
        """Refuse conditions and guidance that do not suit the prior.

        Raises:
            UsageError: A condition or a number that makes no sense.
            PriorError: The guiding prior speaks of other scans.
        """
        _ = self.plan
        self.guidance.check(self.choice.loaded)

    def check(self, volume: Volume) -> None:
        """Refuse what does not suit the scan.

        Raises:
            NoiseError: The level is not positive and finite.
            GeometryError: The mask or the noise map lies on another grid.
            InputError: The region is empty, or leaves nothing observed.
        """
        self.check_settings()
        self.noise.check(volume)
        self.region.on(volume)

    def for_frames(self, volumes: Iterable[Volume], frames: int, diffusion: bool) -> InsertTask:
        """Refuse 4D.

        Raises:
            InputError: Always: one region would change differently in every volume.
        """
        raise InputError(f"4D, {frames} volumes: a condition is put into one 3D scan. Extract a volume first.")

    def foresee(self, volume: Volume, missing: Sequence[int] = ()) -> list[str]:
        """The warnings that a run would give before the network's turn; the noise is not estimated."""
        from medidiff.tasks.inpaint import generation_warnings
        from medidiff.tasks.trained_range import spacing_warnings

        prior = self.choice.loaded
        seen_none = self.choice.modality_warnings(volume.modality)
        return [*seen_none, *spacing_warnings(prior, volume.spacing_mm), *generation_warnings(prior)]

    def run(self, volume: Volume, missing: Sequence[int] = ()) -> Result:
        """Sample the region."""
        from medidiff.tasks.insert import insert

        result = insert(
            volume,
            self.region.on(volume),
            self.choice.loaded,
            conditions=self.plan,
            noise=self.noise.kind,
            noise_std=self.noise.argument(),
            paste=self.paste,
            samples=self.draws,
            seed=self.seed,
            n_steps=self.steps,
            guidance=self.guidance,
            **self.machine.arguments(),
        )
        result.warnings[:0] = self.choice.modality_warnings(volume.modality)
        return result
