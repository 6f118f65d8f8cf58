"""A cohort into a store: split the patients, prepare what is not done yet, find copies, write manifest and card."""

from __future__ import annotations

import json
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.cohort.checks import Rejection, kinds_of, rejected_table
from medidiff.cohort.copies import without_copies
from medidiff.cohort.journal import Journal, journal_path
from medidiff.cohort.manifest import CORE, AttributeKind, ScanRow
from medidiff.cohort.prepare_scan import VOLUME_ML, Item, prepare_scan
from medidiff.cohort.recipe import Recipe, difference
from medidiff.cohort.split import Assignment, Coin, Holdout, assign
from medidiff.cohort.store import META, Store, recipe_hash
from medidiff.cohort.store_files import LocalFiles, open_files
from medidiff.cohort.workers import Outcome, prepare_all
from medidiff.errors import InputError, UsageError

PREPARATION = 1
"""Changes whenever the same recipe gives other voxels; it stands in the store's recipe."""

REJECTED = "rejected.tsv"
_SYNC_EVERY = 200
_SEEDS = 2**31

Progress = Callable[[int, int, Rejection | None], None]


@dataclass(frozen=True)
class Cohort:
    """What is to be prepared, and what is known about it.

    Attributes:
        items: The scans.
        splits: Splits that a table says, by patient.
        kinds: Kind of every attribute of the items.
        rejections: Of scans that were found and are no items.
        warnings: What was noticed on the way.
        licence: Of the scans.
    """

    items: tuple[Item, ...]
    splits: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, AttributeKind] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = ()
    licence: str = "not stated"


@dataclass(frozen=True)
class Prepared:
    """What came of it.

    Attributes:
        store: The finished store.
        rows: Its scans, sorted by scan_id.
        measured: What was measured of each, by scan_id.
        rejections: What is not in it, sorted.
        assignment: Who is in which split.
        warnings: What to know before training on it.
        cautions: Those of them that name nobody and no file, for the card.
        resumed: How many scans were finished before this run.
        licence: Of the scans.
    """

    store: Store
    rows: tuple[ScanRow, ...]
    measured: dict[str, dict[str, Any]]
    rejections: tuple[Rejection, ...]
    assignment: Assignment
    warnings: tuple[str, ...]
    cautions: tuple[str, ...]
    resumed: int
    licence: str

    @property
    def failed(self) -> int:
        """Scans that should have been in the store and are not."""
        return sum(one.failed for one in self.rejections)


class NothingUsable(InputError):  # noqa: N818
    """Every scan was refused; `rejections` says why."""

    def __init__(self, message: str, rejections: tuple[Rejection, ...]) -> None:
        super().__init__(message)
        self.rejections = rejections


def prepare(
    cohort: Cohort,
    url: str | Path,
    recipe: Recipe,
    *,
    holdout: Holdout = "coin",
    seed: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Prepared:
    """Prepare a cohort into a store, or go on with what a run before this one began.

    The store's content depends on the scans, the recipe and the seed: not on the order of the items, the number of
    processes or interruptions.

    Args:
        cohort: The scans.
        url: A folder, or a URL that fsspec knows.
        recipe: What is done to every scan.
        holdout: "coin" or "none", of patients without a split.
        seed: Key of the coin; None takes the store's own, or draws one.
        jobs: Processes.
        progress: Called with the number of scans done, their total, and what was refused.

    Raises:
        NothingUsable: No scan is usable; the refusals are in the store's rejected.tsv.
        InputError: All scans are of one patient.
        UsageError: The store was made with another recipe, coin or seed, or another run works on it.
        OutputError: It cannot be written: the disk is full. What was finished stays, and the same call goes on.
    """
    if recipe.mask_volume and VOLUME_ML in cohort.kinds:
        raise UsageError(
            f"--mask-volume: the table has a column {VOLUME_ML} already. Rename it, or leave the option out."
        )
    stored = {"prepare": PREPARATION, **recipe.model_dump(mode="json")}
    _check_same_recipe(url, stored)
    assign((item.patient for item in cohort.items), cohort.splits, Coin(holdout, 0))  # its errors before any work
    files = open_files(url)
    if not files.exists(META) and not isinstance(files, LocalFiles):
        journal_path(url).unlink(missing_ok=True)  # it lies elsewhere, and is about a store that was removed since
    store = Store.create(url, stored)
    with Journal(journal_path(url), recipe_hash(stored)) as journal:
        _forget_lost(journal, store)
        coin = _same_coin(journal, store, holdout, seed)
        if journal.finished:
            _sweep(store)
        items = {item.key: item for item in cohort.items}
        todo = [item for key, item in items.items() if key not in journal.finished]
        refused = _work(todo, journal, recipe, store, jobs, len(items), progress)
        found = [(items[key], journal.finished[key]) for key in items if key in journal.finished]
        chosen, copies, warnings = without_copies(found)
        for item, measured, differing in chosen:
            if differing:  # copies differ in their masks, and whose was written last is chance
                journal.add(item.key, {**measured, **_again(item, recipe, store)})
        warnings += _left_behind(journal, {measured["scan_id"] for _, measured in found})
    known = [(item, measured) for item, measured, _ in chosen]
    return _finish(cohort, store, coin, known, [*refused, *copies], warnings, len(items) - len(todo))


def _finish(
    cohort: Cohort,
    store: Store,
    coin: Coin,
    known: Sequence[tuple[Item, dict[str, Any]]],
    refused: Sequence[Rejection],
    warnings: Sequence[str],
    resumed: int,
) -> Prepared:
    """Split the patients that are left, and write the list of refusals and the manifest."""
    rejections = tuple(sorted([*cohort.rejections, *refused], key=lambda one: (one.source, one.reason)))
    open_files(store.url).write(REJECTED, rejected_table(rejections))
    if not known:
        told = f"no scan can be used: {len(rejections)} refused ({kinds_of(rejections)}). See {store.url}/{REJECTED}."
        raise NothingUsable(told, rejections)
    assignment = assign((item.patient for item, _ in known), cohort.splits, coin, alone=True)
    rows = [_row(item, values, assignment.split_of[item.patient]) for item, values in known]
    rows.sort(key=lambda row: row.scan_id)
    measured = {values["scan_id"]: values for _, values in known}
    if cohort.licence != "not stated":
        store.meta["licence"] = cohort.licence  # the prior's card says it
    cautions = (*warnings, *_moved(store, rows), *_scan_warnings(measured.values()))
    told = (*assignment.warnings, *cautions, *cohort.warnings)
    measures = any(VOLUME_ML in values.get("attributes", {}) for values in measured.values())
    kinds: Mapping[str, AttributeKind] = {**cohort.kinds, VOLUME_ML: "continuous"} if measures else cohort.kinds
    store.write_manifest(rows, kinds, assignment.record)
    return Prepared(store, tuple(rows), measured, rejections, assignment, told, cautions, resumed, cohort.licence)


def _check_same_recipe(url: str | Path, recipe: dict[str, Any]) -> None:
    files = open_files(url)
    if not files.exists(META):
        return
    try:
        stored = json.loads(files.read(META)).get("recipe", {})
    except (ValueError, AttributeError):
        return  # Store.create says what is wrong with it
    changed = difference(stored, recipe)
    if changed:
        raise UsageError(
            f"-o {url}: was prepared with another recipe ({'; '.join(changed)}). Nothing was done. Give another "
            "store, or the same recipe."
        )


def _same_coin(journal: Journal, store: Store, holdout: Holdout, seed: int | None) -> Coin:
    """The coin that the store was begun with; a new one is noted before anything else."""
    known = journal.notes.get("coin") or store.meta.get("coin") or {}
    needless = store.meta.get("complete") and store.meta["coin"].get("seed") is None  # the table said it all
    if known.get("seed") is not None and not needless:
        wanted = {"holdout": holdout, "seed": known["seed"] if seed is None else seed}
        changed = difference({key: known[key] for key in wanted}, wanted)
        if changed:
            raise UsageError(
                f"-o {store.url}: its patients were split by another coin ({'; '.join(changed)}). Nothing was done. "
                "Leave --holdout and --seed as they were, or give another store."
            )
        return Coin(holdout, int(known["seed"]))
    coin = Coin(holdout, secrets.randbelow(_SEEDS) if seed is None else seed)
    journal.note("coin", {"holdout": coin.holdout, "seed": coin.seed})
    return coin


def _work(
    todo: Sequence[Item],
    journal: Journal,
    recipe: Recipe,
    store: Store,
    jobs: int,
    total: int,
    progress: Progress | None,
) -> list[Rejection]:
    """Prepare what is left, and note what is finished."""
    refused: list[Rejection] = []
    done = total - len(todo)

    def finished(item: Item, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        rejection = outcome if isinstance(outcome, Rejection) else None
        if rejection is not None:
            refused.append(rejection)
        elif isinstance(outcome, dict):
            journal.add(item.key, outcome)
            if done % _SYNC_EVERY == 0:
                journal.sync()
        if progress is not None:
            progress(done, total, rejection)

    try:
        prepare_all(todo, recipe, store, jobs, finished)
    finally:
        journal.sync()
    return refused


def _again(item: Item, recipe: Recipe, store: Store) -> dict[str, Any]:
    outcome = prepare_scan(item, recipe, store)
    if isinstance(outcome, Rejection):
        raise InputError(f"{item.source}: {outcome.reason} It was readable before. Run the same command again.")
    return outcome


def _row(item: Item, measured: Mapping[str, Any], split: str) -> ScanRow:
    values = {name: measured[name] for name in (*CORE, "shape", "spacing_mm") if name in measured}
    values |= {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
    attributes = dict(item.attributes) | measured.get("attributes", {})
    return ScanRow(**values, patient=item.patient, split=split, source=item.source, attributes=attributes)


def _scan_warnings(measured: Any) -> list[str]:
    """What was noticed of single scans, each once with how many it holds for."""
    counts = Counter(text for values in measured for text in values["warnings"])
    return [f"{count} of {len(measured)} scans: {text}." for text, count in sorted(counts.items())]


def _left_behind(journal: Journal, here: set[str]) -> list[str]:
    """A warning where scans of a run before this one are not among those given now."""
    gone = len({values["scan_id"] for values in journal.finished.values()} - here)
    if not gone:
        return []
    return [
        f"{gone} prepared before {'is' if gone == 1 else 'are'} not among the scans given now, and so no longer in the "
        "store: a store holds what one command names. To add scans, give every SRC again."
    ]


def _moved(store: Store, rows: Sequence[ScanRow]) -> list[str]:
    """A warning where scans that may have trained a prior are now said to be unseen."""
    if not store.meta.get("complete"):
        return []
    try:
        before = store.manifest
    except InputError:
        return []  # interrupted between its two files
    trained = {
        scan
        for scan, split in zip(before.column("scan_id").to_pylist(), before.column("split").to_pylist(), strict=True)
        if split == "train"
    }
    moved = sum(row.scan_id in trained and row.split != "train" for row in rows)
    if not moved:
        return []
    return [
        f"{moved} of {len(trained)} scans that were in train are held out now: the table, or the patients' pseudonyms "
        "(another account or machine) changed. A prior trained from this store before HAS SEEN THEM."
    ]


def _forget_lost(journal: Journal, store: Store) -> None:
    """Scans that are no longer in the store, where looking costs nothing, are not finished."""
    if isinstance(open_files(store.url), LocalFiles):
        for key in [key for key, values in journal.finished.items() if not store.has_scan(values["scan_id"])]:
            del journal.finished[key]


def _sweep(store: Store) -> None:
    """Remove what a killed run left half-written, where a folder can be listed."""
    files = open_files(store.url)
    if isinstance(files, LocalFiles):
        for partial in (files.root / "scans").glob("*/.*.partial"):
            shutil.rmtree(partial, ignore_errors=True)


__all__ = ["PREPARATION", "REJECTED", "Cohort", "NothingUsable", "Prepared", "prepare"]
