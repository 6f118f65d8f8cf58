"""What a run does when a loss is not a number or a gradient is far too large.

Both are judged on the gradient of the whole step, which every process has alike, from figures that are in the
checkpoint: a resumed run judges as the run without the break.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from medidiff.errors import TrainingError
from medidiff.training.config import GuardConfig

_HISTORY = 101
"""Gradient norms whose median is what is usual."""
_LEAST = 25
"""Norms that must be known before any is called a spike."""


class Guard:
    """Judges each step's gradient: take it, leave its update out, or end the run.

    Args:
        how: Limits.

    Attributes:
        skipped: Updates left out in the whole run.
        in_a_row: Of these, how many came one after the other until now.
    """

    def __init__(self, how: GuardConfig) -> None:
        self.how = how
        self.norms: list[float] = []
        self.skipped = self.in_a_row = 0

    def skip(self, norm: float, where: str) -> str | None:
        """Whether this step's update is to be left out, and why; None: take it.

        Args:
            norm: Gradient norm of the whole step before clipping.
            where: The step and its patches, for the message.

        Raises:
            TrainingError: The norm is not finite (unless the settings say skip), or too many updates in a row were
                left out. The last checkpoint is kept.
        """
        reason = self._reason(norm)
        if reason is None:
            self.norms = [*self.norms, norm][-_HISTORY:]
            self.in_a_row = 0
            return None
        if not math.isfinite(norm) and self.how.non_finite == "stop":
            raise TrainingError(
                f"training: the loss or its gradient is not finite at {where}. Nothing of this step was used, and the "
                "last checkpoint is kept. Look at these scans; to go on without such steps, run the same command with "
                "--set guard.non_finite=skip."
            )
        self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        if self.in_a_row > self.how.patience:
            raise TrainingError(
                f"training: {self.in_a_row} updates in a row were left out, the last at {where}: {reason}. The last "
                "checkpoint is kept. The run diverges: start again in another output with a lower optimiser.lr, or "
                "raise guard.spike or guard.patience if gradients of this size are meant."
            )
        return reason

    def _reason(self, norm: float) -> str | None:
        if not math.isfinite(norm):
            return "its loss or gradient is not finite"
        if len(self.norms) < _LEAST:
            return None
        usual = statistics.median(self.norms)
        if norm <= self.how.spike * usual:
            return None
        return f"its gradient norm {norm:.3g} is more than {self.how.spike:g} times the usual {usual:.3g}"

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"norms": self.norms, "skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.norms = [float(norm) for norm in state["norms"]]
        self.skipped, self.in_a_row = int(state["skipped"]), int(state["in_a_row"])


__all__ = ["Guard"]
