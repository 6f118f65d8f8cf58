"""A prior of random weights that samples 16^3 in milliseconds, and `medidiff synth` with it as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from medidiff.nets.embedding import ConditionSlots, ContinuousSlot
from medidiff.nets.unet import HaarUNet, NetConfig
from medidiff.prior import Card, Prior, SpacingRange, TrainingRecord, Typical

COUNT, QUICK_COUNT = 1000, 24
SEED = 11


def write_prior(path: Path) -> None:
    """An image and two mask channels, conditioned on volume; what it shows is noise with a shape."""
    slots = ConditionSlots(continuous={"volume_ml": ContinuousSlot(unit="ml", low=1.0, high=5.0)})
    config = NetConfig(channels=3, widths=(8, 12), blocks=(1, 1), embedding=8, slots=slots)
    generator = torch.Generator().manual_seed(0)
    state = HaarUNet(config).state_dict().items()
    weights = {name: t + 0.02 * torch.randn(t.shape, generator=generator) for name, t in state}
    card = Card(
        name="tiny",
        version="1",
        created="2026-11-22",
        description="Random weights.",
        task="sample",
        network=config,
        sigma_data=(0.5,) * 3,
        channels=("image", "mask:1", "mask:2"),
        shape=(16, 16, 16),
        typical=Typical(offset=400.0, scale=300.0),
        sigma_min=0.02,
        sigma_max=20.0,
        spacing_mm=SpacingRange(low=1.0, high=1.0),
        modalities=("T1 MR",),
        training=TrainingRecord(),
        weights_licence="Apache-2.0",
        output_licence="CC0-1.0",
        intended_use="A benchmark.",
        limits="Everything.",
    )
    Prior(card, weights).save(path)


def start(prior: Path, folder: Path, count: int, *options: str) -> subprocess.Popen[str]:
    """`medidiff synth` of the set, with further options, one thread."""
    command = [
        sys.executable, "-m", "medidiff", "synth", "-p", str(prior), "-n", str(count), "-o", str(folder),
        "--cond", "volume_ml=1:2", "--balance", "volume_ml", "--check", "none", "--seed", str(SEED), "--threads", "1",
        *options,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a job that must succeed."""
    _, told = process.communicate()
    assert process.returncode == 0, told


def files_of(root: Path) -> dict[str, bytes]:
    """Every file of a set but its jobs' logs and journals, and the lock."""
    found: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith("runs/") and name != ".synthesis.lock":
            found[name] = path.read_bytes()
    return found


def compare(whole: Path, other: Path) -> dict[str, int]:
    """Files of two sets: how many, how many alike, byte by byte."""
    one, two = files_of(whole), files_of(other)
    alike = sum(one.get(name) == two.get(name) for name in one.keys() | two.keys())
    return {"files": len(one), "other_files": len(two), "alike": alike, "together": len(one.keys() | two.keys())}
