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
def stop_on_signal(trainer: Any, ask: Callable[[], None]) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM ask the run to stop after its current step.

    Outside the main thread signals cannot be caught; there nothing is done.

    Args:
        trainer: A Lightning trainer.
        ask: Called when a signal comes, see `Budget.ask_to_stop`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        ask()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    callback = _Again(handle)
    trainer.callbacks.append(callback)
    try:
        yield
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
