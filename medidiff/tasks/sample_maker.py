"""One synthetic scan, a function of prior, settings, seed, number and attempt, and of nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medidiff.diffusion.signatures import Callback
from medidiff.errors import PriorError, UsageError
from medidiff.prior import Card, Prior
from medidiff.tasks.condition_request import ConditionPlan, with_own_noise
from medidiff.tasks.conditions import Value, encode_conditions
from medidiff.tasks.draw_sample import check_steps, draw_sample, sample_levels
from medidiff.tasks.guidance import Guidance
from medidiff.tasks.inpaint import generation_warnings
from medidiff.tasks.session import Session

_SMALLEST = 8
_ONE_SPACING = 1.05  # trained spacings within this factor are one


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample.

    Attributes:
        index: Its number.
        attempt: How many draws of this number were made before.
        image: Normalised intensities (x, y, z), float32.
        mask: Label map (x, y, z), uint8; None where the prior has no mask channels.
        conditions: What was asked for; None: unknown.
        extrapolated: Names of the conditions beyond the trained range.
        nfe: Network evaluations.
        seconds: Wall-clock time.
    """

    index: int
    attempt: int
    image: np.ndarray
    mask: np.ndarray | None
    conditions: dict[str, Value]
    extrapolated: list[str]
    nfe: int
    seconds: float


class SampleMaker:
    """Makes samples one by one. Together in a batch would be a third faster on a processor, but batches round another
    way (bfloat16: 0.03 of the range -1 to 1, float32: 2e-6), and a sample must not depend on its company.

    Args:
        prior: Trained denoiser, its name, or its file.
        shape: Voxels along x, y, z; None takes the prior's own.
        spacing_mm: Voxel spacing; None takes the prior's, where it knows one only.
        seed: Of everything random.
        plan: What the samples shall show; None leaves every condition unknown.
        n_steps: Steps of the sampler.
        guidance: How strongly the conditions are followed.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Processor threads; None keeps PyTorch's number. float32 rounds by their number (1e-6).
        max_gb: Memory (10^9 bytes) one evaluation may take.

    Raises:
        UsageError: Shape, spacing, seed or steps are not acceptable, or must be given.
        PriorError: The prior is missing or refused.
        DeviceError: The device is not there.
    """

    def __init__(
        self,
        prior: Prior | str | Path,
        *,
        shape: Sequence[int] | None = None,
        spacing_mm: tuple[float, float, float] | None = None,
        seed: int = 0,
        plan: ConditionPlan | None = None,
        n_steps: int = 10,
        guidance: Guidance | None = None,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        max_gb: float | None = None,
    ) -> None:
        check_steps(n_steps, 1)
        prior = prior if isinstance(prior, Prior) else Prior.load(prior)
        self.card = prior.card
        if "image" not in self.card.channels:
            raise PriorError(f"prior {self.card.name}: has no image channel: there is no scan to sample. Give another.")
        self.shape = sample_shape(self.card, shape)
        self.spacing_mm = sample_spacing_mm(self.card, spacing_mm)
        if guidance is not None:
            guidance.check(prior)
        machine = {"device": device, "precision": precision, "threads": threads, "max_gb": max_gb}
        self.session = Session(prior, self.spacing_mm, seed=seed, **machine)
        self.session.know_body_fills(self.shape)
        self.plan, self.n_steps, self.guidance = plan, n_steps, guidance
        self.warnings = [*self.session.warnings, *generation_warnings(prior)]

    def make(
        self,
        index: int,
        attempt: int = 0,
        conditions: Mapping[str, Value] | None = None,
        callback: Callback | None = None,
    ) -> Sample:
        """Sample number `index`.

        Args:
            index: From 0.
            attempt: Another draw of the same number, under the same conditions.
            conditions: What it shall show; None asks the plan. See `with_own_noise` for what is added.
            callback: Called as callback(i, t, denoised) at every step.

        Raises:
            UsageError: A condition that the prior does not know.
        """
        start, before = time.perf_counter(), self.session.nfe
        session, plan = self.session, self.plan
        if conditions is None:
            conditions = plan.draw(session.seed, index) if plan is not None else {}
        conditions = with_own_noise(self.card.conditions.continuous, conditions, session.seed, index)
        # What was asked for was held against the trained ranges when the plan was made.
        cond = encode_conditions(self.card.conditions, conditions, extrapolate=True)
        with torch.inference_mode():
            x, _ = draw_sample(
                session,
                torch.zeros(1, len(self.card.channels), *self._grid, device=session.device),
                torch.tensor(torch.inf, device=session.device),
                index,
                self.n_steps,
                callback=callback,
                cond=cond,
                guidance=self.guidance,
                attempt=attempt,
            )
        channels = x[(0, slice(None), *(slice(n) for n in self.shape))].float().cpu().numpy()
        return Sample(
            index=index,
            attempt=attempt,
            image=np.ascontiguousarray(channels[self.card.channels.index("image")]),
            mask=label_map(channels, self.card.channels),
            conditions=dict(conditions),
            extrapolated=plan.extrapolated(conditions) if plan is not None else [],
            nfe=session.nfe - before,
            seconds=time.perf_counter() - start,
        )

    def time_evaluation(self) -> float:
        """Seconds of one network evaluation at this shape, the second of two."""
        x = torch.zeros(1, len(self.card.channels), *self._grid, device=self.session.device)
        for _ in range(2):
            start = time.perf_counter()
            self.session.evaluate(x, torch.tensor(1.0, device=self.session.device))
            if self.session.device.type == "cuda":
                torch.cuda.synchronize(self.session.device)
        return time.perf_counter() - start  # pyright: ignore[reportPossiblyUnboundVariable]

    @property
    def _grid(self) -> tuple[int, ...]:
        """The shape, rounded up to what the network takes: its own padding would mirror the sampler's noise."""
        return tuple(n + -n % self.card.network.alignment for n in self.shape)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a sample's voxels."""
        return math.prod(self.spacing_mm)

    @property
    def evaluations(self) -> int:
        """Network evaluations of one sample."""
        guidance = self.guidance
        if guidance is None or not guidance.active:
            return self.n_steps + 1
        low, high = guidance.interval
        levels = [math.inf, *sample_levels(self.card, self.n_steps).tolist()[:-2]]  # the last is not guided
        return self.n_steps + 1 + sum(low < level <= high for level in levels)


def label_map(channels: np.ndarray, names: Sequence[str]) -> np.ndarray | None:
    """Mask channels as one map: among those above 0 the largest wins.

    Args:
        channels: (c, x, y, z), masks from -1 outside to 1 inside.
        names: What each channel is: image, mask (label 1) or mask:K (label K).

    Returns:
        Labels (x, y, z), uint8, 0 for the background; None where no channel is a mask.
    """
    masks = [(i, int(name.partition(":")[2] or 1)) for i, name in enumerate(names) if name.startswith("mask")]
    if not masks:
        return None
    values = channels[[i for i, _ in masks]]
    labels = np.array([label for _, label in masks], dtype=np.uint8)
    return np.where(values.max(axis=0) > 0, labels[values.argmax(axis=0)], 0).astype(np.uint8)


def sample_shape(card: Card, shape: Sequence[int] | None) -> tuple[int, int, int]:
    """Voxels of a sample.

    Raises:
        UsageError: Not three sizes of 8 voxels or more; or none given and the prior has none of its own.
    """
    if shape is None and card.shape is None:
        raise UsageError(f"--shape: must be given: the prior {card.name} has no shape of its own. Such as 64,64,64.")
    given = card.shape if shape is None else shape
    sizes = tuple(int(n) for n in given or ())
    if len(sizes) != 3 or min(sizes) < _SMALLEST:
        raise UsageError(f"shape {tuple(given or ())}: must be three sizes of {_SMALLEST} voxels or more.")
    return sizes[0], sizes[1], sizes[2]


def sample_spacing_mm(card: Card, spacing_mm: tuple[float, float, float] | None) -> tuple[float, float, float]:
    """Voxel spacing of a sample.

    Raises:
        UsageError: Not positive; or none given and the prior knows several.
    """
    if spacing_mm is None:
        low, high = card.spacing_mm.low, card.spacing_mm.high
        if high > _ONE_SPACING * low:
            raise UsageError(f"--spacing-mm: must be given: the prior {card.name} knows {low:g} to {high:g} mm.")
        return low, low, low
    if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise UsageError(f"spacing_mm {spacing_mm}: must be positive, along x, y and z.")
    return spacing_mm


__all__ = ["Sample", "SampleMaker", "label_map", "sample_shape", "sample_spacing_mm"]
