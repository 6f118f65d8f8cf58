"""Who is kept out of a run by its coin, how many there are to audit with, and the card's word on who was not."""

from __future__ import annotations

import time
from typing import Any

from medidiff.cohort.commitment import commitment, site_key
from medidiff.cohort.run_holdout import RECORD, RunCoin, run_coin, write_record
from medidiff.errors import TrainingError
from medidiff.training.checkpoints import CHECKPOINT
from medidiff.training.config import TrainingConfig
from medidiff.training.ranks import is_first

_PATIENCE_S = 120.0
"""How long the other processes wait for the first one's coin."""


def coin_of(config: TrainingConfig, dry_run: bool) -> RunCoin | None:
    """The run's coin, kept in its folder from the first moment; None where the configuration asks for none.

    Args:
        config: The run.
        dry_run: Nothing is written: a coin that is not there yet is drawn and forgotten.

    Raises:
        ConfigError: The run has begun and the coin's record is gone.
        InputError: The record is damaged.
        TrainingError: The first process does not write it.
    """
    if config.holdout is None:
        return None
    record = config.output / RECORD
    if not dry_run and not is_first():
        deadline = time.monotonic() + _PATIENCE_S
        while not record.is_file():
            if time.monotonic() > deadline:
                raise TrainingError(f"{record}: not written by the first process in {_PATIENCE_S:g} s. Start again.")
            time.sleep(0.2)
    coin = run_coin(config.output, begun=(config.output / CHECKPOINT).is_file())
    if not dry_run and is_first() and not record.is_file():
        config.output.mkdir(parents=True, exist_ok=True)
        write_record(config.output, coin, [])
    return coin


def patients_of(data: Any) -> tuple[set[str], set[str]]:
    """Train and holdout patients of all sources.

    Args:
        data: The run's data module, set up.
    """
    people = data.people()
    return {p for one in people for p in one["train"]}, {p for one in people for p in one["holdout"]}


def holdout_lines(config: TrainingConfig, data: Any) -> list[str]:
    """What a person must know of the holdout before training, for the terminal."""
    train, held = patients_of(data)
    lines = [f"holdout: {len(held)} patients are kept out of training, {len(train)} are trained on"] if held else []
    if held and config.start_from is not None:
        lines.append(
            f"warning: the run starts from {config.start_from.name}. If that prior has seen patients who are held out "
            "here, an audit with them can show nothing."
        )
    both = len(train & held)
    if both:
        lines.append(
            f"warning: {both} patient identifiers are trained on in one source and held out in another. If these are "
            "the same people, an audit with them can show nothing: prepare all sources with the same --seed and table."
        )
    return lines


def committed(config: TrainingConfig, data: Any) -> str:
    """The card's commitment to the train patients; its key stays in the run's folder.

    Raises:
        InputError: The key is damaged.
        OutputError: A new one cannot be kept.
    """
    train, _ = patients_of(data)
    return commitment(train, site_key(config.output)) if train else ""


__all__ = ["coin_of", "committed", "holdout_lines", "patients_of"]
