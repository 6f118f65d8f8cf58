"""The group of verbs: what the parser itself refuses is told like every other error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from medidiff.cli.outcome import NO_FILES, Failure, tell
from medidiff.errors import UsageError

# The parser's class of errors, under the only name that every version of typer gives it.
_ParserError: type[Exception] = typer.BadParameter.__bases__[0]
_MAKING_FILES = ("denoise", "inpaint", "insert", "convert")


class Verbs(TyperGroup):
    """Like its parent, but an unknown option or a missing argument is one line on stderr, and JSON where asked for."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse and run; ends the process unless `standalone_mode` is False."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except _ParserError as error:
            code = _refuse(error, as_json="--json" in given)
        except typer.Abort:
            code = 1
        if standalone_mode:
            sys.exit(code or 0)
        return code


def _refuse(error: Any, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return UsageError.exit_code
    text = " ".join(error.format_message().split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else "medidiff"
    known = getattr(error.ctx.command, "commands", {}) if error.ctx and text.startswith("No such command") else {}
    text += f": must be {', '.join(known)}" if known else ""
    failure = Failure(f"{text}. See `{command} --help`.", UsageError.exit_code)
    tell(failure, as_json, NO_FILES if command.partition(" ")[2] in _MAKING_FILES else None)
    return failure.exit_code
