"""What the folder of a training run adds to an audit: its coin, and the key to the card's word on whom it saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medidiff.errors import InputError

if TYPE_CHECKING:
    from medidiff.cohort.run_holdout import RunCoin
    from medidiff.cohort.scan_set import FoundSet
    from medidiff.prior import Prior

CHECKED = "the train patients are those that the card commits to"


def coin_in(folder: Path | None) -> RunCoin | None:
    """The coin of `medidiff train --holdout coin`; None where the run tossed none.

    Raises:
        InputError: No such folder, or its record is damaged.
    """
    from medidiff.cohort.run_holdout import RECORD, run_coin

    if folder is None:
        return None
    if not folder.is_dir():
        raise InputError(f"--run {folder}: no such folder. Name the folder of the training run.")
    return run_coin(folder, begun=False) if (folder / RECORD).is_file() else None


def by_coin(train: FoundSet, holdout: FoundSet, coin: RunCoin | None) -> tuple[FoundSet, FoundSet]:
    """Train and holdout as the run's coin parted the train patients; as they are where there is no coin."""
    if coin is None:
        return train, holdout
    return train.of(lambda name: not coin.keeps_out(name)), holdout.of(coin.keeps_out)


def check_list(folder: Path | None, prior: Prior | None, train: FoundSet) -> str:
    """Hold the train patients against the card's commitment.

    Returns:
        What was found, for the report.

    Raises:
        InputError: The card commits to other patients.
    """
    from medidiff.cohort.commitment import KEY_FILE, is_committed, read_key

    if folder is None or prior is None or not (folder / KEY_FILE).is_file():
        return "not checked against the card's commitment: that needs --prior, and --run with the run's key"
    if not is_committed(train.patients, read_key(folder / KEY_FILE), prior.card.training.commitment):
        raise InputError(
            f"--train {train.where}: its {len(train.patients)} patients are not those that the prior {prior.card.name} "
            "says it was trained on. Give all of them and nobody else, or the run that made this prior."
        )
    return CHECKED


__all__ = ["CHECKED", "by_coin", "check_list", "coin_in"]
