"""A run: exact resume, other settings refused, a prior at the end that loads."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from medidiff.errors import ConfigError, Interrupted
from medidiff.prior import Prior
from medidiff.training import run
from medidiff.training.watch import PlainProgress

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]


def _config(folder: Path, steps: int = 12) -> Path:
    config: dict[str, Any] = {
        "name": "tiny",
        "output": str(folder / "out"),
        "seed": 3,
        "threads": 1,
        "precision": "float32",
        "checkpoint_minutes": 100,
        "log_every": 4,
        "validate_every": 6,
        "data": {
            "root": str(folder),
            "cache": str(folder / "cache"),
            "patch": [8, 8, 8],
            "sources": [{"type": "procedural", "volumes": 2, "size": 16, "seed": 1}],
        },
        "network": {"widths": [8, 8], "blocks": [1, 1], "embedding": 8},
        "optimiser": {"batch": 2, "steps": steps, "warmup": 2},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _crash_after(step: int, checkpoint_at: int) -> Any:
    plain = PlainProgress.on_train_batch_end

    def hook(self: PlainProgress, trainer: Any, *rest: Any) -> None:
        plain(self, trainer, *rest)
        if trainer.global_step == checkpoint_at:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "x.ckpt", weights_only=False)
        if trainer.global_step == step:
            raise RuntimeError("the power fails")

    return hook


def test_resume_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole = run.run_training(_config(tmp_path / "a"), [])
    config = _config(tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(PlainProgress, "on_train_batch_end", _crash_after(step=9, checkpoint_at=7))
        with pytest.raises(RuntimeError, match="power"):
            run.run_training(config, [])
    (tmp_path / "b" / "x.ckpt").replace(tmp_path / "b" / "out" / run.CHECKPOINT)
    resumed = run.run_training(config, [])
    one, two = Prior.load(whole), Prior.load(resumed)
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert one.card.training.steps == 12


def test_a_second_resume_starts_from_the_latest_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning numbers a resumed run's checkpoints by default (last-v1.ckpt): the second resume would lose work."""
    config = _config(tmp_path)
    monkeypatch.chdir(tmp_path)
    for step in (5, 9):
        with monkeypatch.context() as patch:
            patch.setattr(PlainProgress, "on_train_batch_end", _crash_after(step=step, checkpoint_at=step - 1))
            with pytest.raises(RuntimeError, match="power"):
                run.run_training(config, ["checkpoint_minutes=1e-6"])
        saved = torch.load(tmp_path / "out" / run.CHECKPOINT, weights_only=True)
        assert saved["global_step"] >= step - 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.ckpt*")) == [run.CHECKPOINT, "previous.ckpt"]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    config = _config(tmp_path)
    run.run_training(config, [])
    with pytest.raises(ConfigError, match="optimiser"):
        run.run_training(config, ["optimiser.lr=0.5"])


def test_the_prior_says_what_it_was_trained_on(tmp_path: Path) -> None:
    prior = Prior.load(run.run_training(_config(tmp_path), []))
    source = prior.card.training.sources[0]
    assert (source.name, source.scans) == ("procedural", 2)
    assert prior.card.conditions.categorical["kind"].values == ("procedural",)
    assert (tmp_path / "out" / "samples").glob("*.png")


def test_dry_run_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run.run_training(_config(tmp_path), [], dry_run=True)
    assert not path.exists()
    assert not (tmp_path / "out").exists()
    assert "million parameters" in capsys.readouterr().err


def test_hours_end_a_run(tmp_path: Path) -> None:
    prior = Prior.load(run.run_training(_config(tmp_path, steps=10**6), [], hours=1e-4))
    assert 0 < prior.card.training.steps < 10**6


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_writes_a_checkpoint(tmp_path: Path, number: signal.Signals) -> None:
    config = _config(tmp_path, steps=10**6)
    call = f"run_training(Path({str(config)!r}), [])"
    code = f"from pathlib import Path; from medidiff.training.run import run_training; {call}"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 8 " in line:
                process.send_signal(number)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=120) != 0
    assert Interrupted.__name__ in rest
    assert torch.load(tmp_path / "out" / run.CHECKPOINT, weights_only=False)["global_step"] >= 8


def test_a_setting_that_came_later_does_not_stop_a_run(tmp_path: Path) -> None:
    """A run that began before there was `class_balance` is resumed with its default, and refused with another."""
    path = _config(tmp_path, steps=2)
    run.run_training(path, [])
    stored = tmp_path / "out" / "config.yaml"
    tree = yaml.safe_load(stored.read_text())
    del tree["class_balance"]
    stored.write_text(yaml.safe_dump(tree))
    run.run_training(path, [])
    stored.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError, match=r"class_balance: 0\.0 there, 1\.0 now"):
        run.run_training(path, ["class_balance=1.0"])
