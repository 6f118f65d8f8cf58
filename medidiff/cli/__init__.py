"""The command line: one file a verb, thin; the only place where errors become text."""

from medidiff.cli.app import app, main

__all__ = ["app", "main"]
