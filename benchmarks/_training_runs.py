"""Small training runs in processes of their own, for the benchmarks of exact resume and of several processes."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def write_config(folder: Path, **parts: Any) -> Path:
    """A small run into `folder`: 60 thousand weights, 16^3 patches of procedural volumes, coloured noise, Muon."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "name": "small",
        "output": str(folder / "out"),
        "seed": 5,
        "threads": 1,
        "precision": "float32",
        "log_every": 1,
        "validate_every": 20,
        "watch": {"distance": False},
        "data": {
            "root": str(folder),
            "cache": str(folder.parent / "cache"),
            "patch": [16, 16, 16],
            "sources": [{"type": "procedural", "volumes": 6, "size": 32, "seed": 1}],
        },
        "network": {"widths": [8, 12], "blocks": [1, 1], "embedding": 8, "noise_correlation": True},
        "noise": {"p_coloured": 0.3},
        "optimiser": {"batch": 4, "steps": 50, "warmup": 5},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(config | parts))
    return path


def command(config: Path, *settings: str) -> list[str]:
    """`medidiff train` of a configuration."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    return [sys.executable, "-m", "medidiff", "--debug", "train", str(config), *chosen]


def start(config: Path, *settings: str) -> subprocess.Popen[str]:
    """Start a run; its progress lines can be read from stderr."""
    return subprocess.Popen(
        command(config, *settings),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **ENVIRONMENT, "MEDIDIFF_HOME": str(config.parent / "home")},
    )


def finish(config: Path, *settings: str) -> str:
    """Run to the end; returns what it said."""
    process = start(config, *settings)
    said = process.communicate(timeout=500)[1]
    if process.returncode:
        raise RuntimeError(f"{config}: exit code {process.returncode}\n{said[-3000:]}")
    return said


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of the network, every average, the optimiser and the shipped weights of a finished run."""
    saved = torch.load(folder / "out" / "last.ckpt", map_location="cpu", weights_only=True)
    parts = {"network": saved["state_dict"], "averages": saved["averages"], "optimiser": saved["optimizer_states"]}
    hashes = {name: _sha256(part) for name, part in parts.items()}
    from safetensors.torch import load_file

    return {**hashes, "prior": _sha256(load_file(folder / "out" / "small.safetensors"))}


def losses(folder: Path) -> dict[int, float]:
    """Training loss of every step of a finished run."""
    found = {}
    for table in sorted((folder / "out" / "csv").glob("version_*/metrics.csv")):
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                if row.get("train/loss"):
                    found[int(row["step"])] = float(row["train/loss"])
    return found


def _sha256(value: Any) -> str:
    hasher = hashlib.sha256()

    def add(name: str, item: Any) -> None:
        if isinstance(item, dict):
            for key in sorted(item, key=str):
                add(f"{name}/{key}", item[key])
        elif isinstance(item, list | tuple):
            for index, entry in enumerate(item):
                add(f"{name}/{index}", entry)
        elif isinstance(item, torch.Tensor):
            hasher.update(f"{name} {item.dtype} {tuple(item.shape)}".encode())
            hasher.update(item.detach().contiguous().numpy().tobytes())
        else:
            hasher.update(f"{name} {item!r}".encode())

    add("", value)
    return hasher.hexdigest()
