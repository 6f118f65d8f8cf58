"""Progress on stderr: a bar on a terminal, a line a file elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from medidiff.cli.outcome import say


class Progress:
    """Counts through a list of files. A context manager.

    Args:
        total: Number of files.
        title: What is being done.
        quiet: Say nothing (a single file needs no count).
    """

    def __init__(self, total: int, title: str, quiet: bool = False) -> None:
        self._total, self._title, self._quiet = total, title, quiet
        self._number = 0
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
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
            self._bar.print(line, markup=False, highlight=False)
            self._bar.advance(self._row)
        elif not self._quiet:
            say(f"[{self._number}/{self._total}] {line}")
