"""What a run writes of itself while it runs, and that watching changes nothing."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medidiff.errors import Interrupted, TrainingError
from medidiff.training.config import LevelPart, NoiseConfig
from medidiff.training.watch_config import WatchConfig
from medidiff.training.watch_files import read_run
from medidiff.training.watch_samples import draw_samples, from_noise
from medidiff.training.watch_status import RunStatus, Watch, peak_rss_gib


def status_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "status.json").read_text())


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (None, "finished", None),
        (Interrupted("stopped at step 7"), "stopped", "stopped at step 7"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (TrainingError("the loss is not finite at step 3"), "failed", "the loss is not finite at step 3"),
        (RuntimeError("a bug"), "failed", "RuntimeError: a bug"),
    ],
)
def test_how_a_run_ends_is_written(tmp_path: Path, error: BaseException | None, state: str, reason: str | None) -> None:
    status = RunStatus(tmp_path, "brain", 100)

    def run() -> None:
        with status.told():
            assert status_of(tmp_path)["state"] == "running"
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    found = status_of(tmp_path)
    assert (found["state"], found["reason"]) == (state, reason)
    assert read_run(tmp_path)["state"] == state


def test_a_killed_run_is_dead(tmp_path: Path) -> None:
    """kill -9 writes nothing: the process behind `running` is gone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    RunStatus(tmp_path, "brain", 100).write(pid=child.pid)
    assert read_run(tmp_path)["state"] == "running"
    child.kill()
    child.communicate()
    assert read_run(tmp_path)["state"] == "dead"


def test_a_resumed_run_goes_on_from_its_status(tmp_path: Path) -> None:
    first = RunStatus(tmp_path, "brain", 100)
    first.write(step=40, val={"psnr_9pct": 30.0}, state="stopped", reason="Ctrl-C", pid=1, started=1.0)
    second = RunStatus(tmp_path, "brain", 100).fields
    assert (second["step"], second["val"], second["started"]) == (40, {"psnr_9pct": 30.0}, 1.0)
    assert (second["state"], second["reason"]) == ("running", None)
    assert second["pid"] != 1
    (tmp_path / "status.json").write_text("{")
    assert RunStatus(tmp_path, "brain", 100).fields["step"] == 0


def test_a_status_that_cannot_be_written_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = RunStatus(tmp_path / "not_there", "brain", 100)
    for _ in range(3):
        status.write(step=1)
    assert capsys.readouterr().err.count("warning:") == 1


def test_the_callback_measures_and_writes(tmp_path: Path) -> None:
    status = RunStatus(tmp_path, "brain", 100)
    budget = SimpleNamespace(progress=lambda step: step / 100, elapsed_seconds=30.0, total_steps=lambda step: 100)
    watch = Watch(status, every=2, batch=4, budget=budget)
    metrics = {"train/loss": torch.tensor(0.5), "train/skipped": torch.tensor(3.0), "val/psnr_9pct": torch.tensor(30.0),
               "train/psnr_9pct": torch.tensor(float("nan"))}  # fmt: skip
    trainer: Any = SimpleNamespace(global_step=0, world_size=1, callback_metrics=metrics)
    logged: dict[str, float] = {}
    module: Any = SimpleNamespace(log=lambda name, value: logged.update({name: value}))
    watch.on_train_start(trainer, module)
    for step in range(1, 11):
        trainer.global_step = step
        watch.on_train_batch_end(trainer, module, None, None, 0)
        watch.on_train_batch_end(trainer, module, None, None, 0)  # a micro-batch that moves nothing
    found = status_of(tmp_path)
    assert (found["step"], found["progress"], found["loss"], found["skipped"]) == (10, 0.1, 0.5, 3)
    assert found["left_s"] == pytest.approx(270)
    assert found["val"] == {"psnr_9pct": 30.0}
    assert found["train"]["psnr_9pct"] is None, "JSON has no NaN"
    assert len(watch._times) == 10
    assert found["patches_per_s"] == pytest.approx(4 / found["step_s"])
    assert found["peak_rss_gib"] == pytest.approx(logged["watch/peak_rss_gib"], rel=0.05)
    assert 0.05 < found["peak_rss_gib"] <= 1.05 * peak_rss_gib() < 100


def test_the_memory_of_the_starting_process_does_not_count() -> None:
    ballast = np.ones(2**28)  # 2 GiB here, where the child is started
    code = "from medidiff.training.watch_status import peak_rss_gib; print(peak_rss_gib())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    del ballast
    assert 0.05 < float(done.stdout) < 1.5


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        ((LevelPart(low=0.01, high=0.6),), False),
        ((LevelPart(low=0.01, high=0.6, weight=0.9), LevelPart(low=0.5, high=80, weight=0.1)), False),
        (NoiseConfig().levels, True),
        ((LevelPart(low=2, high=80),), True),
    ],
)
def test_samplers_are_told_from_denoisers(levels: tuple[LevelPart, ...], wanted: bool) -> None:
    noise = NoiseConfig(levels=levels)
    assert from_noise(WatchConfig(), noise) is wanted
    assert from_noise(WatchConfig(samples=not wanted), noise) is not wanted


class Exact:
    """The exact denoiser of independent normal voxels, N(0.2, 0.5^2), as a network is called."""

    network = SimpleNamespace(config=SimpleNamespace(alignment=8))

    def __call__(self, x: Tensor, sigma: Tensor, spacing_mm: Tensor, cond: Any) -> Any:
        sigma = sigma.clamp_max(80.0)
        return SimpleNamespace(mean=(0.25 * x + sigma**2 * 0.2) / (0.25 + sigma**2))


@pytest.mark.parametrize("unobserved", [False, True])
def test_samples_have_the_distribution_of_the_patches(unobserved: bool) -> None:
    """With the exact denoiser both ways give back the patches' law, own noise included."""
    generator = torch.Generator().manual_seed(1)
    tau = 0.1
    target = 0.2 + 0.5 * torch.randn(6, 1, 16, 16, 16, generator=generator)
    target = target + tau * torch.randn(target.shape, generator=generator)
    batch = {"target": target, "tau": torch.full((6, 1, 1, 1, 1), tau), "spacing_mm": torch.ones(6, 3)}
    before = torch.random.get_rng_state()
    samples, reference = draw_samples(Exact(), batch, NoiseConfig(), unobserved)
    assert torch.equal(before, torch.random.get_rng_state())
    assert reference.shape == samples.shape == (6, 1, 16, 16, 16)
    assert float(samples.mean()) == pytest.approx(0.2, abs=0.03)
    # 8 steps of 2M lose some of the variance, a tenth at most
    assert float(samples.std()) == pytest.approx(np.hypot(0.5, tau), rel=0.1)
    again, _ = draw_samples(Exact(), batch, NoiseConfig(), unobserved)
    assert torch.equal(samples, again)


def test_the_middle_of_a_patch_keeps_its_coordinates() -> None:
    from medidiff.training.watch_samples import _middle

    place = torch.tensor([[[0.01, 0, 0, -1.0], [0, 0.02, 0, 0], [0, 0, -0.03, 2.0]]])
    volume = torch.arange(48.0)[:, None, None].expand(1, 1, 48, 48, 48)
    middle, cond = _middle({"target": volume, "position": place}, 8)
    assert middle.shape[2:] == (32, 32, 32)
    assert float(middle[0, 0, 0, 0, 0]) == 8
    assert cond is not None
    corner = place[0] @ torch.tensor([8.0, 8.0, 8.0, 1.0])
    torch.testing.assert_close(cond["position"][0] @ torch.tensor([0.0, 0.0, 0.0, 1.0]), corner)
