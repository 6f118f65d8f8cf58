"""How many steps a run has, as data: what was decided by the clock is written down before it takes effect.

The learning rate follows the progress, and the progress follows the number of steps. Where a run has a time limit that
number comes from measured speed, so it is decided while the run goes on. Every decision is a line of schedule.jsonl; a
run that was killed and goes on from an earlier checkpoint passes the same steps under the same decisions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from medidiff.errors import InputError, OutputError

SCHEDULE = "schedule.jsonl"
CONFIGURED, LIMIT_CHANGED = "configured", "the time limit changed"
"""Decisions that no measured speed went into."""
CALIBRATE_STEPS = 20
"""Steps whose time makes the first plan; fewer where they take more than `CALIBRATE_SHARE` of the time."""
CALIBRATE_SHARE = 0.02
MISS = 0.015
"""A plan that would miss the time limit by more than this share of it is made anew."""
PAUSE = 0.02
"""Least share of the time limit between two plans, and the time over which speed is measured."""


@dataclass(frozen=True)
class Decision:
    """From `step` on the run has `steps` steps; the progress goes on from `progress`.

    Attributes:
        step: First step that it holds for.
        steps: Steps of the whole run.
        progress: Share done at `step`.
        seconds: Training time so far when it was taken.
        why: In words.
        hours: The time limit it was taken under.
    """

    step: int
    steps: int
    progress: float
    seconds: float
    why: str
    hours: float | None = None

    def at(self, step: int) -> float:
        """Progress at a step under this decision: linear from `progress` to 1."""
        if step >= self.steps:
            return 1.0
        return self.progress + (1 - self.progress) * (step - self.step) / (self.steps - self.step)


class Schedule:
    """The decisions of a run, in the order of their steps.

    Args:
        path: schedule.jsonl; None keeps them in memory.
        steps: Configured steps, at most.
        hours: Time limit.
        fresh: Whether the run begins at step 0: an older file is deleted.
        write: Whether this process writes the file; the others only read it.
    """

    def __init__(
        self, path: Path | None, steps: int, hours: float | None = None, fresh: bool = False, write: bool = True
    ) -> None:
        self.path, self.steps, self.hours, self.write = path, steps, hours, write
        if fresh and write and path is not None:
            path.unlink(missing_ok=True)
        self.decisions = [] if path is None or fresh else _read(path)

    def begin(self, step: int, seconds: float, known: Iterable[dict] = ()) -> None:
        """Take the first decision of a run, or the one that a changed time limit asks for.

        Args:
            step: Where the run goes on.
            seconds: Training time so far.
            known: Decisions that a checkpoint knows, in case the file was lost or cut.
        """
        have = {d.step for d in self.decisions}
        for entry in known:
            if entry["step"] not in have:
                self.append(Decision(**entry))
        self.decisions.sort(key=lambda d: d.step)
        if not self.decisions:
            self.append(Decision(0, self.steps, 0.0, 0.0, CONFIGURED, self.hours))
        if self.hours != self.last.hours:
            # what was decided for later steps, the end perhaps, was decided under the old limit
            self.decisions = [d for d in self.decisions if d.step <= step]
            by_time = seconds / (3600 * self.hours) if self.hours else 0.0
            progress = min(1.0, max(step / self.steps, by_time))
            self.append(Decision(step, self.steps, progress, seconds, LIMIT_CHANGED, self.hours))

    def current(self, step: int) -> Decision:
        """The decision that a step is under."""
        return [d for d in self.decisions if d.step <= step][-1]

    def progress(self, step: int) -> float:
        """0 at the start, 1 at the end."""
        return self.current(step).at(step)

    @property
    def last(self) -> Decision:
        """The newest decision; it may lie before a resumed run's step or after it."""
        return self.decisions[-1]

    def decide(self, step: int, steps: int, seconds: float, why: str) -> Decision:
        """Take a decision for the steps from `step` on; it is on the disk before this returns.

        Raises:
            OutputError: It cannot be written; it is not taken then.
        """
        decision = Decision(step, max(steps, step), self.progress(step), seconds, why, self.hours)
        self.append(decision)
        return decision

    def append(self, decision: Decision) -> None:
        """Write a decision and let it hold."""
        if self.path is not None and self.write:
            _append(self.path, json.dumps(asdict(decision)))
        self.decisions.append(decision)

    def to_list(self) -> list[dict]:
        """The decisions as plain types, for a checkpoint."""
        return [asdict(decision) for decision in self.decisions]


def plan(step: int, seconds: float, step_seconds: float, hours: float, most: int) -> int:
    """Steps of the whole run that fit into the time limit.

    Args:
        step: Steps done.
        seconds: Training time so far.
        step_seconds: Time of a step, validations and checkpoints included.
        hours: Time limit.
        most: Configured steps, never more.
    """
    left = max(0.0, 3600 * hours - seconds)
    return min(most, step + max(0, round(left / max(step_seconds, 1e-9))))


def misses(decision: Decision, step: int, seconds: float, step_seconds: float, hours: float, most: int) -> bool:
    """Whether the run would end too late, or earlier than it must, by more than `MISS`."""
    end = seconds + (decision.steps - step) * step_seconds
    late = end / (3600 * hours) - 1
    return late > MISS or (late < -MISS and decision.steps < most)


def _read(path: Path) -> list[Decision]:
    if not path.is_file():
        return []
    decisions: list[Decision] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline was never in effect
        try:
            decision = Decision(**json.loads(line))
            if decision.why == LIMIT_CHANGED:
                decisions = [d for d in decisions if d.step <= decision.step]
            decisions.append(decision)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} is damaged ({error}). Delete that line; the checkpoint knows what was decided."
            ) from error
    if lines[-1]:
        with open(path, "r+b") as file:
            file.truncate(sum(len(line) + 1 for line in lines[:-1]))
    return decisions


def _append(path: Path, line: str) -> None:
    try:
        with open(path, "ab") as file:
            start = file.tell()
            try:
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)
                raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}). Free some space.") from error


__all__ = ["CONFIGURED", "LIMIT_CHANGED", "SCHEDULE", "Decision", "Schedule", "misses", "plan"]
