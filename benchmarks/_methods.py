"""The methods under comparison, each in a process of its own, so that time and memory are its own."""

from __future__ import annotations

import hashlib
import importlib
import multiprocessing as mp
import os
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._cases import Case
from medidiff.volume import Volume

if TYPE_CHECKING:
    from medidiff.prior import Prior


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method returned for one noisy scan."""

    data: np.ndarray
    seconds: float
    cpu_seconds: float
    note: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """`kind` is "bm4d" or "medidiff"; the rest is medidiff's."""

    name: str
    kind: str
    prior: str = "general"
    precision: str = "auto"


def run_bm4d(noisy: np.ndarray, lower: float, data_range: float, percent: float) -> np.ndarray:
    """BM4D, default profile, known level; the scan is scaled by the reference's range, nothing is clipped."""
    bm4d = importlib.import_module("bm4d")  # a peer for the benchmarks only, non-commercial licence
    scaled = np.ascontiguousarray((noisy.astype(np.float64) - lower) / data_range)
    denoised: np.ndarray = bm4d.bm4d(scaled, sigma_psd=percent / 100)
    return (denoised * data_range + lower).astype(np.float32)


def run_medidiff(
    noisy: Volume, noise_std: float, prior: Prior, precision: str, threads: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """medidiff's one-pass posterior mean, known level, and where the result says how it was made."""
    import medidiff

    result = medidiff.denoise(noisy, prior, noise="gaussian", noise_std=noise_std, precision=precision, threads=threads)
    return np.asarray(result.output.data), result.provenance


# Processes ------------------------------------------------------------------------------------------------------------


class Worker:
    """One method in a process pinned to the given cores. Only one worker works at a time: the others wait."""

    def __init__(self, method: Method, cores: list[int]) -> None:
        self.method = method
        context = mp.get_context("spawn")
        self._connection, child = context.Pipe()
        previous = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        os.environ.update(dict.fromkeys(previous, str(len(cores))))  # inherited by the child, read at its first import
        self._process = context.Process(target=_serve, args=(child, method, cores), daemon=True)
        self._process.start()
        for name, value in previous.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        self.start_seconds: float = self._receive()

    def denoise(self, case: Case, noisy: Volume, percent: float) -> Answer:
        """Denoise one scan, timed inside the process (sending the arrays is not counted)."""
        self._connection.send((noisy, case.noise_std(percent), case.lower, case.data_range, percent))
        return self._receive()

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory after the warm-up, and the peak since the start."""
        self._connection.send("memory")
        return self._receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()

    def _receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise SystemExit(f"{self.method.name}: its process ended; its own message is above.") from None
        return answer


def _serve(connection: Connection, method: Method, cores: list[int]) -> None:
    """The worker's loop: warm up once on a small scan, then answer until the other end closes."""
    import psutil

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    process = psutil.Process()
    start = time.perf_counter()
    prior = None
    if method.kind == "medidiff":  # read once, as a caller with several scans does
        from medidiff.prior import Prior

        prior = Prior.load(method.prior)

    def work(noisy: Volume, noise_std: float, lower: float, data_range: float, percent: float) -> Answer:
        cpu, start = time.process_time(), time.perf_counter()
        if prior is None:
            data, note = run_bm4d(noisy.data, lower, data_range, percent), {}
        else:
            data, note = run_medidiff(noisy, noise_std, prior, method.precision, len(cores))
        return Answer(data, time.perf_counter() - start, time.process_time() - cpu, note)

    noise = np.random.default_rng(0).standard_normal((24, 24, 24)).astype(np.float32)
    work(Volume.from_array(noise), 1.0, -3.0, 6.0, 100 / 6)
    resting_mib = process.memory_info().rss / 2**20
    connection.send(time.perf_counter() - start)
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        if request == "memory":
            connection.send((resting_mib, peak_mib()))
        else:
            connection.send(work(*request))


def peak_mib() -> float:
    """Largest resident memory of this process. Linux's ru_maxrss would include the parent's from before the exec."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


# Cached BM4D, for development -----------------------------------------------------------------------------------------


def cached_bm4d(case: Case, noisy: Volume, percent: float, folder: Path) -> Answer:
    """BM4D's output from `folder`, computed there at the first call. Its seconds are those of whoever computed it."""
    digest = hashlib.sha256(np.ascontiguousarray(noisy.data).tobytes()).hexdigest()[:16]
    path = folder / f"{case.name}_{percent:g}_{digest}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return Answer(stored["data"], float(stored["seconds"]), float(stored["cpu_seconds"]))
    cpu, start = time.process_time(), time.perf_counter()
    data = run_bm4d(noisy.data, case.lower, case.data_range, percent)
    answer = Answer(data, time.perf_counter() - start, time.process_time() - cpu)
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial.npz")
    np.savez(partial, data=data, seconds=answer.seconds, cpu_seconds=answer.cpu_seconds)
    partial.replace(path)
    return answer
