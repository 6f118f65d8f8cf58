"""What a run shows while it runs: plain progress lines and sample pictures."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from medidiff.draw import beside, grey, png_bytes, stack
from medidiff.io import atomic_open
from medidiff.training.validation import VALIDATION_PERCENT


def say(line: str) -> None:
    """A line to stderr, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class PlainProgress(lightning.Callback):
    """One line to stderr every `every` steps, for logs and batch systems.

    Args:
        every: Steps between lines.
        budget: The run's budget, for the share done.
    """

    def __init__(self, every: int, budget: Any) -> None:
        self.every, self.budget = every, budget

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Print the line."""
        step = trainer.global_step
        if step % self.every:
            return
        progress = self.budget.progress(step)
        elapsed = self.budget.elapsed_seconds
        left = elapsed * (1 - progress) / max(progress, 1e-9)
        loss = float(trainer.callback_metrics.get("train/loss", float("nan")))
        say(
            f"{time.strftime('%H:%M:%S')} step {step}  {100 * progress:.1f}% done  loss {loss:.4f}  "
            f"{elapsed / 60:.1f} min, about {left / 60:.0f} min left"
        )


class SamplePictures(lightning.Callback):
    """Noisy, denoised and target middle slices of the first val patches, as PNG and to TensorBoard.

    Args:
        folder: Where the pictures go.
        patches: How many patches are shown.
    """

    def __init__(self, folder: Path, patches: int = 6) -> None:
        self.folder, self.patches = folder, patches

    @torch.no_grad()
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Draw the averaged weights' work at the middle validation level."""
        batch = next(iter(trainer.datamodule.fixed_dataloader(trainer.datamodule.fixed_splits[0])))
        target = batch["target"][: self.patches].to(pl_module.device)
        sigma = VALIDATION_PERCENT[1] / 100 * 2
        noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).to(target)
        noisy = target + sigma * noise
        clean = pl_module.ema.module(noisy, torch.tensor(sigma).to(target), None, None).mean
        rows = [[_slice(image[i]) for image in (noisy, clean, target)] for i in range(target.shape[0])]
        picture = stack([beside(row) for row in rows])
        with atomic_open(self.folder / f"step-{trainer.global_step:07d}.png") as file:
            file.write(png_bytes(picture))
        for logger in trainer.loggers:
            if hasattr(logger.experiment, "add_image"):
                logger.experiment.add_image("val", picture, trainer.global_step, dataformats="HWC")


def _slice(volume: torch.Tensor) -> np.ndarray:
    middle = volume[0, :, :, volume.shape[-1] // 2].float().cpu().numpy()
    return grey(middle.T[::-1], -1.2, 1.2)
