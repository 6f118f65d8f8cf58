"""What the person and the shell get to see: one line of text, one JSON object, one exit code."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, ParamSpec

import typer

from medidiff.errors import MedidiffError, MemoryLimitError

P = ParamSpec("P")
_OUT_OF_MEMORY_TEXTS = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc")
_INTERRUPTED = 130
_tracebacks = False

NO_FILES: dict[str, Any] = {"done": 0, "checked": 0, "skipped": 0, "failed": 0, "files": []}
"""What the JSON object of a run says when it ended before the first scan."""


@dataclass(frozen=True)
class Failure:
    """An error as the shell sees it."""

    message: str
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        status = "interrupted" if self.exit_code == _INTERRUPTED else "failed"
        return {"status": status, "exit_code": self.exit_code, "error": self.message}


def show_tracebacks(wanted: bool) -> None:
    """Whether unexpected errors print their traceback."""
    global _tracebacks
    _tracebacks = wanted


def failure_of(error: BaseException) -> Failure:
    """Text and exit code of any error."""
    if isinstance(error, MedidiffError):
        return Failure(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted. Nothing half-written remains.", _INTERRUPTED)
    if is_out_of_memory(error):
        advice = "Give --max-gb a smaller number, crop the scan, or choose another --device."
        return Failure(f"out of memory. {advice}", MemoryLimitError.exit_code)
    if _tracebacks:
        traceback.print_exception(error, file=sys.stderr)
    text = f"unexpected {type(error).__name__}: {error}".strip().splitlines()[0]
    hint = "" if _tracebacks else " `medidiff --debug ...` shows where."
    return Failure(f"{text}. This is a bug in medidiff, please report it.{hint}", 1)


def is_out_of_memory(error: BaseException) -> bool:
    """MemoryError, PyTorch's own class, or one of the texts that allocators put into a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    names = {cls.__name__ for cls in type(error).__mro__}
    text = str(error).lower()
    return "OutOfMemoryError" in names or (
        isinstance(error, RuntimeError) and any(known in text for known in _OUT_OF_MEMORY_TEXTS)
    )


def say(text: str) -> None:
    """A line for the person at the keyboard, on stderr."""
    sys.stderr.write(f"{text}\n")  # not typer.echo, whose stream bypasses the progress bar and breaks its line
    sys.stderr.flush()


def warn(text: str) -> None:
    """A warning, on stderr."""
    say(f"warning: {text}")


def emit_json(values: Mapping[str, Any]) -> None:
    """The one JSON object of a run, on stdout."""
    from medidiff.result import json_safe  # here, since it brings numpy, which --help does not need

    typer.echo(json.dumps(json_safe(values), indent=2, allow_nan=False))


def tell(failure: Failure, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """One line on stderr and, if it was asked for, the JSON object with what else there is to say."""
    say(f"error: {failure.message}")
    if as_json:
        emit_json({**failure.to_dict(), **{k: v for k, v in (more or {}).items() if k not in failure.to_dict()}})


def stop(failure: Failure, as_json: bool, more: Mapping[str, Any] | None = None) -> NoReturn:
    """Tell, and end with the exit code."""
    tell(failure, as_json, more)
    raise typer.Exit(failure.exit_code)


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Turn whatever a verb raises into text and an exit code. The verb's `as_json` argument is honoured."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except typer.Exit:
            raise
        except BrokenPipeError:  # the reader of a pipe has gone, `medidiff priors | head -1`: no error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  the boundary: here errors become text
            # The JSON object of a verb that writes scans has the keys of a run, however early it ended.
            makes_files = {"output", "overwrite"} <= kwargs.keys()
            stop(failure_of(error), bool(kwargs.get("as_json")), NO_FILES if makes_files else None)

    return guarded
