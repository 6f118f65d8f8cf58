"""What a synthetic set is: everything that decides its samples and their files, and nothing that does not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from medidiff import __version__
from medidiff.errors import UsageError
from medidiff.prior import Card, Prior
from medidiff.synthesis.guard import GuardRequest
from medidiff.tasks.conditions import Value
from medidiff.tasks.draw_sample import SAMPLING
from medidiff.tasks.guidance import Guidance
from medidiff.tasks.sample_maker import SampleMaker

LAYOUTS = ("flat", "bids", "nnunet")
FORMS = ("nifti", "dicom")
DTYPES = ("auto", "int16", "float32")


class Plan(Protocol):
    """What every sample shall show (`ConditionPlan`, or one with controls); frozen and picklable."""

    def draw(self, seed: int, index: int) -> dict[str, Value]:
        """The conditions of one sample."""
        ...

    def extrapolated(self, values: Any) -> list[str]:
        """Names of the values beyond the trained range."""
        ...

    def settings(self) -> dict[str, Any]:
        """What decides the conditions, in types that JSON knows."""
        ...


@dataclass(frozen=True)
class SetRequest:
    """One set of synthetic scans.

    Args:
        prior: Its file.
        count: Number of scans.
        first: Number of the first.
        seed: Of everything random.
        plan: What they shall show; None leaves every condition unknown.
        shape: Voxels along x, y, z; None: the prior's.
        spacing_mm: Voxel spacing; None: the prior's.
        n_steps: Steps of the sampler.
        guidance: Weight.
        guidance_interval: Levels at which it is applied, normalised units.
        guidance_prior: File of the prior that it leads away from; None: the prior without its conditions.
        layout: flat, bids or nnunet.
        form: nifti or dicom.
        dtype: auto, int16 or float32: how a NIfTI file stores intensities.
        checks: Largest relative error of a measured condition, by its name.
        max_attempts: Draws of one number before it is given up.
        guard: Patients that no sample may come too near to.
        device, precision, threads, max_gb: The machine; `settings` has what decides the bits.

    Raises:
        UsageError: A value is not acceptable.
    """

    prior: Path
    count: int
    first: int = 0
    seed: int = 0
    plan: Plan | None = None
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    n_steps: int = 10
    guidance: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, float("inf"))
    guidance_prior: Path | None = None
    layout: str = "flat"
    form: str = "nifti"
    dtype: str = "auto"
    checks: dict[str, float] = field(default_factory=dict)
    max_attempts: int = 5
    guard: GuardRequest | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    max_gb: float | None = None

    def __post_init__(self) -> None:
        for option, value, least in (("-n", self.count, 1), ("--first", self.first, 0), ("--seed", self.seed, 0)):
            if value < least:
                raise UsageError(f"{option} {value}: must be {least} or more.")
        if self.max_attempts < 1:
            raise UsageError(f"--max-attempts {self.max_attempts}: must be 1 or more.")
        for option, value, known in (
            ("--layout", self.layout, LAYOUTS),
            ("--format", self.form, FORMS),
            ("--dtype", self.dtype, DTYPES),
        ):
            if value not in known:
                raise UsageError(f"{option} {value}: must be {', '.join(known)}.")
        if self.form == "dicom" and self.layout != "flat":
            raise UsageError(
                f"--layout {self.layout}: holds NIfTI files. Leave --format dicom out, or use --layout flat."
            )

    @property
    def indices(self) -> range:
        """The numbers of the samples."""
        return range(self.first, self.first + self.count)

    def guide(self) -> Guidance | None:
        """The guidance, its prior loaded; None where it changes nothing."""
        if self.guidance == 1:
            return None
        reference = Prior.load(self.guidance_prior) if self.guidance_prior is not None else None
        return Guidance(self.guidance, self.guidance_interval, reference)

    def maker(self, prior: Prior | None = None, guide: Guidance | None = None) -> SampleMaker:
        """What makes its samples.

        Args:
            prior: The prior, where it is loaded already.
            guide: The guidance, where it is built already.
        """
        return SampleMaker(
            prior or self.prior,
            shape=self.shape,
            spacing_mm=self.spacing_mm,
            seed=self.seed,
            plan=self.plan,  # type: ignore[arg-type]  # a ConditionPlan, or what answers like one
            n_steps=self.n_steps,
            guidance=guide or self.guide(),
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            max_gb=self.max_gb,
        )

    def settings(self, maker: SampleMaker) -> dict[str, Any]:
        """What decides the files, in types that JSON knows; no time, host, shard or path."""
        session = maker.session
        exact = session.choice.dtype == "float32" and session.device.type == "cpu"
        return {
            "medidiff": __version__,
            "torch": torch.__version__,
            "prior": prior_identity(session.prior),
            "count": self.count,
            "first": self.first,
            "seed": self.seed,
            "plan": {} if self.plan is None else self.plan.settings(),
            "shape": list(maker.shape),
            "spacing_mm": list(maker.spacing_mm),
            "n_steps": self.n_steps,
            "sampling": SAMPLING,
            "guidance": None if maker.guidance is None else maker.guidance.settings(),
            "layout": self.layout,
            "format": self.form,
            "dtype": stored_dtype(maker.card, self.dtype),
            "checks": dict(sorted(self.checks.items())),
            "max_attempts": self.max_attempts,
            **({} if self.guard is None else {"guard": self.guard.settings()}),
            "device": session.device.type,
            "precision": session.choice.dtype,
            # float32 on a processor rounds by the number of threads; bfloat16 was the same with 1, 2 and 3.
            "threads": session.threads if exact else None,
            "tile": list(session.tiled.tile_for(maker.shape)),
        }


def prior_identity(prior: Prior) -> dict[str, str]:
    """Name, version and hash."""
    return {"name": prior.card.name, "version": prior.card.version, "hash": prior.content_hash}


def settings_hash(settings: dict[str, Any]) -> str:
    """SHA-256 of the settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, allow_nan=False).encode()).hexdigest()


_FINE = 100
"""int16 needs so many grey values for a normalised 1: a step is then half a percent of the range -1 to 1 at most, under
a seventh of the noise (4% of the range) that the scans themselves have."""
_ROOM = (-8.0, 10.0)  # normalised; train scans lie between -1.2 and 6.3


def stored_dtype(card: Card, wanted: str) -> str:
    """How a NIfTI file stores intensities: int16 or float32.

    Raises:
        UsageError: int16 would be too coarse or too small.
    """
    typical = card.typical
    fits = False
    if typical is not None:
        low, high = (typical.offset + typical.scale * end for end in _ROOM)
        fits = typical.scale >= _FINE and -32768 <= low and high <= 32767
    if wanted == "int16" and not fits:
        raise UsageError(
            f"--dtype int16: the intensities of the prior {card.name} do not fit whole numbers of 16 bits. Use float32."
        )
    return "int16" if fits and wanted != "float32" else "float32"


__all__ = ["DTYPES", "FORMS", "LAYOUTS", "Plan", "SetRequest", "prior_identity", "settings_hash", "stored_dtype"]
