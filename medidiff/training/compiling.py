"""torch.compile or not, by measurement: it helps on GPUs, and not on the CPUs tried."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import MedidiffError, OutputError
from medidiff.io import atomic_write_text
from medidiff.precision import cache_folder
from medidiff.training.config import TrainingConfig

_WORTH = 0.93
"""Compiling must save this much of a step's time: it costs minutes at the start, and again after every resume."""
_REPEATS = 5


@dataclass(frozen=True)
class CompileChoice:
    """Whether the network is compiled.

    Attributes:
        on: Yes or no.
        reason: In words.
    """

    on: bool
    reason: str


def choose_compile(config: TrainingConfig, denoiser: Preconditioned, device: torch.device, bf16: bool) -> CompileChoice:
    """Decide on torch.compile.

    On the CPU `auto` is off: forward and backward of the default network at 48^3, batch 2, took 0.88 to 1.12 of the
    time in bfloat16 and 0.97 in float32 (a network of a tenth at 32^3: 1.07 to 1.30), after 30 to 80 s of compiling for
    each of the two kinds of noise map (Xeon with AMX, one thread, torch 2.13, 2026-11-21). On a GPU it is measured once
    per machine, network and patch, and kept in the cache; that could not be tried when it was written.

    Args:
        config: The run.
        denoiser: Its network.
        device: Where it runs.
        bf16: Whether it runs under bfloat16 autocast.
    """
    how = config.scale.compile
    if how != "auto":
        return CompileChoice(how == "on", "asked for")
    if device.type != "cuda":
        return CompileChoice(False, "no gain on the CPU")
    path = cache_folder() / f"compile-{_key(config, device, bf16)}.json"
    try:
        times = json.loads(path.read_text(encoding="utf-8"))
        eager, compiled = float(times["eager_s"]), float(times["compiled_s"])
    except (OSError, ValueError, KeyError, TypeError):
        eager, compiled = _measure(config, denoiser, device, bf16)
        _store(path, eager, compiled)
    words = f"measured {eager / compiled:.2f} times as fast as without"
    return CompileChoice(compiled < _WORTH * eager, words)


def _measure(config: TrainingConfig, denoiser: Preconditioned, device: torch.device, bf16: bool) -> tuple[float, float]:
    import copy

    trial = copy.deepcopy(denoiser).to(device)
    eager = _step_seconds(trial, config, device, bf16)
    try:
        trial.compile(dynamic=False)
        return eager, _step_seconds(trial, config, device, bf16)
    except MedidiffError:
        raise
    except Exception:  # noqa: BLE001  whatever a compiler does not like: the run goes on without it
        return eager, float("inf")


def _step_seconds(denoiser: Any, config: TrainingConfig, device: torch.device, bf16: bool) -> float:
    """Best time of a forward and backward pass; the first call, which compiles, does not count."""
    batch = config.optimiser.batch // (config.scale.devices * config.scale.nodes * config.scale.accumulate)
    x = torch.ones(batch, config.network.channels, *config.data.patch, device=device)
    sigma = torch.full((batch, config.network.channels, 1, 1, 1), 0.3, device=device)
    best = float("inf")
    for repeat in range(_REPEATS + 1):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = denoiser(x, sigma).mean.square().mean()
        loss.backward()
        torch.cuda.synchronize(device)
        if repeat:
            best = min(best, time.perf_counter() - start)
    return best


def _key(config: TrainingConfig, device: torch.device, bf16: bool) -> str:
    parts = [torch.cuda.get_device_name(device), torch.__version__, str(bf16), str(config.data.patch)]
    parts += [config.network.model_dump_json(), str(config.optimiser.batch), config.scale.model_dump_json()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _store(path: Path, eager: float, compiled: float) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json.dumps({"eager_s": eager, "compiled_s": min(compiled, 1e9)}))
    except (OSError, OutputError):
        return  # a cache that cannot be written costs a measurement each run and nothing else


__all__ = ["CompileChoice", "choose_compile"]
