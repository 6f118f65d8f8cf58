"""A prior of an image and two mask channels that samples in milliseconds; what it shows is noise with a shape."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.nets.unet import HaarUNet, NetConfig
from medidiff.prior import Card, Prior, SpacingRange, TrainingRecord, Typical

SLOTS = ConditionSlots(
    categorical={"sex": CategoricalSlot(values=("F", "M"), counts=(30, 10))},
    continuous={
        "volume_ml": ContinuousSlot(
            unit="ml", low=1.0, high=5.0, quantiles=tuple(1 + 0.2 * i for i in range(21)), known=40
        )
    },
)


def make_prior(name: str = "tinymask", seed: int = 0, slots: ConditionSlots = SLOTS, masks: bool = True) -> Prior:
    channels = ("image", "mask:1", "mask:2") if masks else ("image",)
    config = NetConfig(channels=len(channels), widths=(8, 12), blocks=(1, 1), embedding=8, slots=slots)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        key: t + 0.02 * torch.randn(t.shape, generator=generator) for key, t in HaarUNet(config).state_dict().items()
    }
    card = Card(
        name=name,
        version="1",
        created="2026-11-22",
        description="Random weights for tests.",
        task="sample",
        network=config,
        sigma_data=(0.5,) * len(channels),
        channels=channels,
        shape=(16, 16, 16),
        typical=Typical(offset=400.0, scale=300.0),
        sigma_min=0.02,
        sigma_max=20.0,
        spacing_mm=SpacingRange(low=1.0, high=1.0),
        modalities=("T1 MR",),
        training=TrainingRecord(),
        weights_licence="Apache-2.0",
        output_licence="CC BY-SA 4.0 (share alike)",
        intended_use="Tests.",
        limits="Everything.",
    )
    return Prior(card, weights)


@pytest.fixture(scope="session")
def mask_prior() -> Prior:
    return make_prior()


@pytest.fixture(scope="session")
def priors_folder(mask_prior: Prior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("priors")
    mask_prior.save(folder / "tinymask.safetensors")
    make_prior("tinyimage", masks=False).save(folder / "tinyimage.safetensors")
    return folder


@pytest.fixture
def prior_file(priors_folder: Path) -> Path:
    return priors_folder / "tinymask.safetensors"


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def environment(priors_folder: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDIDIFF_PRIORS", str(priors_folder))
    monkeypatch.setenv("MEDIDIFF_CACHE", str(cache_folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 300 kB; skips where it cannot be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs Linux and root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


class Ran:
    """What a run left."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Run = Callable[..., Ran]


@pytest.fixture
def run() -> Run:
    """Run the command in this process."""
    from typer.testing import CliRunner

    from medidiff.cli import app

    def go(*args: object) -> Ran:
        done = CliRunner().invoke(app, [str(a) for a in args])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    return go


@pytest.fixture
def start() -> Callable[..., "subprocess.Popen[str]"]:
    """Start the command as a process of its own."""

    def go(*args: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "medidiff", *map(str, args)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})

    return go


def files_of(root: Path) -> dict[str, bytes]:
    """Every file of a set but the logs and journals of its jobs, and locks."""
    found: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith("runs/") and name != ".synthesis.lock":
            found[name] = path.read_bytes()
    return found


def differing(a: Path, b: Path) -> list[str]:
    """Names of files that two sets do not share byte by byte."""
    one, other = files_of(a), files_of(b)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


Options: dict[str, Any] = {"precision": "float32", "device": "cpu", "threads": 1, "n_steps": 3}
"""Of a `SetRequest`, for speed."""
