"""What a run is going to do and cost, before it starts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from typing import Any

import torch

from medidiff.cohort.sources import FolderSource, ProceduralSource
from medidiff.training.config import TrainingConfig
from medidiff.training.measure import Measured, measure_step, micro_batch
from medidiff.training.posthoc import KEPT
from medidiff.training.validation import VALIDATION_PERCENT
from medidiff.training.watch_samples import EDGE, SAMPLES, STEPS, from_noise

_PICTURE_BYTES = 100_000
"""A validation picture of six rows of 48^3 patches as PNG, in the run's folder and again in TensorBoard's file."""


FEW_VAL = 5
"""Val patients below which the comparison with the prior a run came from is not worth waiting for."""
_BUSY = 1.3
"""A step that took this much longer than it computed on one thread was waiting for the processor."""


def make_plan(config: TrainingConfig, data: Any, module: Any, *, measure: bool) -> dict[str, Any]:
    """Everything a person wants to know before leaving a run alone.

    Args:
        config: The run.
        data: Its data module, set up.
        module: Its training module.
        measure: Train a few steps in a process of their own, for time and memory; else those stay None.

    Returns:
        JSON-able: name, network, data, hardware, schedule, time, memory, disk, warnings.

    Raises:
        MemoryLimitError: A training step does not fit into memory.
        TrainingError: The trial steps failed.
    """
    sigma_data = float(module.denoiser.sigma_data.flatten()[0])
    took = measure_step(config, data.kinds, sigma_data, torch.get_num_threads()) if measure else None
    parameters = sum(p.numel() for p in module.denoiser.parameters())
    time = _time(config, data, took)
    plan = {
        "name": config.name,
        "output": str(config.output),
        "network": {
            "parameters": parameters,
            "trained": sum(p.numel() for p in module.denoiser.parameters() if p.requires_grad),
            "sigma_data": sigma_data,
            "method": config.method,
            "start_from": str(config.start_from) if config.start_from else None,
        },
        "data": _data(config, data),
        "hardware": _hardware(config, took),
        "schedule": {
            "steps": config.optimiser.steps,
            "hours": config.hours,
            "batch": config.optimiser.batch,
            "micro_batch": micro_batch(config),
            "patch": list(config.data.patch),
            "samples_from_noise": from_noise(config.watch, config.noise),
        },
        "time": time,
        "memory": _memory(data, took),
        "disk": _disk(config, parameters, took, time),
    }  # fmt: skip
    return plan | {"warnings": _warnings(config, plan)}


def _data(config: TrainingConfig, data: Any) -> dict[str, Any]:
    held = {id(cases): cases for _, cases in data.loaded["val"]}
    by_kind: dict[str, list[Any]] = {}
    for cases in held.values():
        by_kind.setdefault(cases[0].kind, []).append(cases)
    total = sum(weight for weight, _ in data.loaded["train"])
    sources, people = [], {"train": 0, "val": 0}
    for source, (weight, cases) in zip(config.data.sources, data.loaded["train"], strict=True):
        val = next(iter(by_kind.get(cases[0].kind, [])), [])
        if val:
            by_kind[cases[0].kind].pop(0)
        patients = {split: _patients(source, found) for split, found in (("train", cases), ("val", val))}
        for split, count in patients.items():
            people[split] += count
        sources.append(
            {
                "kind": cases[0].kind,
                "share": weight / total,
                "train_scans": len(cases),
                "val_scans": len(val),
                "train_patients": patients["train"],
                "val_patients": patients["val"],
                "tau": sum(case.tau for case in cases) / len(cases),
                "voxels": sum(math.prod(case.shape) for case in cases),
            }
        )
    return {"sources": sources, "train_patients": people["train"], "val_patients": people["val"]}


def _patients(source: Any, cases: Sequence[Any]) -> int:
    """Patients of a source's split; 0 where it has none (procedural) or does not say."""
    if isinstance(source, ProceduralSource):
        return 0
    if isinstance(source, FolderSource):
        return len({case.patient for case in cases}) if source.table else 0
    return len({patient for case in cases if (patient := _patient(case))})


def _patient(case: Any) -> str | None:
    """A store's case knows its patient by its manifest row."""
    found = getattr(case, "patient", None) or getattr(getattr(case, "row", None), "patient", None)
    return str(found) if found else None


def _hardware(config: TrainingConfig, took: Measured | None) -> dict[str, Any]:
    from medidiff.device import pick_device

    scale = config.scale
    device = took.device if took else pick_device("auto").type
    processes = scale.devices * scale.nodes
    strategy = ("single" if processes == 1 else "ddp") if scale.strategy == "auto" else scale.strategy
    threads = torch.get_num_threads()
    parts = [f"{device}, {threads} threads" if device == "cpu" else device]
    if took:
        parts.append(f"{took.precision} ({took.reason})")
    if processes > 1:
        parts.append(f"{strategy} on {processes} processes")
    if scale.accumulate > 1:
        parts.append(f"{scale.accumulate} micro-batches a step")
    if scale.activation_checkpointing:
        parts.append("activations computed again")
    return {
        "device": device,
        "threads": threads,
        "precision": took.precision if took else config.precision,
        "reason": took.reason if took else None,
        "strategy": strategy,
        "processes": processes,
        "accumulate": scale.accumulate,
        "activation_checkpointing": scale.activation_checkpointing,
        "text": ", ".join(parts),
    }


def _time(config: TrainingConfig, data: Any, took: Measured | None) -> dict[str, Any]:
    names = ("step_s", "cpu_s", "patches_per_s", "validation_share", "hours", "reached_steps", "patches", "passes")
    if took is None:
        return dict.fromkeys(names)
    step_s = took.step_s * config.scale.accumulate
    share = _validation_s(config, data, took.forward_s) / (config.validate_every * step_s)
    cost = step_s * (1 + share)
    reached = config.optimiser.steps
    if config.hours is not None:
        reached = max(1, min(reached, int(3600 * config.hours / cost)))
    patches = reached * config.optimiser.batch
    voxels = sum(math.prod(case.shape) for _, cases in data.loaded["train"] for case in cases)
    return {
        "step_s": step_s,
        "cpu_s": took.cpu_s * config.scale.accumulate,
        "patches_per_s": config.optimiser.batch / step_s,
        "validation_share": share,
        "hours": reached * cost / 3600,
        "reached_steps": reached,
        "patches": patches,
        "passes": patches * math.prod(config.data.patch) / voxels,
    }


def _validation_s(config: TrainingConfig, data: Any, forward_s: float) -> float:
    """Network evaluations of a validation, in seconds."""
    levels = len(VALIDATION_PERCENT)
    evaluations = data.val_patches * ((levels + 2) + (levels if data.loaded["val"] else -2))
    samples = 0.0
    if config.watch.distance:
        part = math.prod(min(n, EDGE) for n in config.data.patch) / math.prod(config.data.patch)
        samples = SAMPLES * (STEPS + 2) * part
    return (evaluations + samples) * forward_s


def _memory(data: Any, took: Measured | None) -> dict[str, Any]:
    import psutil

    scans = sum(getattr(getattr(case, "data", None), "nbytes", 0) for parts in data.loaded.values()
                for _, cases in parts for case in cases) / 2**30  # fmt: skip
    return {
        "scans_gib": scans,
        "step_gib": took.peak_rss_gib if took else None,
        "peak_gib": took.peak_rss_gib + scans if took else None,
        "peak_cuda_gib": took.peak_cuda_gib if took else None,
        "available_gib": psutil.virtual_memory().available / 2**30,
    }


def _disk(config: TrainingConfig, parameters: int, took: Measured | None, time: dict[str, Any]) -> dict[str, Any]:
    gib = 2**30
    checkpoint = took.checkpoint_bytes / gib if took else None
    averages = KEPT * len(config.optimiser.ema) * 4 * parameters / gib
    steps = time["reached_steps"] or config.optimiser.steps
    pictures = 2 * _PICTURE_BYTES * max(1, steps // config.validate_every) / gib
    existing = next(path for path in (config.output, *config.output.resolve().parents) if path.exists())
    return {
        "checkpoint_gib": checkpoint,
        "averages_gib": averages,
        "prior_gib": 2 * parameters / gib,
        "pictures_gib": pictures,
        "total_gib": 2 * (checkpoint or 0.0) + averages + 2 * parameters / gib + pictures,
        "free_gib": shutil.disk_usage(existing).free / gib,
    }


def _warnings(config: TrainingConfig, plan: dict[str, Any]) -> list[str]:
    found = []
    patients = plan["data"]["val_patients"]
    if config.start_from is not None and patients < FEW_VAL:
        found.append(
            f"{patients} val patients: too few to tell at the end whether the prior is better than the one it came "
            f"from. Give at least {FEW_VAL} patients the split val."
        )
    memory, disk, time = plan["memory"], plan["disk"], plan["time"]
    if memory["peak_gib"] is not None and memory["peak_gib"] > memory["available_gib"]:
        found.append("more memory than is free: lower data.patch or raise scale.accumulate.")
    if disk["total_gib"] > disk["free_gib"]:
        found.append(f"more disk than is free at {config.output}: choose another output.")
    if plan["hardware"]["device"] == "cpu" and time["step_s"] is not None and time["step_s"] > _BUSY * time["cpu_s"]:
        found.append(f"this machine was busy: the step had the processor for {time['cpu_s']:.3g} s of its time.")
    if time["validation_share"] is not None and time["validation_share"] > 0.1:
        found.append(f"validations take {time['validation_share']:.0%} of the time: raise validate_every.")
    if time["passes"] is not None and time["passes"] > 1000:
        found.append(f"{time['passes']:.0f} passes over so small a cohort: watch the gap in `medidiff runs`.")
    return found


__all__ = ["make_plan"]
