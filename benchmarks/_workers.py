"""Each method in a process of its own, pinned to the same cores, so that time and memory are its own."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks._methods import Answer, Method, answer, peak_mib
from benchmarks._noise import Noisy
from medidiff.volume import Volume

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


class Worker:
    """One method in a process pinned to the given cores. Only one worker works at a time: the others wait."""

    def __init__(self, method: Method, cores: list[int]) -> None:
        self.method = method
        context = mp.get_context("spawn")
        self._connection, child = context.Pipe()
        previous = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(previous, str(len(cores))))  # inherited by the child, read at its first import
        self._process = context.Process(target=_serve, args=(child, method, cores), daemon=True)
        self._process.start()
        child.close()  # ours to close, or a process that ended would never be noticed
        for name, value in previous.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        self.start_seconds: float = self._receive()

    def denoise(self, noisy: Noisy) -> Answer:
        """Denoise one scan, timed inside the process (sending the arrays is not counted)."""
        self._connection.send(noisy)
        return self._receive()

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory after the warm-up, and the peak of the latest scan."""
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
            return self._connection.recv()
        except EOFError:
            raise SystemExit(f"{self.method.name}: its process ended; its own message is above.") from None


def _serve(connection: Connection, method: Method, cores: list[int]) -> None:
    """The worker's loop: warm up once on a small scan, then answer until the other end closes."""
    import psutil

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    start = time.perf_counter()
    prior = None
    if method.kind == "medidiff":  # read once, as a caller with several scans does
        from medidiff.prior import Prior

        prior = Prior.load(method.prior)
    answer(method, _small_scan(), prior, len(cores))
    resting_mib = psutil.Process().memory_info().rss / 2**20
    connection.send(time.perf_counter() - start)
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        if isinstance(request, str):
            connection.send((resting_mib, peak_mib()))
        else:
            connection.send(answer(method, request, prior, len(cores)))


def _small_scan() -> Noisy:
    """Noise on a ramp, with a map: something every method accepts."""
    shape = (24, 24, 24)
    noise = np.random.default_rng(0).standard_normal(shape)
    data = (np.linspace(0, 10, 24)[:, None, None] + noise).astype(np.float32)
    return Noisy("varying", 1.0, Volume.from_array(data), 1.0, 0.0, 10.0, std_map=np.ones(shape, dtype=np.float32))
