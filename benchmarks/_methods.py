"""What the benchmark compares: medidiff told everything or nothing, and the peers; one answer and what it cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._noise import Noisy
from benchmarks._peers import PEERS, run_peer

if TYPE_CHECKING:
    from medidiff.prior import Prior

PEER_NAMES = ("bm4d", "bm4d informed", *PEERS)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method returned for one noisy scan; `extra_mib` is the memory it took beyond what was held before."""

    data: np.ndarray
    seconds: float
    cpu_seconds: float
    extra_mib: float = float("nan")
    note: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """`kind` is "medidiff" or a peer. `informed`: told the level and, where there is one, the spectrum or the map."""

    name: str
    kind: str
    informed: bool = False
    prior: str = "general"
    precision: str = "auto"

    def applies(self, noisy: Noisy) -> bool:
        """An informed peer is another method only where there is something to tell beyond one level."""
        return self.kind == "medidiff" or not self.informed or noisy.informable


def peer_method(name: str) -> Method:
    """One of `PEER_NAMES`."""
    return Method(name, name.removesuffix(" informed"), informed=name.endswith(" informed"))


def own_methods(prior: str, told: Sequence[str], precisions: Sequence[str]) -> list[Method]:
    """Medidiff known and blind; the first precision has the plain name."""
    return [
        Method(f"medidiff {t}" + (f" {p}" if p != precisions[0] else ""), "medidiff", t == "known", prior, p)
        for p in precisions
        for t in told
    ]


def answer(method: Method, noisy: Noisy, prior: Prior | None, threads: int) -> Answer:
    """Run one method in this process, with time and memory."""
    import psutil

    held, watched = psutil.Process().memory_info().rss / 2**20, reset_peak()
    cpu, start = time.process_time(), time.perf_counter()
    if method.kind == "medidiff":
        if prior is None:
            raise ValueError("medidiff needs its prior")
        data, note = run_medidiff(method, noisy, prior, threads)
    else:
        data, note = run_peer(method.kind, noisy, threads, method.informed), {}
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return Answer(data, seconds, cpu_seconds, peak_mib() - held if watched else float("nan"), note)


def run_medidiff(method: Method, noisy: Noisy, prior: Prior, threads: int) -> tuple[np.ndarray, dict[str, Any]]:
    """medidiff's posterior mean, and what its record says of the noise."""
    import medidiff
    from medidiff.tasks.known_noise import WHITE, KnownNoise

    noise: str | KnownNoise = "auto"
    if method.informed:
        level = noisy.std if noisy.std_map is None else noisy.std_map
        kind = "rician" if noisy.rician else "gaussian"
        noise = KnownNoise(kind, level, noisy.correlation or WHITE)  # type: ignore[arg-type]
    result = medidiff.denoise(noisy.volume, prior, noise=noise, precision=method.precision, threads=threads)
    told = ("noise_std", "noise_kind", "noise_correlation", "noise_trusted", "noise_std_interval")
    note = {key: result.figures[key] for key in told if key in result.figures}
    return np.asarray(result.output.data, dtype=np.float32), {
        "status": result.status,
        "nfe": result.nfe,
        "warnings": len(result.warnings),
        "precision": result.provenance.get("precision"),
        "prior": result.provenance.get("prior"),
        **note,
    }


def reset_peak() -> bool:
    """Let the largest resident memory of this process start anew; False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_mib() -> float:
    """Largest resident memory of this process. Linux's ru_maxrss would include the parent's from before the exec."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
