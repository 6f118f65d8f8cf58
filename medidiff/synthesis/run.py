"""A job: make what of its shard is missing, note each finished sample; the last job puts the set together."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.cohort.journal import Journal
from medidiff.device import describe_device
from medidiff.errors import UsageError
from medidiff.synthesis.dataset import Dataset
from medidiff.synthesis.journals import journal_file, locked, merge_lock, process_tag
from medidiff.synthesis.layout import make_layout
from medidiff.synthesis.make import make_one
from medidiff.synthesis.merge import merge
from medidiff.synthesis.request import SetRequest, settings_hash
from medidiff.synthesis.write import Writer, is_whole, sync_folder
from medidiff.tasks.sample_maker import SampleMaker

ENGINES = ("local", "ray")
Made = tuple[dict[str, Any], float, int]
Progress = Callable[[int, int, dict[str, Any]], None]
_TRIES = 4


@dataclass
class Job:
    """What a job did.

    Attributes:
        made: Samples made now.
        before: Samples of its shard that were there.
        damaged: Numbers whose files were missing or changed, made again.
        rows: Rows of its shard, or of the whole set where that is complete, by number.
        missing: Numbers of the set that are not made yet.
        merged: Whether manifest, labels and card were written.
        seconds: Of the draws.
        nfe: Network evaluations.
    """

    made: int = 0
    before: int = 0
    damaged: list[int] = field(default_factory=list)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    missing: int = 0
    merged: bool = False
    seconds: float = 0.0
    nfe: int = 0


@dataclass(frozen=True)
class Where:
    """How a job is carried out; decides nothing of what comes out.

    Args:
        root: The set's folder.
        shard: (i, k): the numbers whose place in the set is i modulo k.
        engine: local or ray.
        workers: Of ray.
        overwrite: A set with other settings is removed first.
        difference: What two settings differ in, in words.

    Raises:
        UsageError: No such shard or engine.
    """

    root: Path
    shard: tuple[int, int] = (0, 1)
    engine: str = "local"
    workers: int | None = None
    overwrite: bool = False
    difference: Callable[[Mapping[str, Any], Mapping[str, Any]], str] = lambda before, now: "see synthesis.json"

    def __post_init__(self) -> None:
        i, k = self.shard
        if not 0 <= i < k:
            raise UsageError(f"--shard {i}/{k}: must be i/k with i from 0 to k - 1, such as 0/4.")
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: must be {' or '.join(ENGINES)}.")
        if self.workers is not None and (self.workers < 1 or self.engine != "ray"):
            raise UsageError(f"--workers {self.workers}: must be 1 or more, and belongs to --engine ray.")


def run(request: SetRequest, maker: SampleMaker, where: Where, progress: Progress | None = None) -> Job:
    """Make a shard of a set.

    Args:
        request: The set.
        maker: From `request.maker()`.
        where: Folder, shard, engine.
        progress: Called as progress(done, total, row) after every sample of the shard.

    Raises:
        UsageError: The folder holds another set, or another job has this shard.
        OutputError: The disk is full; what is finished stays.
    """
    settings = request.settings(maker)
    layout = make_layout(maker.card, request.layout, request.form, request.indices[-1])
    writer = Writer(maker.card, layout, settings, settings_hash(settings))
    dataset = Dataset(where.root, settings)
    dataset.begin(where.difference, where.overwrite)
    busy = (
        f"--shard {where.shard[0]}/{where.shard[1]}: another process works on this shard of {where.root}. Wait for it."
    )
    job = Job()
    with _journal(journal_file(where.root, where.shard), dataset.hash, busy) as journal:
        sync_folder(journal.path.parent)
        dataset.check_alone(where.shard[1])
        mine = request.indices[where.shard[0] :: where.shard[1]]
        todo = _missing(dataset, mine, job)
        log = _Log(where, maker)
        try:
            for row, seconds, nfe in _made(request, maker, writer, where, todo):
                journal.add(str(row["index"]), row)
                journal.sync()
                job.made, job.seconds, job.nfe = job.made + 1, job.seconds + seconds, job.nfe + nfe
                if progress is not None:
                    progress(job.before + job.made, len(mine), row)
        finally:
            log.end(job)
    _put_together(request, dataset, writer, mine, job)
    return job


@contextmanager
def _journal(path: Path, identity: str, busy: str) -> Iterator[Journal]:
    """The shard's journal. Another job that only looks whether it is held holds it for an instant: try again."""
    with ExitStack() as stack:
        for tries in range(_TRIES):
            try:
                journal = stack.enter_context(Journal(path, identity, busy))
                break
            except UsageError:
                if tries == _TRIES - 1:
                    raise
                time.sleep(0.1)
        yield journal  # pyright: ignore[reportPossiblyUnboundVariable]


def _missing(dataset: Dataset, mine: Sequence[int], job: Job) -> list[int]:
    """Numbers that are not finished, or whose files are no longer what was written."""
    rows, todo = dataset.rows(mine), []
    for index in mine:
        row = rows.get(index)
        if row is not None and is_whole(row, dataset.root):
            job.before += 1
            continue
        todo.append(index)
        if row is not None:
            job.damaged.append(index)
    return todo


def _made(request: SetRequest, maker: SampleMaker, writer: Writer, where: Where, todo: Sequence[int]) -> Iterator[Made]:
    if not todo:
        return
    if where.engine == "ray":
        from medidiff.synthesis.ray_engine import made_by_ray

        yield from made_by_ray(request, maker, writer, where.root, where.shard, where.workers, todo)
        return
    staging = Dataset(where.root, {}).staging(process_tag(where.shard))
    for index in todo:
        yield make_one(request, maker, writer, index, where.root, staging)


def _put_together(request: SetRequest, dataset: Dataset, writer: Writer, mine: range, job: Job) -> None:
    """Manifest, labels and card, by whichever job sees the set complete."""
    with locked(merge_lock(dataset.root)):
        job.missing = request.count - dataset.finished()
        job.rows = dataset.rows(mine if job.missing else request.indices)
        if job.missing == 0:
            merge(dataset.root, writer, [job.rows[i] for i in request.indices])
            dataset.clean()
            job.merged = True


class _Log:
    """When and where a job ran: beside the journals, and in nothing that belongs to the set."""

    def __init__(self, where: Where, maker: SampleMaker) -> None:
        self._path = journal_file(where.root, where.shard).with_suffix(".log")
        self._start = time.time()
        facts = {"engine": where.engine, "device": describe_device(maker.session.device)}
        self._write({"began": _now(), "host": platform.node(), "pid": os.getpid(), **facts})

    def end(self, job: Job) -> None:
        """The job ends, however it does."""
        seconds = round(time.time() - self._start, 1)
        self._write({"ended": _now(), "made": job.made, "nfe": job.nfe, "seconds": seconds})

    def _write(self, values: dict[str, Any]) -> None:
        with suppress(OSError), open(self._path, "a", encoding="utf-8") as file:  # a log is worth no failure
            file.write(json.dumps(values) + "\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


__all__ = ["ENGINES", "Job", "Where", "run"]
