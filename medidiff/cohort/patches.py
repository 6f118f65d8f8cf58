"""Patch number i of a run, and which numbers a process gets: the same on any number of processes and workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from medidiff.cohort.augment import Augmentation, Patch, random_patch
from medidiff.cohort.cases import AnyCase, draw
from medidiff.errors import ConfigError
from medidiff.nets.embedding import UNKNOWN_CATEGORY, ConditionSlots

Cohort = tuple[float, Sequence[AnyCase]]
"""A source's weight and its cases."""


class PatchDataset(Dataset[dict[str, Any]]):
    """Patch number i, drawn from a seed made of (seed, i): the same whoever asks, and in whatever order.

    Args:
        sources: (weight, cases) per source.
        kinds: Values of the condition `kind`, in the order of their indices 1, 2, ...
        shape: Patch size in voxels.
        length: Number of patches of the whole run.
        augmentation: What is varied.
        seed: Base seed.
        conditions: Conditions that patches are given with.
        position: Whether they are given with their place in the body.
        masks: Masks that are further channels of every patch, see `StoreSource.masks`.
    """

    def __init__(
        self,
        sources: list[Cohort],
        kinds: tuple[str, ...],
        shape: tuple[int, int, int],
        length: int,
        *,
        augmentation: Augmentation,
        seed: int,
        conditions: ConditionSlots | None = None,
        position: bool = False,
        masks: tuple[str, ...] = (),
    ) -> None:
        self.sources, self.kinds, self.shape, self.masks = sources, kinds, shape, masks
        self.length, self.augmentation, self.seed = length, augmentation, seed
        self.conditions, self.position = conditions or ConditionSlots(), position
        weights = np.array([weight for weight, _ in sources])
        self.shares = weights / weights.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Patch `number` of the run.

        Returns:
            target (c, x, y, z), its tau (c, 1, 1, 1), spacing_mm (3,) with nan for unknown, kind (index), number, and
            where the run has them cond {name: index or value} and position (3, 4), nan for unknown. With masks the
            channels are the image and the masks, and observed (c, x, y, z) says where the target is known. Where
            patches are bent taught (c, 1, 1, 1) says which channels teach.
        """
        rng = np.random.default_rng([self.seed, number])
        case = self.choose(number, rng)
        patch = random_patch(case, self.shape, self.augmentation, rng, self.position)
        item: dict[str, Any] = {
            **_channels(patch, len(self.masks)),
            "spacing_mm": torch.tensor(patch.spacing_mm, dtype=torch.float32),
            "kind": torch.tensor(self.kinds.index(case.kind) + 1),
            "number": torch.tensor(number),
        }
        if self.masks and self.augmentation.bend > 0:
            item["taught"] = torch.tensor([float(not patch.bent), *[1.0] * len(self.masks)]).reshape(-1, 1, 1, 1)
        told = condition_values(self.conditions, {} if patch.bent else case.conditions)
        return item | ({"cond": told} if told else {}) | ({"position": _position(patch)} if self.position else {})

    def choose(self, number: int, rng: np.random.Generator) -> AnyCase:
        """The scan that patch `number` is cut from."""
        return draw(self.sources[int(rng.choice(len(self.sources), p=self.shares))][1], rng)


def _channels(patch: Patch, masks: int) -> dict[str, torch.Tensor]:
    """Target and tau of the image and `masks` masks, and where they are observed."""
    image = torch.from_numpy(patch.data)[None]
    if not masks:
        return {"target": image, "tau": torch.full((1, 1, 1, 1), patch.tau)}
    known = patch.masks is not None
    labels = torch.from_numpy(np.ascontiguousarray(patch.masks)) if known else image.new_zeros(masks, *image.shape[1:])
    inside = torch.ones(image.shape[1:]) if patch.inside is None else torch.from_numpy(patch.inside).float()
    return {
        "target": torch.cat([image, labels]),
        "tau": torch.tensor([patch.tau, *[0.0] * masks]).reshape(-1, 1, 1, 1),
        "observed": torch.stack([inside, *[inside * known] * masks]),
    }


def condition_values(slots: ConditionSlots, known: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """What is known of a scan: an index (0: missing, or a value that was not trained) or a value (nan: missing)."""
    told: dict[str, torch.Tensor] = {}
    for name, slot in slots.categorical.items():
        value = known.get(name)
        told[name] = torch.tensor(slot.values.index(value) + 1 if value in slot.values else UNKNOWN_CATEGORY)
    for name in slots.continuous:
        value = known.get(name)
        told[name] = torch.tensor(float("nan") if value is None else float(value), dtype=torch.float32)
    return told


def _position(patch: Patch) -> torch.Tensor:
    return torch.full((3, 4), float("nan")) if patch.position is None else torch.from_numpy(patch.position)


class PatchNumbers(Sampler[list[int]]):
    """Numbers of the patches of each micro-batch of one process.

    Step s, micro-step m and process r get s*batch + (m*processes + r)*micro ... + micro - 1, where micro is
    batch / (processes * accumulate). So a step has the same patches on any number of processes.

    Args:
        batch: Patches of an optimiser step, over all processes and micro-steps.
        steps: Steps of the whole run.
        first_step: Where it goes on.
        processes: World size.
        process: Rank.
        accumulate: Micro-steps of a step.

    Raises:
        ConfigError: The batch does not divide.
    """

    def __init__(
        self, batch: int, steps: int, first_step: int = 0, *, processes: int = 1, process: int = 0, accumulate: int = 1
    ) -> None:
        if batch % (processes * accumulate):
            raise ConfigError(
                f"optimiser.batch {batch}: must be a multiple of {processes} processes x {accumulate} micro-batches. "
                f"Give {-(-batch // (processes * accumulate)) * processes * accumulate}, or change the others."
            )
        self.batch, self.steps, self.first_step = batch, steps, first_step
        self.processes, self.process, self.accumulate = processes, process, accumulate
        self.micro = batch // (processes * accumulate)

    def __len__(self) -> int:
        """Micro-batches of the whole run: a resumed trainer counts on from those it has had."""
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first_step, self.steps):
            for part in range(self.accumulate):
                first = step * self.batch + (part * self.processes + self.process) * self.micro
                yield list(range(first, first + self.micro))


def start_worker(_: int) -> None:
    """What a worker process does first: one thread, and signals are the trainer's business."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the trainer, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


__all__ = ["Cohort", "PatchDataset", "PatchNumbers", "condition_values", "start_worker"]
