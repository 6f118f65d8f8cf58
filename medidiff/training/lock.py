"""One run at a time in a folder: two would write over each other's checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medidiff.errors import OutputError, UsageError

LOCK = "run.lock"


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold a run's folder; a killed process lets go of it. Where the file system has no locks nothing is held.

    Raises:
        UsageError: Another process trains there.
        OutputError: The folder cannot be written.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        file = open(folder / LOCK, "ab")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}). Choose another output.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"output {folder}: another `medidiff train` works there (`medidiff runs` shows it). Wait for it, or "
                "choose another output."
            ) from error
        except OSError:
            pass
        yield


__all__ = ["only_run"]
