"""Checkpoints that survive what happens while they are written: a power failure, a full disk."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from medidiff.errors import InputError, OutputError
from medidiff.io import atomic_open
from medidiff.training.watch import say

CHECKPOINT, PREVIOUS = "last.ckpt", "previous.ckpt"


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all; the one before stays as previous.ckpt.

    A failure to write ends nothing here (the other processes wait for the first): it is kept in `failure`.
    """

    failure: OutputError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside the old one, to the disk itself, then take its place."""
        del storage_options
        self.failure = None
        try:
            with atomic_open(path) as file:
                _write(checkpoint, file)
                _keep(Path(path))
            _settle(Path(path).parent)
        except OutputError as error:
            self.failure = error


class Checkpoints(lightning.Callback):
    """Saves when the budget says so, after a whole optimiser step.

    Args:
        folder: The run's folder.
        budget: Tells when, for all processes alike.
    """

    def __init__(self, folder: Path, budget: Any) -> None:
        self.folder, self.budget = folder, budget
        self.saved_at: int | None = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if it is time."""
        if self.budget.save_now:
            self.budget.save_now = False
            failure = self.save(trainer)
            if failure is not None:
                say(f"warning: {failure} {self._kept()} The run goes on and tries again later.")

    def save(self, trainer: Any) -> OutputError | None:
        """Save now.

        Returns:
            What went wrong, if anything did; the checkpoint before is then untouched.
        """
        if self.saved_at == trainer.global_step:
            return None
        trainer.save_checkpoint(self.folder / CHECKPOINT, weights_only=False)
        failure = trainer.strategy.checkpoint_io.failure
        if failure is None:
            self.saved_at = trainer.global_step
        return failure

    def _kept(self) -> str:
        if not (self.folder / CHECKPOINT).is_file():
            return "There is no checkpoint yet."
        return "The checkpoint before is kept" + (f" (step {self.saved_at})." if self.saved_at else ".")


def resume_point(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint that a run goes on from, checked bit by bit; None where there is none.

    Raises:
        InputError: It is damaged; the message says what to do.
    """
    path, older = folder / CHECKPOINT, folder / PREVIOUS
    if not path.is_file():
        if not older.is_file():
            return None
        path = older  # only where the file system has no links: a break between two renames
    try:
        with zipfile.ZipFile(path) as file:
            bad = file.testzip()  # torch does not check the sums
        if bad:
            raise ValueError(f"the part {bad} has changed")
        return path, torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        what = "delete it and run the same command: the run begins at step 0, or choose another output"
        if path != older and older.is_file():
            what = f"an older one lies beside it: `mv {older} {path}`, and the same command goes on from there"
        raise InputError(f"checkpoint {path}: damaged ({str(error).splitlines()[0]}). To go on: {what}.") from error


class _Told:
    """A file that remembers the error of the system, which torch's writer turns into one of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.error = file, cast(OSError | None, None)

    def write(self, data: Any) -> int:
        if self.error is not None:
            return len(data)  # torch's writer ends itself in its own time, and must not fail once more in doing so
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            return len(data)

    def flush(self) -> None:
        if self.error is None:
            self.file.flush()


def _write(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    told = _Told(file)
    torch.save(checkpoint, cast(Any, told))
    if told.error is not None:
        raise told.error


def _keep(path: Path) -> None:
    """Let the checkpoint that is about to be replaced stay under the other name as well."""
    if not path.is_file():
        return
    older = path.with_name(PREVIOUS)
    link = older.with_name(f"{PREVIOUS}.partial")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without links
        os.replace(path, older)
        return
    os.replace(link, older)


def _settle(folder: Path) -> None:
    """The new name is on the disk too."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems have no such call; the file itself is safe
    finally:
        os.close(handle)


__all__ = ["CHECKPOINT", "PREVIOUS", "AtomicCheckpoints", "Checkpoints", "resume_point"]
