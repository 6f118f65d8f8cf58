"""From a prior to a cohort's own: what a short config leaves out is taken from the prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medidiff.errors import ConfigError, PriorError
from medidiff.prior import PriorEntry, read_entry, resolve_prior
from medidiff.training.start import merged_conditions

FULL_LR, LORA_LR = 5e-4, 2e-3
"""Peak learning rates (Muon, AdamW) chosen on val patients of the shared sets: `python -m benchmarks.training
small_cohort`."""


def inherit(tree: dict[str, Any]) -> dict[str, Any]:
    """Fill in a configuration with `start_from` from the prior that it names.

    The network is the prior's (blocks may be added), with its conditions; noise levels, patch size and licences are
    the prior's unless stated.

    Args:
        tree: The configuration as read, before it is validated.

    Returns:
        A new tree; `start_from` is the path of a file.

    Raises:
        PriorError: There is no such prior.
        ConfigError: The method is not one for it.
    """
    try:
        path = resolve_prior(str(tree["start_from"]))
        entry = read_entry(path)
    except PriorError as error:
        raise PriorError(f"start_from: {error}") from error
    made = entry.card.get("training", {}).get("config", {})
    lora = tree.get("method", "full") == "lora"
    filled = {**tree, "start_from": str(path.resolve())}
    filled["network"] = _network(entry, tree.get("network"), lora, path)
    filled.setdefault(
        "noise", made.get("noise") or {"sigma_min": entry.card["sigma_min"], "sigma_max": entry.card["sigma_max"]}
    )
    if isinstance(tree.get("data"), dict):
        had = made.get("data", {})
        inherited = {"patch": had.get("patch", [48, 48, 48])}
        if entry.card.get("task") == "sample" and "augmentation" in had:
            inherited["augmentation"] = had["augmentation"]  # a sampler learns anatomy as it is varied
        filled["data"] = {**inherited, **tree["data"]}
    gentle = {"name": "adamw", "lr": LORA_LR} if lora else {"lr": FULL_LR}
    filled["optimiser"] = {**gentle, **(tree.get("optimiser") or {})}
    filled["card"] = {**_card(entry), **(tree.get("card") or {})}
    return filled


def _network(entry: PriorEntry, asked: dict[str, Any] | None, lora: bool, path: Path) -> dict[str, Any]:
    asked, had = dict(asked or {}), dict(entry.card["network"])
    slots = merged_conditions(had.get("slots", {}), asked.pop("slots", {}))
    differs = [key for key, value in asked.items() if value != had.get(key)]
    if lora and differs:
        raise ConfigError(
            f"network.{differs[0]}: method lora keeps the network of {path.name} as it is. Leave it out, or use "
            "method: full."
        )
    return {**had, **asked, "slots": slots}


def _card(entry: PriorEntry) -> dict[str, Any]:
    """What the new prior's card says unless the configuration says otherwise: the old prior's terms go on to bind."""
    card = entry.card
    name = f"{entry.name} version {entry.version}"
    return {
        "description": f"Trained on from {name}.",
        "modalities": list(card["modalities"]),
        "weights_licence": f"{card['weights_licence']}; and the licences of the scans it was trained on from {name}",
        "output_licence": f"{card['output_licence']} The licences of the scans it was trained on from {name} bind too.",
        "intended_use": card["intended_use"],
        "limits": f"Those of {name}: {card['limits']}",
        **({"shape": list(card["shape"])} if card.get("shape") else {}),
    }
