"""status.json: how a run stands, written while it runs, for people and for `medidiff runs`."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch

from medidiff.errors import Interrupted, MedidiffError, OutputError
from medidiff.io import atomic_write_text
from medidiff.training.ranks import is_first
from medidiff.training.watch import say
from medidiff.training.watch_files import STATUS

_WINDOW = 50
_KEPT = ("step", "progress", "loss", "lr", "patches_per_s", "step_s", "peak_rss_gib", "elapsed_s", "skipped", "started",
         "val", "train", "prior")  # fmt: skip


class RunStatus:
    """The status file of one run; only the first of several processes writes it. A resumed run goes on from the last.

    Args:
        folder: The run's output folder.
        name: The run's name.
        steps: Steps of the whole run.
    """

    def __init__(self, folder: Path, name: str, steps: int) -> None:
        self.path = folder / STATUS
        self.quiet = False
        now = time.time()
        self.fields: dict[str, Any] = {
            "name": name, "state": "running", "reason": None, "pid": os.getpid(), "host": socket.gethostname(),
            "step": 0, "steps": steps, "progress": 0.0, "loss": None, "lr": None, "patches_per_s": None, "step_s": None,
            "peak_rss_gib": None, "peak_cuda_gib": None, "elapsed_s": 0.0, "left_s": None, "skipped": 0,
            "started": now, "updated": now, "val": {}, "train": {}, "prior": None, "world_size": 1,
            "command": " ".join(sys.argv),
        }  # fmt: skip
        self.fields |= {name: value for name, value in self._before().items() if name in _KEPT}

    def _before(self) -> dict[str, Any]:
        try:
            before = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return before if isinstance(before, dict) else {}

    def write(self, **changes: Any) -> None:
        """Change some fields and write all; a file that cannot be written is said once and ends nothing."""
        self.fields |= {**changes, "updated": time.time()}
        if not is_first():
            return
        try:
            atomic_write_text(self.path, json.dumps(_finite(self.fields), indent=1) + "\n")
        except OutputError as error:
            if not self.quiet:
                say(f"warning: {error} The run goes on; its status is not shown.")
            self.quiet = True

    @contextmanager
    def told(self) -> Iterator[RunStatus]:
        """While inside the run is `running`; how it ends is written: finished, stopped, or failed with the reason."""
        self.write()
        try:
            yield self
        except (Interrupted, KeyboardInterrupt) as error:
            self.write(state="stopped", reason=str(error) or "interrupted", left_s=None)
            raise
        except BaseException as error:
            reason = str(error) if isinstance(error, MedidiffError) else f"{type(error).__name__}: {error}"
            self.write(state="failed", reason=reason[:2000], left_s=None)
            raise
        self.write(state="finished", reason=None, left_s=0.0)


class Watch(lightning.Callback):
    """Measures throughput, memory and time left, gives them to the loggers, and keeps the status file.

    Step time is the median of the last 50 steps, without validations and checkpoints between them.

    Args:
        status: The file.
        every: Steps between writings.
        batch: Patches per step, over all processes.
        budget: The run's budget, for progress, elapsed time and the steps planned.
    """

    def __init__(self, status: RunStatus, every: int, batch: int, budget: Any) -> None:
        self.status, self.every, self.batch, self.budget = status, every, batch, budget
        self._times: deque[float] = deque(maxlen=_WINDOW)
        self._losses: list[torch.Tensor] = []
        self._began = time.perf_counter()
        self._step = -1

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The run is under way, perhaps resumed."""
        self._step, self._began = trainer.global_step, time.perf_counter()
        self.status.write(state="running", step=trainer.global_step, world_size=trainer.world_size)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """The next interval is no step time."""
        self._began = math.nan

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """The next interval is no step time."""
        self._began = math.nan

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the time; write every `every` steps."""
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None:
            self._losses.append(loss.detach())
        if trainer.global_step == self._step:  # gradients are accumulated
            return
        self._step, now = trainer.global_step, time.perf_counter()
        if math.isfinite(self._began):
            self._times.append(now - self._began)
        self._began = now
        for name, value in self._speed().items():
            pl_module.log(f"watch/{name}", value)
        if self._step % self.every == 0:
            self._write(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """What the validation found."""
        self._write(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last step."""
        self._write(trainer)

    def _speed(self) -> dict[str, float]:
        if not self._times:
            return {}
        step_s = sorted(self._times)[len(self._times) // 2]
        found = {"step_s": step_s, "patches_per_s": self.batch / step_s, "peak_rss_gib": peak_rss_gib()}
        if torch.cuda.is_available():
            found["peak_cuda_gib"] = torch.cuda.max_memory_allocated() / 2**30
        return found

    def _write(self, trainer: Any) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        parts = {
            part: {
                name.removeprefix(f"{part}/"): value for name, value in metrics.items() if name.startswith(f"{part}/")
            }
            for part in ("val", "train")
        }
        progress = self.budget.progress(trainer.global_step)
        elapsed = self.budget.elapsed_seconds
        loss = float(torch.stack(self._losses).mean()) if self._losses else self.status.fields["loss"]
        self._losses.clear()
        self.status.write(
            step=trainer.global_step,
            steps=self.budget.total_steps(trainer.global_step),
            progress=progress,
            loss=loss,
            lr=metrics.get("train/lr"),
            elapsed_s=elapsed,
            left_s=elapsed * (1 - progress) / progress if progress > 0 else None,
            skipped=int(metrics.get("train/skipped", 0)),
            **self._speed(),
            **parts,
        )


def peak_rss_gib() -> float:
    """Largest memory of this process so far, GiB, its loader processes not counted."""
    try:  # Linux; `ru_maxrss` would begin at the memory of the process that started this one
        text = Path("/proc/self/status").read_text(encoding="ascii")
        return int(text.split("VmHWM:")[1].split()[0]) / 2**20
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(getattr(psutil.Process().memory_info(), "peak_wset", 0)) / 2**30
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**30 if sys.platform == "darwin" else used / 2**20


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


__all__ = ["RunStatus", "Watch", "peak_rss_gib"]
