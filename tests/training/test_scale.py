"""Processes, micro-batches and activation checkpointing: what is refused, and that the result stays."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import ConfigError, DeviceError
from medidiff.nets import HaarUNet, NetConfig
from medidiff.training import run
from medidiff.training.compiling import choose_compile
from medidiff.training.config import TrainingConfig, load_config
from medidiff.training.strategy import check_scale, checkpoint_blocks

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
CPU = torch.device("cpu")


@pytest.fixture
def configured(tmp_path: Path, tiny_config: Callable[..., Path]) -> Callable[..., TrainingConfig]:
    def make(*settings: str) -> TrainingConfig:
        return load_config(tiny_config(tmp_path), ["optimiser.batch=4", *settings])

    return make


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["scale.strategy=fsdp"], "fsdp: needs GPUs.*Choose ddp"),
        (["scale.devices=2", "scale.strategy=single"], "single: is for one process, not 2"),
        (["scale.devices=3"], "optimiser.batch 4.*multiple of .* = 3"),
        (["scale.devices=2", "scale.accumulate=4"], "optimiser.batch 4.* = 8"),
    ],
)
def test_what_cannot_work_is_refused(
    configured: Callable[..., TrainingConfig], settings: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_scale(configured(*settings), CPU)


def test_fsdp_on_a_gpu_needs_adamw(configured: Callable[..., TrainingConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    gpu = torch.device("cuda")
    with pytest.raises(ConfigError, match=r"optimiser\.name=adamw"):
        check_scale(configured("scale.strategy=fsdp"), gpu)
    assert check_scale(configured("scale.strategy=fsdp", "optimiser.name=adamw"), gpu) == "fsdp"
    with pytest.raises(DeviceError, match="this machine has 1 GPUs"):
        check_scale(configured("scale.devices=2"), gpu)


def test_auto_is_single_or_ddp(configured: Callable[..., TrainingConfig]) -> None:
    assert check_scale(configured(), CPU) == "single"
    assert check_scale(configured("scale.devices=2"), CPU) == "ddp"
    assert check_scale(configured("scale.nodes=2"), CPU) == "ddp"


def test_torchrun_with_other_numbers_is_refused(
    configured: Callable[..., TrainingConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"Set scale\.devices=2 and scale\.nodes=2"):
        check_scale(configured(), CPU)
    assert check_scale(configured("scale.devices=2", "scale.nodes=2"), CPU) == "ddp"


def test_compile_is_off_on_the_cpu_unless_asked_for(configured: Callable[..., TrainingConfig]) -> None:
    network: Any = None
    assert not choose_compile(configured(), network, CPU, bf16=True).on
    assert choose_compile(configured("scale.compile='on'"), network, CPU, bf16=True).on


def test_activation_checkpointing_changes_no_bit_of_the_gradients() -> None:
    def gradients(again: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        net = Preconditioned(HaarUNet(NetConfig(widths=(8, 12), blocks=(2, 1))), torch.tensor([0.5]), 0.002, 80.0)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        if again:
            assert checkpoint_blocks(net) == 5
        x = torch.randn(2, 1, 16, 16, 16)
        out = net(x, torch.rand(2, 1, 16, 16, 16) + 0.1)
        (out.mean.square().mean() + out.log_variance.mean()).backward()
        return [p.grad for p in net.parameters() if p.grad is not None]

    plain, again = gradients(False), gradients(True)
    assert len(plain) == len(again) > 20
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def losses(folder: Path) -> list[float]:
    with next(folder.glob("out/csv/version_0/metrics.csv")).open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]


HOW = [
    "optimiser.batch=4",
    "data.sources.0.volumes=1",
    "optimiser.steps=8",
    "log_every=1",
    "noise.p_coloured=0.5",
    "validate_every=8",
]


def test_micro_batches_give_the_loss_of_the_whole_batch(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    for name, settings in {"one": [], "four": ["scale.accumulate=4"]}.items():
        run.run_training(tiny_config(tmp_path / name), [*HOW, *settings])
    one, four = losses(tmp_path / "one"), losses(tmp_path / "four")
    assert len(one) == len(four) == 8
    # float32 sums in another order: 1e-7 a step, a hundred times that after a few steps
    assert one == pytest.approx(four, rel=1e-5)


def test_a_run_with_micro_batches_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_config: Callable[..., Path]
) -> None:
    how = [*HOW, "scale.accumulate=2", "checkpoint_minutes=1e-6"]
    run.run_training(tiny_config(tmp_path / "whole"), how)
    config = tiny_config(tmp_path / "broken")

    def fail(self: Any, trainer: Any, *rest: Any) -> None:
        if trainer.global_step == 5:
            raise RuntimeError("the power fails")

    with monkeypatch.context() as patch:
        patch.setattr("medidiff.training.watch.PlainProgress.on_train_batch_start", fail, raising=False)
        with pytest.raises(RuntimeError, match="power"):
            run.run_training(config, how)
    run.run_training(config, how)
    one, two = (torch.load(tmp_path / name / "out" / run.CHECKPOINT, weights_only=True) for name in ("whole", "broken"))
    assert one["global_step"] == two["global_step"] == 8
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, two["state_dict"][name]), name
    for a, b in zip(one["averages"]["tensors"], two["averages"]["tensors"], strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_two_processes_give_the_loss_of_one(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    run.run_training(tiny_config(tmp_path / "one"), HOW)
    config = tiny_config(tmp_path / "two")
    settings = [word for setting in [*HOW, "scale.devices=2"] for word in ("--set", setting)]
    call = [sys.executable, "-m", "medidiff", "train", str(config), *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(call, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "two" / "out" / "tiny.safetensors"), "one process answers"
    assert done.stderr.count("step 8 ") == 1, "one process speaks"
    assert losses(tmp_path / "one") == pytest.approx(losses(tmp_path / "two"), rel=1e-4)
