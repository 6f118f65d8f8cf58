"""A run that goes on from a finished prior, with a network that may have grown and conditions that may be new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import ConfigError
from medidiff.nets.embedding import UNKNOWN_CATEGORY, ConditionSlots
from medidiff.prior import Prior, read_entry
from medidiff.training.grow import with_more_channels


def start_from(denoiser: Preconditioned, path: Path, grow: bool = True) -> None:
    """Load a prior's weights into a network that may have conditions, values of them, residual blocks or channels more.

    What is new adds nothing at first: the run begins as the prior. Blocks and values of a condition are added after
    those that the prior has; a continuous condition whose range has changed is rescaled, and means what it meant.

    Args:
        denoiser: What the weights are put into.
        path: The prior.
        grow: Whether it may have channels more: a low-rank change, which is kept beside the prior, cannot add any.

    Raises:
        ConfigError: The prior has another architecture, or conditions or channels that the run lacks.
    """
    prior = Prior.load(path)
    network: Any = denoiser.network
    had, has = prior.card.network.slots, network.config.slots
    _refuse_other_conditions(had, has, path)
    weights = _with_new_conditions({name: t.float() for name, t in prior.weights.items()}, had, has)
    before, after = prior.card.network.channels, network.config.channels
    if after < before:
        raise ConfigError(f"start_from {path}: has {before} channels {prior.card.channels}, the run only {after}.")
    if after > before and not grow:
        raise ConfigError(
            f"method lora: the run has {after} channels, {path.name} {before}, and a low-rank change adds none. Train "
            "with --method full, or leave the masks of the sources out."
        )
    weights = with_more_channels(weights, before, after)
    try:
        missing, unknown = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"start_from {path}: another architecture ({error}).") from error
    added = _added_blocks(network, prior)
    unexpected = [name for name in missing if not name.startswith(("embedding.colour.", "position.", *added))]
    if unknown or unexpected:
        raise ConfigError(f"start_from {path}: another architecture ({[*unknown, *unexpected][0]} does not fit).")
    for name in added:
        torch.nn.init.zeros_(network.get_parameter(f"{name}conv2.weight"))
    for name, values in (("sigma_data", prior.card.sigma_data), ("mean_data", prior.card.mean_data)):
        kept: Tensor = getattr(denoiser, name)
        kept[:, :before] = torch.tensor(values).reshape(1, -1, 1, 1, 1)


def masks_of(path: Path | None) -> tuple[str, ...]:
    """Channels of a prior after its image; none where there is no prior."""
    return () if path is None else tuple(read_entry(path).card.get("channels", ("image",))[1:])


def _refuse_other_conditions(had: ConditionSlots, has: ConditionSlots, path: Path) -> None:
    for name, slot in had.categorical.items():
        values = has.categorical[name].values if name in has.categorical else ()
        if values[: len(slot.values)] != slot.values:
            raise ConfigError(
                f"start_from {path}: its conditions are {name} of {slot.values}, the run's {values}; the run's must "
                "begin with the prior's."
            )
    lost = [name for name in had.continuous if name not in has.continuous]
    if lost or had.images != has.images:
        raise ConfigError(f"start_from {path}: its conditions are {had}; the run lacks {lost or had.images}.")


def _with_new_conditions(weights: dict[str, Tensor], had: ConditionSlots, has: ConditionSlots) -> dict[str, Tensor]:
    width = weights["embedding.level_out.bias"].shape[0]
    for name, slot in has.categorical.items():
        key = f"embedding.tables.{name}.weight"
        table = weights.get(key, torch.zeros(1, width))
        new = len(slot.values) + 1 - table.shape[0]
        weights[key] = torch.cat([table, table[UNKNOWN_CATEGORY].expand(new, -1)])
    for name, slot in has.continuous.items():
        key = f"embedding.scalars.{name}"
        if name not in had.continuous:
            weights[f"{key}.weight"], weights[f"{key}.bias"] = torch.zeros(width, 2), torch.zeros(width)
            continue
        before, known = had.continuous[name], weights[f"{key}.weight"]
        # v = low + (s + 1)(high - low)/2 in both scales: s_before = factor s + shift
        factor = (slot.high - slot.low) / (before.high - before.low)
        shift = (slot.low + slot.high - before.low - before.high) / (before.high - before.low)
        weights[f"{key}.weight"] = torch.stack([known[:, 0] * factor, known[:, 1] + known[:, 0] * shift], dim=1)
    return weights


def merged_conditions(had: Mapping[str, Any], has: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of a run that goes on from a prior: the prior's, then what the cohort adds.

    Args:
        had: `slots` of the prior's network, as plain JSON types.
        has: `slots` that the run asks for.

    Returns:
        Slots: values of categorical conditions united, the prior's first; ranges of continuous ones united.
    """
    categorical = {name: dict(slot) for name, slot in had.get("categorical", {}).items()}
    for name, slot in has.get("categorical", {}).items():
        first = categorical.get(name, {}).get("values", [])
        categorical[name] = {"values": list(dict.fromkeys([*first, *slot["values"]]))}
    continuous: dict[str, dict[str, Any]] = {name: dict(slot) for name, slot in had.get("continuous", {}).items()}
    for name, slot in has.get("continuous", {}).items():
        before = continuous[name] if name in continuous else slot
        low, high = min(before["low"], slot["low"]), max(before["high"], slot["high"])
        continuous[name] = {"unit": before["unit"], "low": low, "high": high}
    return {"categorical": categorical, "continuous": continuous, "images": list(had.get("images", ()))}


def _added_blocks(network: Any, prior: Prior) -> list[str]:
    """Beginnings of the parameter names of blocks that the network has and the prior has not."""
    added: list[str] = []
    for way in ("down_blocks", "up_blocks"):
        for level, stage in enumerate(getattr(network, way)):
            fewer = prior.card.network.blocks[level] if level < len(prior.card.network.blocks) else len(stage)
            added += [f"{way}.{level}.{i}." for i in range(fewer, len(stage))]
    return added
