"""How far a run is and when it ends: its steps, or as many as fit into its hours."""

from __future__ import annotations

import math
import time
from collections import deque
from pathlib import Path
from typing import Any

import lightning

from medidiff.training.ranks import highest, is_first
from medidiff.training.schedule import (
    CALIBRATE_SHARE,
    CALIBRATE_STEPS,
    CONFIGURED,
    LIMIT_CHANGED,
    PAUSE,
    SCHEDULE,
    Schedule,
    misses,
    plan,
)
from medidiff.training.watch import say

_WARM = 2
"""Steps at the start of a process that are not timed."""
_RESERVE = 3.0
"""Validations' worth of time that is left at the end for choosing the weights that ship, at most a twentieth."""
_FIRST_VALIDATION = 20.0
"""Steps' worth of time that the closing validation takes where none was timed before (measured: 10 to 25), at most a
tenth of the run."""


class Budget(lightning.Callback):
    """Sets the learning rate from the run's progress, and stops it on time.

    Where there is a time limit the number of steps is decided from measured speed, after a few steps and again whenever
    the plan would miss the limit; each decision is written down first (`Schedule`), so that a resumed run passes the
    same steps with the same learning rates. The first process decides, all act at the same step.

    Args:
        steps: Steps of the whole run, at most.
        hours: Training time of the whole run, over all resumes; None: no limit.
        folder: Folder of schedule.jsonl; None keeps decisions in memory.
        fresh: Whether the run begins at step 0: what was decided before counts no more.
        minutes: Minutes between checkpoints.
        batch: Patches per step, for the plan that is printed.
        validate_every: Steps between validations.

    Attributes:
        save_now: Whether a checkpoint is due at this step, for all processes alike.
        interrupted: Whether somebody asked the run to stop.
    """

    def __init__(
        self,
        steps: int,
        hours: float | None,
        folder: Path | None = None,
        *,
        fresh: bool = False,
        minutes: float = math.inf,
        batch: int = 1,
        validate_every: int = 10**9,
    ) -> None:
        self.steps, self.hours, self.minutes = steps, hours, minutes
        self.batch, self.validate_every = batch, validate_every
        self.schedule = Schedule(None if folder is None else folder / SCHEDULE, steps, hours, fresh, write=is_first())
        self.seconds = 0.0
        self.save_now = self.interrupted = False
        self._asked = False
        self._said = 0
        self._started = self._saved = time.monotonic()
        self._step = self._validating = -1.0
        self._validation = self._paused = 0.0
        self._marks: deque[tuple[int, float]] = deque()

    def begin(self, step: int = 0, state: dict[str, Any] | None = None) -> None:
        """Take up the run at `step`, with the state that its checkpoint has.

        Raises:
            InputError: schedule.jsonl is damaged.
            OutputError: It cannot be written.
        """
        state = state or {"seconds": 0.0}
        self.load_state_dict(state)
        self.schedule.begin(step, self.seconds, state.get("decisions", ()))

    @property
    def elapsed_seconds(self) -> float:
        """Training time so far, over all resumes; what a killed process did after its last checkpoint is lost."""
        return self.seconds + time.monotonic() - self._started

    def total_steps(self, step: int) -> int:
        """Steps of the whole run, as it is planned at `step`."""
        return self.schedule.current(step).steps

    def progress(self, step: int) -> float:
        """0 at the start, 1 at the end; a function of the step and the decisions before it."""
        return self.schedule.progress(step)

    def ask_to_stop(self) -> None:
        """End after the step under way; any process may be asked, at any time."""
        self._asked = True

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._started = self._saved = time.monotonic()
        self._step = trainer.global_step if trainer is not None else 0
        self._marks.clear()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Set the learning rate of this step."""
        progress = self.progress(trainer.global_step)
        rate = pl_module.set_learning_rate(trainer.global_step, progress)
        pl_module.log("train/lr", rate)
        pl_module.log("train/progress", progress, prog_bar=True)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After a whole step: plan anew where that is needed, save and stop where it is time."""
        if trainer.global_step == self._step:  # gradients are accumulated
            return
        step = self._step = trainer.global_step
        self._marks.append((step, self.elapsed_seconds - self._paused))
        wanted, why = self._wanted(step) if is_first() else (0, "")
        due = time.monotonic() - self._saved >= 60 * self.minutes
        wanted, stop, save = highest([wanted, self._asked, due and is_first()], pl_module.device)
        if wanted:
            self.schedule.decide(step, int(wanted), self.elapsed_seconds, why)
        self.interrupted, self.save_now = self.interrupted or bool(stop), bool(save)
        if save:
            self._saved = time.monotonic()
        if stop or self.progress(step) >= 1.0:
            trainer.should_stop = True
        elif self._worth_saying(step):
            self._say_plan(step)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Validations are timed on their own."""
        self._validating = time.monotonic()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Validations are timed on their own."""
        if self._validating > 0:
            self._validation = time.monotonic() - self._validating
            self._paused += self._validation

    def step_seconds(self) -> float:
        """Time of a step lately, its share of a validation included; 0 before any is timed."""
        if self._timed() < 1:
            return 0.0
        (first, began), (last, ended) = self._marks[min(_WARM, len(self._marks) - 2)], self._marks[-1]
        return (ended - began) / (last - first) + self._validation / self.validate_every

    def _timed(self) -> int:
        return len(self._marks) - 1

    def _limit(self) -> float:
        """Hours of training, less what the end needs."""
        hours = self.hours or math.inf
        if self._validation == 0 and self.validate_every < 10**9:
            return hours - min(_FIRST_VALIDATION * self.step_seconds() / 3600, 0.1 * hours)
        return hours - min(_RESERVE * self._validation / 3600, 0.05 * hours)

    def _wanted(self, step: int) -> tuple[int, str]:
        """The number of steps that should be planned from now on, and why; 0: what is planned stays."""
        last = self.schedule.last
        if self.hours is None or step <= last.step or self.progress(step) >= 1:
            return 0, ""
        seconds, limit = self.elapsed_seconds, self._limit()
        if seconds >= 3600 * limit:
            return step, "the time is up"
        window = PAUSE * 3600 * self.hours
        while len(self._marks) > CALIBRATE_STEPS and self._marks[-1][1] - self._marks[1][1] > window:
            self._marks.popleft()
        timed = self._marks[-1][1] - self._marks[0][1]
        first = last.why in (CONFIGURED, LIMIT_CHANGED)
        share = CALIBRATE_SHARE if first else PAUSE
        enough = self._timed() > _WARM and timed >= share * 3600 * self.hours
        if not enough and not (first and self._timed() >= CALIBRATE_STEPS):
            return 0, ""
        if not first and seconds - last.seconds < window:
            return 0, ""
        step_s = self.step_seconds()
        if not first and not misses(last, step, seconds, step_s, limit, self.steps):
            return 0, ""
        steps = plan(step, seconds, step_s, limit, self.steps)
        return max(steps, step), "calibrated" if first else f"{step_s:.3g} s a step"

    def _worth_saying(self, step: int) -> bool:
        """The plan is said once speed is known, and again when its steps change by more than a tenth."""
        if self.hours is not None:
            known = self.schedule.last.why not in (CONFIGURED, LIMIT_CHANGED)
        else:
            known = self._timed() >= min(CALIBRATE_STEPS, self.steps // 4 + 1)
        return known and abs(self.total_steps(step) - self._said) > 0.1 * self._said

    def _say_plan(self, step: int) -> None:
        self._said = self.total_steps(step)
        steps, left = self.total_steps(step), (self.total_steps(step) - step) * self.step_seconds()
        end = time.strftime("%a %H:%M", time.localtime(time.time() + left))
        limit = f" of {self.hours:g} h" if self.hours else ""
        total = (self.elapsed_seconds + left) / 3600
        say(
            f"plan: {steps} steps, {steps * self.batch} patches, {total:.2g} h{limit}, "
            f"ends {end} ({self.step_seconds():.3g} s a step)"
        )

    def state_dict(self) -> dict[str, Any]:
        """Elapsed time and decisions, for the checkpoint."""
        return {"seconds": self.elapsed_seconds, "decisions": self.schedule.to_list()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the clock; time that a decision after the checkpoint knows of counts too."""
        decided = self.schedule.last.seconds if self.schedule.decisions else 0.0
        self.seconds = max(state_dict["seconds"], decided)
