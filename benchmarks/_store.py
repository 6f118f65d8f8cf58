"""Outputs of the peers, kept: they do not depend on our weights, and BM4D's take longer than everything else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from benchmarks._cases import Case
from benchmarks._methods import Answer, Method
from benchmarks._noise import Noisy


def place(folder: Path, method: Method, case: Case, noisy: Noisy) -> Path:
    """The file of one output. The key holds the noisy data themselves: other bits are never taken for these."""
    digest = hashlib.sha256(np.ascontiguousarray(noisy.volume.data).tobytes()).hexdigest()[:16]
    if method.name == "bm4d" and noisy.kind == "gaussian":
        return folder / f"{case.name}_{noisy.level:g}_{digest}.npz"
    return folder / method.name.replace(" ", "_") / f"{case.name}_{noisy.kind}_{noisy.level:g}_{digest}.npz"


def fetch(path: Path) -> Answer | None:
    """What is kept there. Its seconds and memory are those of whoever computed it."""
    if not path.is_file():
        return None
    with np.load(path) as kept:
        extra = float(kept["extra_mib"]) if "extra_mib" in kept else float("nan")
        return Answer(kept["data"], float(kept["seconds"]), float(kept["cpu_seconds"]), extra)


def keep(path: Path, found: Answer) -> None:
    """Written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial.npz")
    np.savez(partial, data=found.data, seconds=found.seconds, cpu_seconds=found.cpu_seconds, extra_mib=found.extra_mib)
    partial.replace(path)
