"""Patients that one run keeps out of its training by a coin of its own, where their store holds nobody out."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.cohort.commitment import write_private
from medidiff.cohort.split import SHARES, Coin
from medidiff.errors import ConfigError, InputError

if TYPE_CHECKING:
    from medidiff.cohort.store import Store

RECORD = "holdout.json"
"""Name of the record in the run's folder."""
SHARE = SHARES["coin"][2]
"""Share of the train patients that the coin keeps out."""
_SEEDS = 2**63


@dataclass(frozen=True)
class RunCoin:
    """The coin of one run.

    Attributes:
        seed: Its key. It is drawn, not taken from the configuration: that stands on the card, and whoever knew the
            key and a patient's identifier could tell whether he was trained on.
        share: Of the train patients, how many are kept out.
    """

    seed: int
    share: float = SHARE

    def keeps_out(self, patient: str) -> bool:
        """Whether a patient is held out: `Coin`'s keyed hash of the identifier, whoever else is there."""
        return Coin("coin", self.seed).number(patient) < self.share

    def is_canary(self, patient: str) -> bool:
        """Whether the coin was fair for him, see `Coin.is_canary`: all that are held out, and as many that train."""
        return Coin("coin", self.seed).number(patient) < 2 * self.share


def run_coin(folder: Path, begun: bool) -> RunCoin:
    """The coin of the run in `folder`, or a new one.

    Args:
        folder: The run's output.
        begun: Whether the run has a checkpoint.

    Raises:
        ConfigError: The run has begun and its record is gone: a new coin would hold out patients that it has seen.
        InputError: The record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        if begun:
            raise ConfigError(
                f"{path}: is missing, and the run has begun: a new coin would hold out patients that it has seen. "
                "Bring the file back, or choose another output."
            )
        return RunCoin(secrets.randbelow(_SEEDS))
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return RunCoin(int(record["seed"]), float(record["share"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}). Bring it back as it was, or choose another output.") from error


def write_record(folder: Path, coin: RunCoin, sources: Sequence[dict[str, Any]]) -> None:
    """Keep who trains and who is held out beside the run, readable by its owner only (mode 600).

    Args:
        folder: The run's output.
        coin: Its coin.
        sources: Of each source its name, and train and holdout patients.
    """
    method = "HMAC-SHA256 of the patient's identifier, keyed by the seed; held out where the number is below the share"
    record = {"method": method, "seed": coin.seed, "share": coin.share, "sources": list(sources)}
    write_private(folder / RECORD, json.dumps(record, indent=1) + "\n")


def store_has_coin(store: Store, name: str) -> bool:
    """Whether the store itself holds patients out by a coin, so that the run need not.

    Args:
        store: The store.
        name: Of its source, for the message.

    Raises:
        ConfigError: It holds patients out, but as a table says.
    """
    held = store.meta.get("counts", {}).get("holdout", {}).get("patients", 0)
    record = store.meta.get("coin", {})
    if record.get("holdout") == "coin" and record.get("by_coin"):
        return True
    if held:
        raise ConfigError(
            f"--holdout coin: {store.url} (source {name}) holds out {held} patients already, as its table says. They "
            "are not trained on: leave --holdout out and audit with them. For patients held out by a coin, prepare the "
            "scans again without the table's `split` column."
        )
    return False


def held_out_of(table: dict[str, set[str]], name: str) -> None:
    """Refuse a participants table that holds patients out itself.

    Args:
        table: Patients by split.
        name: Of its source.

    Raises:
        ConfigError: It has holdout patients.
    """
    if table.get("holdout"):
        raise ConfigError(
            f"--holdout coin: the table of source {name} holds out {len(table['holdout'])} patients already. They are "
            "not trained on: leave --holdout out and audit with them."
        )


__all__ = ["RECORD", "SHARE", "RunCoin", "held_out_of", "run_coin", "store_has_coin", "write_record"]
