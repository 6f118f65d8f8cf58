"""The sets of an audit: where they are, whose split they take, whether the prior made them, and their scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from medidiff.cli.audit_run_folder import by_coin, coin_in
from medidiff.cli.outcome import say
from medidiff.errors import InputError, PriorError

if TYPE_CHECKING:
    from medidiff.cli.audit_run import Wanted
    from medidiff.cohort.scan_set import FoundSet, ScanSet
    from medidiff.prior import Prior


def found_sets(wanted: Wanted, folder: Path) -> list[FoundSet]:
    """Synthetic, train, holdout and, where there is one, the reference."""
    from medidiff.cohort.scan_set import find_scan_set

    found = [find_scan_set(folder), *real_sets(wanted)]
    if wanted.reference is not None:
        found.append(find_scan_set(wanted.reference, split_of(wanted.reference, "val", wanted.table), wanted.table))
    elif split_of(wanted.train, "val", wanted.table) == "val":
        try:
            found.append(find_scan_set(wanted.train, "val", wanted.table))
        except InputError:
            say("note: no val patients are there; the encoder learns from procedural volumes alone (--reference).")
    return found


def real_sets(wanted: Wanted) -> tuple[FoundSet, FoundSet]:
    """Train and holdout: by the splits of a store or table, or by the coin of the prior's own run."""
    from medidiff.cohort.scan_set import find_scan_set

    coin = coin_in(wanted.run)
    held = "holdout" if coin is None else "train"
    train, holdout = (
        find_scan_set(where, split_of(where, split, wanted.table), wanted.table)
        for where, split in ((wanted.train, "train"), (wanted.holdout, held))
    )
    return by_coin(train, holdout, coin)


def split_of(where: str, split: str, table: Path | None) -> str | None:
    """The split to take of a store, or of a folder whose table knows splits; None: everything in it."""
    from medidiff.cohort.participants import read_participants
    from medidiff.cohort.scan_set_find import TABLE, is_store

    path = Path(where)
    if is_store(where):
        return split
    known = table or (path / TABLE if (path / TABLE).is_file() else None)
    if known is None:
        return None
    return split if any(row.split for row in read_participants(known).rows) else None


def check_prior(folder: Path, prior: Prior | None) -> None:
    """A set that says which prior made it is audited with that one or with none."""
    from medidiff.synthesis.dataset import read_settings

    settings = read_settings(folder) if folder.is_dir() else None
    if prior is None or settings is None:
        return
    made_by = settings["prior"]["hash"]
    if made_by != prior.content_hash:
        raise PriorError(
            f"--prior {prior.card.name}: its hash is {prior.content_hash[:12]}, the set in {folder} was made by "
            f"{settings['prior'].get('name', 'a prior')} {made_by[:12]}. Give the prior that made it."
        )


def read_sets(sets: list[FoundSet]) -> tuple[ScanSet, ScanSet, ScanSet, ScanSet | None]:
    """Synthetic, train, holdout and reference on one window."""
    from medidiff.cohort.scan_set import read_scan_sets

    say(f"reading {sum(map(len, sets))} scans")
    read = read_scan_sets(sets)
    return read[0], read[1], read[2], read[3] if len(read) > 3 else None


def canary_of(wanted: Wanted) -> Callable[[str], bool] | None:
    """Which patients a fair coin assigned: the run's, or that of ONE store which assigned everybody; None: no coin."""
    from medidiff.cohort.scan_set_find import is_store
    from medidiff.cohort.split import Coin
    from medidiff.cohort.store import Store

    coin = coin_in(wanted.run)
    if coin is not None:
        return coin.is_canary

    if wanted.train != wanted.holdout or not is_store(wanted.train):
        return None
    record = Store.open(wanted.train).meta.get("coin", {})
    if record.get("by_table") or not record.get("by_coin") or record.get("holdout") != "coin":
        return None
    return Coin("coin", int(record["seed"])).is_canary


__all__ = ["canary_of", "check_prior", "found_sets", "read_sets", "real_sets", "split_of"]
