"""`medidiff prepare` from what was asked for to what is told: find, join, prepare, draft the card."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from medidiff.cli.discover import plural
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.outcome import Failure, emit_json, failure_of, say, stop, warn
from medidiff.cli.prepare_find import FoundScans, find_scans
from medidiff.cli.prepare_task import make_cohort
from medidiff.cli.progress import counted
from medidiff.cohort.card_draft import CARD, write_card
from medidiff.cohort.checks import Rejection
from medidiff.cohort.participants import Participants, read_participants
from medidiff.cohort.prepare import REJECTED, Cohort, NothingUsable, Prepared, prepare
from medidiff.cohort.recipe import Recipe
from medidiff.cohort.split import Holdout, told_of
from medidiff.cohort.store_files import LocalFiles, open_files
from medidiff.errors import MemoryLimitError, OutputError, PartialFailure, UsageError

_TABLE = "participants.tsv"
_MOST_TOLD = 20
_LINE_EVERY_S = 20.0


@dataclass(frozen=True)
class Wanted:
    """The values of the options."""

    roots: tuple[Path, ...]
    store: str
    recipe: Recipe
    table: Path | None
    include: tuple[str, ...]
    masks: str | None
    holdout: Holdout
    seed: int | None
    categorical: tuple[str, ...]
    choice: InputChoice
    licence: str
    jobs: int | None


def run(wanted: Wanted, as_json: bool) -> None:
    """Prepare, and tell.

    Raises:
        MedidiffError: Nothing could be done.
    """
    start = time.perf_counter()
    _check_place(wanted)
    table = read_participants(wanted.table, wanted.categorical) if wanted.table is not None else None
    found = find_scans(wanted.roots, wanted.choice, wanted.include)
    table = table or _of_dataset(found, wanted)
    _check_known(found, table)
    cohort = make_cohort(found, table, wanted.masks, wanted.licence)
    for one in cohort.rejections[:_MOST_TOLD] if not as_json else ():
        if one.failed:
            say(_line(one))
    jobs = wanted.jobs or _cores()
    try:
        done = _prepare(cohort, wanted, jobs)
    except NothingUsable as error:
        stop(failure_of(error), as_json, {"store": wanted.store, "rejected": _told(error.rejections)})
    write_card(done)
    told = _summary(done, time.perf_counter() - start)
    for text in done.warnings:
        warn(text)
    if not as_json:
        typer.echo(_text(done, wanted))
    failed = [one for one in done.rejections if one.failed]
    if failed:
        message = f"{plural(len(failed), 'scan')} could not be used, {len(done.rows)} are done. See {REJECTED}."
        stop(Failure(message, PartialFailure.exit_code), as_json, told)
    if as_json:
        emit_json({"status": "done", "exit_code": 0, **told})


def _prepare(cohort: Cohort, wanted: Wanted, jobs: int) -> Prepared:
    shown, at = 0, 0
    begun = last = time.monotonic()
    total = len({item.key for item in cohort.items})
    first: int | None = None
    with counted("prepare") as bar:

        def progress(done: int, total: int, rejection: Rejection | None) -> None:
            nonlocal shown, at, last, first
            at = done
            first = done - 1 if first is None else first
            if rejection is not None:
                shown += 1
                if shown <= _MOST_TOLD:
                    say(_line(rejection) if shown < _MOST_TOLD else "... more are listed in rejected.tsv")
            now = time.monotonic()
            if bar is not None:
                bar(done, total)
            elif now - last > _LINE_EVERY_S or done == total:
                left = (now - begun) / (done - first) * (total - done)
                say(f"[{done}/{total}] prepared" + (f", {left:.0f} s left" if done < total else ""))
                last = now

        say(f"prepare {plural(total, 'scan')} into {wanted.store} ...")
        split = {"holdout": wanted.holdout, "seed": wanted.seed}
        try:
            return prepare(cohort, wanted.store, wanted.recipe, **split, jobs=jobs, progress=progress)
        except (KeyboardInterrupt, OutputError, MemoryLimitError):
            say(f"{at} of {plural(total, 'scan')} looked at; the same command goes on.")
            raise


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_place(wanted: Wanted) -> None:
    """Refuse a store inside what is read: the next run would find it there."""
    files = open_files(wanted.store)
    if not isinstance(files, LocalFiles):
        return
    place = files.root.resolve()
    for root in wanted.roots:
        if root.is_dir() and (place == root.resolve() or root.resolve() in place.parents):
            raise UsageError(f"-o {wanted.store}: lies in {root}, which is read. Give a folder outside of it.")


def _of_dataset(found: FoundScans, wanted: Wanted) -> Participants | None:
    """The participants table of the one BIDS dataset that was given; it must name every participant."""
    if len(wanted.roots) != 1 or not found.bids or not (found.bids[0] / _TABLE).is_file():
        if wanted.categorical:
            raise UsageError("--categorical: names columns of a table. Give --table.")
        return None
    return read_participants(found.bids[0] / _TABLE, wanted.categorical)


def _check_known(found: FoundScans, table: Participants | None) -> None:
    """Without a table the scans themselves must say whose they are.

    Raises:
        UsageError: They do not.
    """
    unknown = [scan.path for scan in found.scans if not scan.patient]
    if table is None and unknown:
        raise UsageError(
            f"--table: is needed: nothing says whose {unknown[0]} is"
            + (f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else "")
            + ", and a split is of patients. `medidiff scan SRC --table participants.tsv` writes one to fill in."
        )


def _line(one: Rejection) -> str:
    return f"refused ({one.kind}): {one.source}: {one.reason}"


def _told(rejections: tuple[Rejection, ...]) -> list[dict[str, Any]]:
    return [{"file": one.source, "kind": one.kind, "reason": one.reason, "failed": one.failed} for one in rejections]


def _summary(done: Prepared, seconds: float) -> dict[str, Any]:
    meta = done.store.meta
    return {
        "store": done.store.url,
        "content_hash": done.store.content_hash,
        "scans": len(done.rows),
        "patients": len({row.patient for row in done.rows}),
        "resumed": done.resumed,
        "splits": meta["counts"],
        "coin": meta["coin"],
        "attributes": meta["attributes"],
        "bytes": sum(row.bytes for row in done.rows),
        "tau_median": float(np.median([row.tau for row in done.rows])),
        "rejected": _told(done.rejections),
        "warnings": list(done.warnings),
        "card": CARD,
        "seconds": round(seconds, 3),
    }


def _text(done: Prepared, wanted: Wanted) -> str:
    rows, record = done.rows, done.assignment.record
    split_of = {row.patient: row.split for row in rows}
    spacing = np.median([row.spacing_mm for row in rows], axis=0)
    tau = np.median([row.tau for row in rows])
    size = sum(row.bytes for row in rows) / 1e6
    before = f", {done.resumed} of them before this run" if done.resumed else ""
    coin = "by the table" if record["seed"] is None else f"coin with seed {record['seed']}"
    if record["seed"] is not None and record["by_table"]:
        coin += f", {plural(record['by_table'], 'patient')} by the table"
    lines = [
        f"{wanted.store}: {plural(len(rows), 'scan')} of {plural(len(split_of), 'patient')}, {size:.1f} MB{before}",
        f"split ({coin}): {told_of(split_of, Counter(row.split for row in rows))}",
        f"median voxel {spacing[0]:.3g} x {spacing[1]:.3g} x {spacing[2]:.3g} mm, median own noise {tau:.3g}",
    ]
    if done.store.attributes:
        lines.append("attributes: " + ", ".join(f"{n} ({a['kind']})" for n, a in done.store.attributes.items()))
    if done.rejections:
        counts = Counter(one.kind for one in done.rejections)
        lines.append(f"not in it: {', '.join(f'{c} {k}' for k, c in sorted(counts.items()))}; see {REJECTED}")
    return "\n".join([*lines, f"draft of a data card: {CARD}"])
