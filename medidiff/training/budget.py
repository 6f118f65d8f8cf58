"""How far a run is: steps or hours, whichever ends first; survives resume."""

from __future__ import annotations

import time
from typing import Any

import lightning


class Budget(lightning.Callback):
    """Sets the learning rate from the run's progress and stops it on time.

    Args:
        steps: Steps of the whole run.
        hours: Training time of the whole run, over all resumes; None: no limit.
    """

    def __init__(self, steps: int, hours: float | None) -> None:
        self.steps, self.hours = steps, hours
        self.seconds = 0.0
        self._started = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Training time so far, over all resumes."""
        return self.seconds + time.monotonic() - self._started

    def progress(self, step: int) -> float:
        """0 at the start, 1 at the end."""
        by_time = self.elapsed_seconds / (3600 * self.hours) if self.hours else 0.0
        return min(1.0, max(step / self.steps, by_time))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Set the learning rate of this step."""
        progress = self.progress(trainer.global_step)
        rate = pl_module.set_learning_rate(trainer.global_step, progress)
        pl_module.log("train/lr", rate)
        pl_module.log("train/progress", progress, prog_bar=True)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop at the end of the budget."""
        if self.progress(trainer.global_step) >= 1.0:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, float]:
        """Elapsed time, for the checkpoint."""
        return {"seconds": self.elapsed_seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Continue the clock."""
        self.seconds = state_dict["seconds"]
