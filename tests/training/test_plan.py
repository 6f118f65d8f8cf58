"""The plan of a run: its sums, its warnings, and trial steps in a process of their own."""

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from medidiff.cohort import Case
from medidiff.errors import MemoryLimitError, TrainingError
from medidiff.training import measure, plan
from medidiff.training.config import TrainingConfig
from medidiff.training.measure import Measured, measure_step, micro_batch, random_batch
from medidiff.training.plan_text import plan_lines

TOOK = Measured(
    step_s=0.5, cpu_s=0.5, forward_s=0.01, peak_rss_gib=2.0, peak_cuda_gib=None, checkpoint_bytes=2**30,
    parameters=1000, trained=1000, precision="float32", reason="asked for", device="cpu",
)  # fmt: skip


def config(folder: Path, **parts: Any) -> TrainingConfig:
    tree = {
        "name": "tiny",
        "output": folder / "out",
        "data": {"patch": [16, 16, 16], "sources": [{"type": "procedural", "volumes": 2, "size": 16, "seed": 1}]},
        "network": {"widths": [8, 8], "blocks": [1, 1], "embedding": 8},
        "optimiser": {"batch": 4, "steps": 1000},
        "validate_every": 100,
    }
    return TrainingConfig.model_validate(tree | parts)


def case(n: int) -> Case:
    return Case(f"c{n}", np.zeros((32, 32, 64), np.float16), (1.0, 1.0, 1.0), 0.01, "procedural")


def data(val: bool = True) -> Any:
    loaded = {"train": [(1.0, [case(0), case(1)])], "val": [(1.0, [case(2)])] if val else []}
    return SimpleNamespace(loaded=loaded, kinds=("procedural",), val_patches=24)


def module(parameters: int = 1000) -> Any:
    denoiser: Any = torch.nn.Module()
    denoiser.weight = torch.nn.Parameter(torch.zeros(parameters))
    denoiser.register_buffer("sigma_data", torch.tensor([0.5]))
    return SimpleNamespace(denoiser=denoiser)


def planned(monkeypatch: pytest.MonkeyPatch, folder: Path, *, val: bool = True, **parts: Any) -> dict[str, Any]:
    monkeypatch.setattr(plan, "measure_step", lambda *_: TOOK)
    return plan.make_plan(config(folder, **parts), data(val), module(), measure=True)


def test_time_is_step_and_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 patches at 3 levels and twice coloured, 24 of training at 3, 16 samples of 10 evaluations; 0.01 s each."""
    time = planned(monkeypatch, tmp_path)["time"]
    share = 0.01 * (24 * 5 + 24 * 3 + 16 * 10) / (100 * 0.5)
    assert time["validation_share"] == pytest.approx(share)
    assert time["hours"] == pytest.approx(1000 * 0.5 * (1 + share) / 3600)
    assert (time["reached_steps"], time["patches"], time["patches_per_s"]) == (1000, 4000, 8.0)
    assert time["passes"] == pytest.approx(4000 * 16**3 / (2 * 32 * 32 * 64))


def test_hours_limit_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time = planned(monkeypatch, tmp_path, hours=0.05, watch={"distance": False})["time"]
    cost = 0.5 + 0.01 * (24 * 5 + 24 * 3) / 100
    assert time["reached_steps"] == int(180 / cost)
    assert time["hours"] <= 0.05


def test_accumulation_takes_as_many_micro_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned(monkeypatch, tmp_path, scale={"accumulate": 4})
    assert found["schedule"]["micro_batch"] == 1
    assert found["time"]["step_s"] == pytest.approx(4 * 0.5)
    assert micro_batch(config(tmp_path, scale={"accumulate": 2, "devices": 2})) == 1


def test_memory_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned(monkeypatch, tmp_path)
    scans = 3 * 32 * 32 * 64 * 2 / 2**30
    assert found["memory"]["peak_gib"] == pytest.approx(2 + scans)
    averages = 16 * 2 * 4 * 1000 / 2**30  # at most 16 snapshots of two widths, float32
    assert found["disk"]["averages_gib"] == pytest.approx(averages)
    assert found["disk"]["total_gib"] > 2 + averages


def test_text_names_what_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(plan_lines(planned(monkeypatch, tmp_path)))
    for words in (
        "0.00 million parameters",
        "1000 steps of 4 patches 16 x 16 x 16",
        "2 scans to train on, 1 to validate",
        "float32 (asked for)",
        "0.5 s a step measured",
        "memory:",
        "disk:",
    ):
        assert words in text, words
    assert "no val patients" not in text
    assert "no val patients" in "\n".join(plan_lines(planned(monkeypatch, tmp_path, val=False)))
    untimed = plan.make_plan(config(tmp_path), data(), module(), measure=False)
    assert "time:" not in "\n".join(plan_lines(untimed))


def test_a_busy_machine_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not planned(monkeypatch, tmp_path)["warnings"]
    monkeypatch.setattr(plan, "measure_step", lambda *_: replace(TOOK, cpu_s=0.2))
    found = plan.make_plan(config(tmp_path), data(), module(), measure=True)
    assert any("busy" in text for text in found["warnings"])


def test_too_small_a_disk_and_too_many_passes_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    found = planned(monkeypatch, tmp_path, optimiser={"batch": 4, "steps": 10**7})
    assert any("disk" in text for text in found["warnings"])
    assert any("passes" in text for text in found["warnings"])


@pytest.mark.parametrize(
    ("code", "stderr", "error"),
    [
        (-9, "", MemoryLimitError),
        (1, "RuntimeError: [enforce fail] DefaultCPUAllocator: not enough memory... out of memory", MemoryLimitError),
        (1, "Traceback\nValueError: widths", TrainingError),
    ],
)
def test_how_trial_steps_fail(
    code: int, stderr: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], code, "", stderr)
    monkeypatch.setattr(measure.subprocess, "run", lambda *a, **k: done)
    with pytest.raises(error, match=r"does not fit into memory|ValueError: widths"):
        measure_step(config(tmp_path), ("procedural",), 0.5, 1)


def test_maps_count_as_often_as_the_run_has_them() -> None:
    """Steps by turns: constant levels 1 s, maps 3 s; the first two are not counted."""
    times = [90.0, 90.0, 1.0, 3.0, 1.0, 3.0]
    assert measure._Clock.mean(times, 0.75) == pytest.approx(0.75 * 1 + 0.25 * 3)
    assert measure._Clock.mean(times, 0.0) == 3


def test_a_trial_batch_is_what_the_loader_gives(tmp_path: Path) -> None:
    slots = {"categorical": {"kind": {"values": ["a"]}, "sex": {"values": ["f", "m"]}},
             "continuous": {"age": {"low": 0, "high": 100, "unit": "years"}}}  # fmt: skip
    network = {"widths": [8, 8], "blocks": [1, 1], "embedding": 8, "slots": slots, "position": True}
    batch = random_batch(config(tmp_path, network=network), ("procedural",), 3, number=2)
    assert batch["target"].shape == (3, 1, 16, 16, 16)
    assert batch["number"].tolist() == [6, 7, 8]
    assert set(batch["cond"]) == {"sex", "age"}
    assert batch["position"].shape == (3, 3, 4)
