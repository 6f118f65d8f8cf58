"""Mutated DICOM through scan and read, in processes that may die: `python -m benchmarks.dicom_fuzz`.

One file of a small series is changed, in its bytes or in its header; scan and read must give a volume or an error of
medidiff's own, within 2 s and 2 GiB. Anything else is printed with its seed, which alone makes the same files again.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

from benchmarks._dicom_mutate import Base, base_sets, mutate

SECONDS = 2.0
MEMORY_BYTES = 2 << 30
GOOD = ("volume", "MedidiffError", "no volume")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    os.nice(5)
    begin = time.perf_counter()
    outcomes, slowest = run(range(args.first, args.first + args.count), args.processes)
    counts = collections.Counter(outcome for _, outcome in outcomes)
    print(f"{args.count} mutated series in {time.perf_counter() - begin:.0f} s, the slowest {slowest:.2f} s\n")
    print("| outcome | count |\n|---|---|")
    print("\n".join(f"| {outcome} | {count} |" for outcome, count in counts.most_common()))
    bad = [(seed, outcome) for seed, outcome in outcomes if not outcome.startswith(GOOD)]
    print("\n" + ("\n".join(f"seed {seed}: {outcome}" for seed, outcome in bad) or "nothing else."))
    sys.exit(1 if bad else 0)


def run(seeds: range, processes: int = 1) -> tuple[list[tuple[int, str]], float]:
    """Outcome of every seed, and the seconds that the slowest took."""
    sets = base_sets()
    done: list[tuple[int, str]] = []
    slowest = 0.0
    workers = [_Worker(sets, iter(seeds[i::processes])) for i in range(processes)]
    while workers:
        for worker in list(workers):
            for seed, outcome, seconds in worker.results():
                done.append((seed, outcome))
                slowest = max(slowest, seconds)
            if worker.finished:
                workers.remove(worker)
    return sorted(done), slowest


class _Worker:
    """One process and the seeds it is to try; started again after it died."""

    def __init__(self, sets: list[Base], seeds: Iterator[int]) -> None:
        self._sets, self._seeds = sets, seeds
        self._process: ForkProcess | None = None
        self.finished = False
        self._next()

    def _next(self) -> None:
        self._seed = next(self._seeds, None)
        if self._seed is None:
            self.finished = True
            if self._process is not None:
                self._pipe.send(None)
                self._process.join()
            return
        if self._process is None:
            self._pipe, other = multiprocessing.Pipe()
            process = multiprocessing.get_context("fork").Process(target=_serve, args=(self._sets, other))
            process.start()
            self._process = process
            other.close()
        self._begin = time.perf_counter()
        self._pipe.send(self._seed)

    def results(self) -> Iterator[tuple[int, str, float]]:
        """What is known within a tenth of a second."""
        if self._process is None or self._seed is None:
            return
        seed, seconds = self._seed, 0.0
        if self._pipe.poll(0.1):
            try:
                outcome, seconds = self._pipe.recv()
            except EOFError:
                self._process.join()
                outcome, self._process = f"CRASH {self._process.exitcode}", None
        elif time.perf_counter() - self._begin > 10 * SECONDS:
            self._process.kill()
            self._process.join()
            outcome, self._process = "HANG", None
        else:
            return
        yield seed, outcome, seconds
        self._next()


def _serve(sets: list[Base], pipe: Connection) -> None:
    """Try seeds until there are no more."""
    soft = MEMORY_BYTES + _virtual_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (seed := pipe.recv()) is not None:
        outcome, seconds = _timed(sets, seed)
        if seconds > SECONDS:  # the machine may have been busy: twice is no accident
            outcome, seconds = _timed(sets, seed)
        if seconds > SECONDS:
            outcome = f"SLOW ({seconds:.1f} s): {outcome}"
        pipe.send((outcome, seconds))
    from medidiff.io.dicom.decoding import shared_decoder

    shared_decoder().close()


def _timed(sets: list[Base], seed: int) -> tuple[str, float]:
    begin = time.perf_counter()
    return attempt(sets, seed), time.perf_counter() - begin


def attempt(sets: list[Base], seed: int) -> str:
    """Make the mutated series of a seed, scan and read it; what came of it."""
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        kind = mutate(sets, random.Random(seed), Path(folder))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # none of a library's may reach the user
                return scan_and_read(Path(folder))
        except Exception as error:  # noqa: BLE001  this is what is looked for
            return f"{type(error).__name__} in {kind}: {_where(error)}"


def scan_and_read(folder: Path) -> str:
    """Every candidate as it is, and the refused ones with every option: the best outcome."""
    from medidiff.errors import EXIT_CODES, MedidiffError
    from medidiff.io.dicom.model import REFUSALS
    from medidiff.io.dicom.read import read_candidate
    from medidiff.io.dicom.scan import scan_dicom

    outcome = "no volume"
    zipped = folder / "all.zip"
    try:
        scan = scan_dicom(zipped if zipped.exists() else folder)
    except MedidiffError as error:
        return f"MedidiffError, exit {error.exit_code}"
    for candidate in scan.candidates:
        if candidate.refusal is not None and candidate.refusal.code not in REFUSALS:
            raise KeyError(candidate.refusal.code)
        try:
            read_candidate(candidate, resample_tilt=True, fill_gaps=True).volume.check(allow_constant=True)
            outcome = "volume"
        except MedidiffError as error:
            if error.exit_code not in EXIT_CODES or error.exit_code == 1:
                raise
            outcome = f"MedidiffError, exit {error.exit_code}" if outcome != "volume" else outcome
    return outcome


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"


def _virtual_bytes() -> int:
    import psutil

    return psutil.Process().memory_info().vms


if __name__ == "__main__":
    main()
