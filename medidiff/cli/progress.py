"""Progress on stderr: a bar on a terminal (for one file, the time that passes), a line a file elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from medidiff.cli.outcome import say


class Progress:
    """Counts through a list of files. A context manager.

    Args:
        total: Number of files.
        title: What is being done.
        count: Count the files and say how each ended; a single file needs neither.
    """

    def __init__(self, total: int, title: str, count: bool = True) -> None:
        self._total, self._title, self._count = total, title, count
        self._number = 0
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            name = progress.TextColumn("{task.description}", markup=False)
            counting = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
            columns = counting if self._count else (progress.SpinnerColumn(), progress.TimeElapsedColumn())
            self._bar = progress.Progress(name, *columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._row = self._bar.add_task(self._title, total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, name: str) -> None:
        """The next file begins."""
        self._number += 1
        if self._bar is not None:
            self._bar.update(self._row, description=f"{self._title} {name}")

    def finish(self, line: str) -> None:
        """The file is done; `line` says how."""
        if self._bar is not None:
            self._bar.advance(self._row)
        if self._count:
            say(f"[{self._number}/{self._total}] {line}")


def announce(text: str) -> None:
    """What begins now and can take minutes: a line where no bar shows that something is going on."""
    if not sys.stderr.isatty():
        say(text)


@contextmanager
def counted(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar for work that counts (done, total) by itself: on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    with progress.Progress(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)
