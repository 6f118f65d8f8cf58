"""Weights of a prior of few channels for a network of more: what is new adds nothing at first."""

from __future__ import annotations

import torch
from torch import Tensor

LEVEL_SPREAD = 0.3
"""Standard deviation of the weights by which the level features hear of a new channel's level; those of its own channel
have 2. Zero would do too, but what starts at zero learns of it last."""
_HEADS = ("head", "variance_head")


def with_more_channels(weights: dict[str, Tensor], before: int, after: int, seed: int = 0) -> dict[str, Tensor]:
    """The weights, with room for channels after those that the prior has.

    The stem ignores the new channels' voxels and levels, and the heads give 0 for them: the image is denoised as
    before, whatever they hold, but for the little that the level features hear of their levels.

    Args:
        weights: Of a `HaarUNet` of `before` channels.
        before: Channels that the prior has.
        after: Channels that the network has, at least as many.
        seed: Of the new level weights.

    Returns:
        Weights of a network of `after` channels; the same dict where there is nothing to add.
    """
    if after == before:
        return weights
    grown = dict(weights)
    stem = weights["stem.weight"]
    images = (
        stem.shape[1] - 9 * before
    )  # coefficients of image conditions, between those of the channels and the levels
    coefficients, rest, levels = stem.split([8 * before, images, before], dim=1)
    room = stem.new_zeros(stem.shape[0], after - before, *stem.shape[2:])
    grown["stem.weight"] = torch.cat([coefficients, room.repeat_interleave(8, dim=1), rest, levels, room], dim=1)
    for name in _HEADS:
        for part in ("weight", "bias"):
            tensor = weights[f"{name}.{part}"]
            new = tensor.new_zeros(8 * (after - before), *tensor.shape[1:])
            grown[f"{name}.{part}"] = torch.cat([tensor, new])
    heard = weights["embedding.level_in.weight"]
    generator = torch.Generator().manual_seed(seed)
    new = LEVEL_SPREAD * torch.randn(heard.shape[0], after - before, 1, 1, 1, generator=generator)
    grown["embedding.level_in.weight"] = torch.cat([heard, new.to(heard)], dim=1)
    return grown


__all__ = ["with_more_channels"]
