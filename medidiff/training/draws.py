"""What is random in a training step, as a function of the patch's number: who computes it changes nothing.

Every patch of a run has a number. Its noise, its noise map and what is left out of what the network is told are drawn
from (seed, number); whether a step has constant levels or maps, which its patches share, from (seed, step). So a run
gives the same on one process or eight, with micro-batches or without, and after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from medidiff.diffusion.colour import colour, correlations, draw_power
from medidiff.diffusion.losses import NoisyPair, corrupt, corrupt_coloured
from medidiff.diffusion.maps import MapDistribution
from medidiff.nets.embedding import ConditionSlots

P_UNCONDITIONAL = 0.7
"""Share of patches whose kind is left out."""
P_UNKNOWN_SPACING = 0.2
"""Share of patches whose spacing is left out."""
P_UNKNOWN_POSITION = 0.1
"""Share of patches whose place in the body is left out: a prior that takes it serves scans of which it is not known."""
P_UNKNOWN_COLOUR = 0.2
"""Share of patches whose noise correlation is left out."""
COLOUR_JITTER = 0.02
"""Standard deviation of the error added to the noise correlation: on a scan it is estimated."""
COLOURED_UP_TO = 2.0
"""Levels up to which noise is coloured: above it stands for "not observed"."""
_PATCH, _STEP = 1, 2  # two streams of seeds that never meet


def _generator(*key: int) -> Generator:
    """A generator of its own for every key."""
    return Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))


@dataclass(frozen=True)
class Drawn:
    """The random part of a batch, (b, ...) on the batch's device.

    Attributes:
        level: Noise maps, (b, c, 1, 1, 1) or (b, c, x, y, z).
        noise: Standard normal, (b, c, x, y, z).
        keep: Uniform numbers (b, 3) that decide what the network is told: kind, spacing, correlation.
        generators: One a patch, for what is drawn after these.
    """

    level: Tensor
    noise: Tensor
    keep: Tensor
    generators: list[Generator]


def draw_batch(
    maps: MapDistribution,
    target: Tensor,
    numbers: list[int],
    seed: int,
    step: int,
    observed: Tensor | None = None,
    taught: Tensor | None = None,
) -> Drawn:
    """Draw what is random about the patches `numbers` of optimiser step `step`.

    Args:
        maps: Distribution of the noise maps.
        target: The patches (b, c, x, y, z); their shape and device count.
        numbers: The patches' numbers in the run.
        seed: The run's seed.
        step: The optimiser step they belong to.
        observed: 1 where the target is known, else 0, (b, c, x, y, z); None: everywhere.
        taught: 0 for channels that teach nothing, else 1, (b, c, 1, 1, 1); None: all teach. Where the image does not,
            the masks are to be read off it: of them nothing is observed.
    """
    constant = bool(torch.rand((), generator=_generator(seed, step, _STEP)) < maps.p_constant)
    generators = [_generator(seed, number, _PATCH) for number in numbers]
    shape = tuple(target.shape[1:])
    level = torch.stack([maps.draw_patch(shape, constant, g) for g in generators]).to(target)
    if observed is not None:  # a channel of which nothing is known, as the sampler has it
        level = torch.where(observed.flatten(2).any(dim=2)[:, :, None, None, None], level, maps.sigma_max)
    if taught is not None:
        mask = torch.arange(target.shape[1], device=target.device).reshape(1, -1, 1, 1, 1) > 0
        level = torch.where(mask & (taught[:, :1] == 0), maps.sigma_max, level)
    noise = torch.stack([torch.randn(shape, generator=g) for g in generators])
    keep = torch.stack([torch.rand(3, generator=g) for g in generators])
    return Drawn(level, noise.to(target), keep.to(target.device), generators)


def corrupt_patches(target: Tensor, tau: Tensor, drawn: Drawn, p_coloured: float) -> tuple[list[NoisyPair], Tensor]:
    """One pair a patch, white or coloured, and the correlation of its noise (b, 6).

    Args:
        target: Patches (b, c, x, y, z), normalised.
        tau: Their own white noise, (b, 1, 1, 1, 1) or one for each channel.
        drawn: Levels and noise.
        p_coloured: Share of patches with correlated noise.
    """
    pairs, told = [], torch.zeros(target.shape[0], 6)
    shape = (target.shape[2], target.shape[3], target.shape[4])
    for i, generator in enumerate(drawn.generators):
        part = slice(i, i + 1)
        x, own, wanted, noise = target[part], tau[part], drawn.level[part], drawn.noise[part]
        chosen = float(torch.rand((), generator=generator)) < p_coloured
        one_level = wanted.numel() == wanted.shape[1] or not bool((own > 0).any())
        if chosen and one_level and float(wanted.max()) <= COLOURED_UP_TO:
            power = draw_power(shape, generator)
            pair = corrupt_coloured(x, own, wanted, colour(noise, power.to(x)), power)
            added = float(((wanted**2 - own**2).clamp_min(0) / (wanted**2).clamp_min(1e-12)).mean())
            told[i] = added * correlations(power, shape)
            told[i] += COLOUR_JITTER * torch.randn(6, generator=generator)
        else:
            pair = corrupt(x, own, wanted, noise)
        pairs.append(pair)
    return pairs, told.to(target)


def told_conditions(batch: dict, drawn: Drawn, dropout: float) -> dict[str, Tensor]:
    """Kind, conditions and position as the network is told them: some patches are told less.

    The kind is left out of `P_UNCONDITIONAL` of the patches. Of the run's own conditions a patch loses all with
    probability `dropout` (what guidance compares with), and else each one with probability `dropout`. The position is
    left out of `P_UNKNOWN_POSITION` of them.

    Args:
        batch: Patches as the loader gives them; `cond` and `position` may be absent.
        drawn: The batch's random part.
        dropout: `data.condition_dropout`.
    """
    told = {"kind": torch.where(drawn.keep[:, 0] < P_UNCONDITIONAL, 0, batch["kind"])}
    conditions = batch.get("cond") or {}
    if conditions:
        chance = torch.stack([torch.rand(1 + len(conditions), generator=g) for g in drawn.generators])
        chance = chance.to(batch["kind"].device)
        for i, (name, value) in enumerate(sorted(conditions.items())):
            null = float("nan") if value.is_floating_point() else 0
            told[name] = torch.where((chance[:, 0] < dropout) | (chance[:, 1 + i] < dropout), null, value)
    if "position" in batch:
        left_out = torch.stack([torch.rand((), generator=g) for g in drawn.generators]) < P_UNKNOWN_POSITION
        told["position"] = torch.where(
            left_out[:, None, None].to(batch["position"].device), float("nan"), batch["position"]
        )
    return told


def balanced_conditions(told: dict[str, Tensor], slots: ConditionSlots, drawn: Drawn) -> dict[str, Tensor]:
    """The same with the conditions drawn evenly: each value of a categorical one, anywhere in a continuous one's range.

    The kind, the position and what else the network is told stay.

    Args:
        told: From `told_conditions`.
        slots: The network's conditions.
        drawn: The batch's random part.
    """
    names = [name for name in sorted({*slots.categorical, *slots.continuous} - {"kind"}) if name in told]
    if not names:
        return told
    place = torch.stack([torch.rand(len(names), generator=g) for g in drawn.generators])
    even: dict[str, Tensor] = {}
    for i, name in enumerate(names):
        if name in slots.categorical:
            even[name] = (1 + place[:, i] * len(slots.categorical[name].values)).long().to(told[name].device)
        else:
            slot = slots.continuous[name]
            even[name] = (slot.low + place[:, i] * (slot.high - slot.low)).to(told[name])
    return {**told, **even}


__all__ = [
    "Drawn",
    "balanced_conditions",
    "corrupt_patches",
    "draw_batch",
    "told_conditions",
]
