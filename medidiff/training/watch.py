"""What a run says while it runs: one line every few steps."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning

from medidiff.training.ranks import is_first


def say(line: str) -> None:
    """A line to stderr, at once; of several processes the first speaks."""
    if not is_first():
        return
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
        self._step = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Print the line."""
        step = trainer.global_step
        if step == self._step or step % self.every:  # the same step: gradients are accumulated
            return
        self._step = step
        progress = self.budget.progress(step)
        elapsed = self.budget.elapsed_seconds
        left = elapsed * (1 - progress) / max(progress, 1e-9)
        loss = float(trainer.callback_metrics.get("train/loss", float("nan")))
        say(
            f"{time.strftime('%H:%M:%S')} step {step}  {100 * progress:.1f}% done  loss {loss:.4f}  "
            f"{elapsed / 60:.1f} min, about {left / 60:.0f} min left"
        )


__all__ = ["PlainProgress", "say"]
