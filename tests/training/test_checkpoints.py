"""Checkpoints: whole or not at all, the one before kept, damage found, a full disk survived."""

import errno
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from medidiff.errors import InputError, OutputError
from medidiff.training import checkpoints as module
from medidiff.training import run
from medidiff.training.checkpoints import CHECKPOINT, PREVIOUS, AtomicCheckpoints, Checkpoints, resume_point

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def state(step: int, size: int = 1000) -> dict[str, Any]:
    return {"global_step": step, "weights": torch.full((size,), float(step))}


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    io = AtomicCheckpoints()
    for step in (1, 2, 3):
        io.save_checkpoint(state(step), tmp_path / CHECKPOINT)
        assert io.failure is None
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["global_step"] == 3
    assert torch.load(tmp_path / PREVIOUS, weights_only=True)["global_step"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, PREVIOUS]
    found = resume_point(tmp_path)
    assert found is not None
    assert (found[0].name, found[1]["global_step"]) == (CHECKPOINT, 3)
    assert resume_point(tmp_path / "nothing") is None


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_break_at_any_point_leaves_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Every call that changes a name fails once; whatever it leaves behind can be resumed from."""
    calls = 0

    def broken(name: str, at: int) -> Any:
        plain = getattr(os, name)

        def call(*arguments: Any) -> None:
            nonlocal calls
            if name == "link" and not links:
                raise OSError(errno.EPERM, "no links here")
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            plain(*arguments)

        return call

    for at in range(1, 6):
        folder = tmp_path / str(at)
        folder.mkdir()
        AtomicCheckpoints().save_checkpoint(state(1), folder / CHECKPOINT)
        calls = 0
        with monkeypatch.context() as patch:
            for name in ("link", "replace", "fsync"):
                patch.setattr(os, name, broken(name, at))
            try:
                AtomicCheckpoints().save_checkpoint(state(2), folder / CHECKPOINT)
            except KeyboardInterrupt:
                pass
        found = resume_point(folder)
        assert found is not None
        assert found[1]["global_step"] in (1, 2)
        assert not list(folder.glob(f"{CHECKPOINT}.partial"))


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.99])
def test_damage_is_found_and_says_what_to_do(tmp_path: Path, place: float) -> None:
    """One byte changed anywhere in the data (torch itself reads changed weights without a word), or the end cut off."""
    io = AtomicCheckpoints()
    io.save_checkpoint(state(1), tmp_path / CHECKPOINT)
    path = tmp_path / CHECKPOINT
    with zipfile.ZipFile(path) as file:
        entry = max(file.infolist(), key=lambda info: info.file_size)
        start = path.read_bytes().index(torch.full((1000,), 1.0).numpy().tobytes())
    whole = bytearray(path.read_bytes())
    whole[start + int(place * (entry.file_size - 1))] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"damaged.*delete it and run the same command"):
        resume_point(tmp_path)
    path.write_bytes(whole[: len(whole) // 2])
    AtomicCheckpoints().save_checkpoint(state(2), tmp_path / "other.ckpt")
    os.replace(tmp_path / "other.ckpt", tmp_path / PREVIOUS)
    with pytest.raises(InputError, match=rf"an older one lies beside it: `mv .*{PREVIOUS}"):
        resume_point(tmp_path)


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io = AtomicCheckpoints()
    io.save_checkpoint(state(1), tmp_path / CHECKPOINT)
    plain = module._Told.write

    def full(self: Any, data: Any) -> int:
        if len(data) > 2000:
            self.file = SimpleNamespace(write=lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        return plain(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(module._Told, "write", full)
        io.save_checkpoint(state(2), tmp_path / CHECKPOINT)
    assert isinstance(io.failure, OutputError)
    assert "disk is full" in str(io.failure)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["global_step"] == 1
    io.save_checkpoint(state(3), tmp_path / CHECKPOINT)
    assert io.failure is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB; the test skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mount.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """600 kB hold one checkpoint of 200 kB and the next, not 300 kB more; freed, the next one works."""
    io = AtomicCheckpoints()
    trainer: Any = SimpleNamespace(global_step=0, strategy=SimpleNamespace(checkpoint_io=io))
    trainer.save_checkpoint = lambda path, weights_only: io.save_checkpoint(state(trainer.global_step, 50_000), path)
    budget = SimpleNamespace(save_now=False)
    callback = Checkpoints(small_disk, budget)

    def step(number: int) -> None:
        trainer.global_step, budget.save_now = number, True
        callback.on_train_batch_end(trainer, None, None, None, 0)

    step(1)
    (small_disk / "other").write_bytes(bytes(300_000))
    step(2)
    said = capsys.readouterr().err
    assert "the disk is full" in said
    assert "The checkpoint before is kept (step 1)" in said
    assert torch.load(small_disk / CHECKPOINT, weights_only=True)["global_step"] == 1
    assert not list(small_disk.glob("*.partial"))
    (small_disk / "other").unlink()
    step(3)
    assert torch.load(small_disk / CHECKPOINT, weights_only=True)["global_step"] == 3
    assert callback.saved_at == 3


def test_a_run_with_a_damaged_checkpoint_says_so(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    config = tiny_config(tmp_path, 3)
    prior = run.run_training(config, [])
    path = tmp_path / "out" / CHECKPOINT
    written = prior.read_bytes()
    assert run.run_training(config, []).read_bytes() == written, "a finished run stays as it is"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"last\.ckpt: damaged"):
        run.run_training(config, [])
