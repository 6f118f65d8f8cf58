"""Scans prepared by several processes; what is finished is handed over as it comes, also when the run is stopped."""

from __future__ import annotations

import itertools
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

from medidiff.cohort.checks import Rejection
from medidiff.cohort.prepare_scan import Item, prepare_scan
from medidiff.cohort.recipe import Recipe
from medidiff.cohort.store import Store
from medidiff.errors import MedidiffError, MemoryLimitError

Outcome = dict[str, Any] | Rejection
_Done = tuple[list[Outcome], MedidiffError | None]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_SCANS_A_WORKER = 4
_LARGEST_CHUNK = 32
_AHEAD = 3
_state: dict[str, Any] = {}


def prepare_all(
    items: Sequence[Item], recipe: Recipe, store: Store, jobs: int, finished: Callable[[Item, Outcome], None]
) -> None:
    """Prepare scans.

    Args:
        items: The scans.
        recipe: How.
        store: Where to.
        jobs: Processes; few scans, and a store in this process's memory, are done without any.
        finished: Called for every scan, in whatever order they are done; also, before this raises, for those that were
            done when the run was stopped.

    Raises:
        OutputError: The store cannot be written.
        MemoryLimitError: A process was ended from outside, most likely for memory.
    """
    jobs = min(jobs, len(items) // _SCANS_A_WORKER)
    if jobs <= 1 or store.url.startswith("memory:"):
        for item in items:
            finished(item, prepare_scan(item, recipe, store))
        return
    size = max(1, min(_LARGEST_CHUNK, len(items) // (50 * jobs)))
    chunks = iter([items[k : k + size] for k in range(0, len(items), size)])
    context = mp.get_context("spawn")
    stop = context.Event()
    with _one_thread_each():
        pool = ProcessPoolExecutor(jobs, context, _begin, (recipe, store, stop, os.getpid()))
        waiting: dict[Future[_Done], Sequence[Item]] = {}
        try:
            while True:
                for chunk in itertools.islice(chunks, _AHEAD * jobs - len(waiting)):
                    waiting[pool.submit(_work, chunk)] = chunk
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    _hand_over(waiting.pop(future), future, finished)
        except BrokenProcessPool as error:
            raise MemoryLimitError(
                "a process that prepared scans was ended from outside, most likely for memory. Run the same command "
                f"with fewer --jobs than {jobs}: it goes on where it stopped."
            ) from error
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for future, chunk in waiting.items():
                with suppress(MedidiffError, CancelledError, BrokenProcessPool):
                    _hand_over(chunk, future, finished)


def _hand_over(chunk: Sequence[Item], future: Future[_Done], finished: Callable[[Item, Outcome], None]) -> None:
    outcomes, error = future.result()
    for item, outcome in zip(chunk, outcomes, strict=False):
        finished(item, outcome)
    if error is not None:
        raise error


def _begin(recipe: Recipe, store: Store, stop: Any, parent: int) -> None:
    """In a worker: Ctrl-C is the parent's to handle, and a worker whose parent was killed ends by itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _state.update(recipe=recipe, store=store, stop=stop)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(chunk: Sequence[Item]) -> _Done:
    """The outcomes of the first scans of a chunk: of all, unless the run is being stopped or the disk is full."""
    outcomes: list[Outcome] = []
    for item in chunk:
        if _state["stop"].is_set():
            break
        try:
            outcomes.append(prepare_scan(item, _state["recipe"], _state["store"]))
        except MedidiffError as error:
            _state["stop"].set()
            return outcomes, error
    return outcomes, None


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside compute with one thread each: as many as there are cores, and not the square of it."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
