"""A tiny run from end to end, watched: status, trend, pictures; and the plan of one with its trial steps."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from medidiff.cli.runs_text import details
from medidiff.errors import TrainingError
from medidiff.training import run
from medidiff.training.watch_files import find_runs, read_run, read_trend

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]


def write_config(folder: Path, **parts: Any) -> Path:
    tree = {
        "name": "tiny",
        "output": str(folder / "out"),
        "threads": 1,
        "precision": "float32",
        "log_every": 3,
        "validate_every": 3,
        "watch": {"most": 1.0},
        "data": {
            "root": str(folder),
            "cache": str(folder / "cache"),
            "patch": [16, 16, 16],
            "sources": [{"type": "procedural", "volumes": 2, "size": 16, "seed": 1}],
        },
        "network": {"widths": [8, 8], "blocks": [1, 1], "embedding": 8},
        "optimiser": {"batch": 2, "steps": 6, "warmup": 2},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree | parts))
    return path


def test_a_run_tells_how_it_stands(tmp_path: Path) -> None:
    prior = run.run_training(write_config(tmp_path), [])
    assert find_runs([tmp_path]) == [tmp_path / "out"]
    found = read_run(tmp_path / "out")
    assert (found["state"], found["step"], found["steps"], found["progress"]) == ("finished", 6, 6, 1.0)
    assert found["prior"] == str(prior)
    assert found["gap_db"] == pytest.approx(found["val"]["gap_9pct"], abs=1e-4)
    for name in ("patches_per_s", "step_s", "peak_rss_gib", "elapsed_s", "loss", "lr"):
        assert found[name] is not None, name
    trend = read_trend(tmp_path / "out")
    assert [row["step"] for row in trend] == [2, 5], "steps count from 0 in the tables"
    for name in ("val/psnr_3pct", "val/psnr_9pct", "val/psnr_15pct", "train/psnr_9pct", "val/gap_9pct"):
        assert all(name in row for row in trend), name
    assert "val/distance" in trend[0]
    pictures = sorted((tmp_path / "out" / "samples").glob("*.png"))
    assert [path.stem for path in pictures] == ["step-0000003", "step-0000006"]
    with Image.open(pictures[0]) as picture:
        assert min(picture.size) > 300


def test_without_val_patients_training_patches_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run.PatchDataModule.setup

    def without_val(self: Any, stage: str | None = None) -> None:
        whole(self, stage)
        self.loaded["val"] = []

    monkeypatch.setattr(run.PatchDataModule, "setup", without_val)
    run.run_training(write_config(tmp_path), [])
    found = read_run(tmp_path / "out")
    assert "psnr_9pct" in found["train"]
    assert "psnr_9pct" not in found["val"]
    assert found["gap_db"] is None
    assert [row["step"] for row in read_trend(tmp_path / "out")] == [2, 5]
    assert "train 9%, dB" in "\n".join(details(found, read_trend(tmp_path / "out")))
    assert capsys.readouterr().err.count("no val patients") == 1


def test_why_a_run_failed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: Any) -> None:
        raise TrainingError("the loss is not finite at step 2")

    monkeypatch.setattr("medidiff.training.module.denoising_error", break_down)
    with pytest.raises(TrainingError):
        run.run_training(write_config(tmp_path), [])
    found = read_run(tmp_path / "out")
    assert (found["state"], found["reason"]) == ("failed", "the loss is not finite at step 2")


def test_the_plan_measures_a_step_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = run.plan_training(write_config(tmp_path), ["optimiser.batch=4", "scale.accumulate=2"])
    assert not (tmp_path / "out").exists()
    assert plan["schedule"]["micro_batch"] == 2
    assert plan["time"]["step_s"] > 0
    assert 0.1 < plan["memory"]["step_gib"] < 20
    # float32 weights, two averages and Muon's or Adam's memory: 4 to 6 numbers a weight
    assert 4 * 4 < plan["disk"]["checkpoint_gib"] * 2**30 / plan["network"]["parameters"] < 6 * 4
    assert json.loads(json.dumps(plan))["prior"].endswith("tiny.safetensors")
    assert "million parameters" in capsys.readouterr().err
