"""Ctrl-C and SIGTERM end a run after the step it is in, so that nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signal(trainer: Any) -> Iterator[Callable[[], bool]]:
    """While inside, SIGINT and SIGTERM ask `trainer` to stop after its current step.

    Outside the main thread signals cannot be caught; there nothing is done.

    Args:
        trainer: A Lightning trainer.

    Yields:
        A function that tells whether a signal came.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def handle(number: int, frame: FrameType | None) -> None:
        came.set()
        trainer.should_stop = True

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    callback = _Again(handle)
    trainer.callbacks.append(callback)
    try:
        yield came.is_set
    finally:
        trainer.callbacks.remove(callback)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Again(lightning.Callback):
    """Lightning puts its own handler of SIGTERM first, which ends a run within its step and saves nothing."""

    def __init__(self, handle: Callable[[int, FrameType | None], None]) -> None:
        self.handle = handle

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take both signals back."""
        for number in _SIGNALS:
            signal.signal(number, self.handle)
