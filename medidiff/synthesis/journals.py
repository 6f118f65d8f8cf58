"""Who works on a set, and what of it is finished: a journal a shard, and locks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medidiff.errors import OutputError
from medidiff.io.locks import take_lock
from medidiff.synthesis.layout import RUNS

LOCK = ".synthesis.lock"
_SHARED = ("status", "group", "prior_name", "prior_version", "prior_hash", "settings_hash")  # texts of every row


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for a file's lock and hold it.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        file = open(path, "a+b")
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be written ({error.strerror}). Choose another folder.") from error
    with file:
        take_lock(file, wait=True)
        yield


def merge_lock(root: Path) -> Path:
    """The lock that whoever puts a finished set together holds."""
    return root / LOCK


def journal_file(root: Path, shard: tuple[int, int]) -> Path:
    """Where the journal of shard i of k lies."""
    return root / RUNS / f"shard-{shard[0]:04d}-of-{shard[1]:04d}.jsonl"


def journals(root: Path) -> list[Path]:
    """Every job's journal."""
    return sorted((root / RUNS).glob("shard-*-of-*.jsonl"))


def read_journal(path: Path, identity: str) -> Iterator[dict[str, Any]]:
    """Whole lines of a journal that belong to these settings; half a last line is left out."""
    try:
        file = open(path, "rb")
    except OSError:
        return
    with file:
        for number, line in enumerate(file):
            try:
                values = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                return
            if not isinstance(values, dict) or (number == 0 and values.get("identity") != identity):
                return
            if "key" in values:
                del values["key"]
                yield values | {name: sys.intern(values[name]) for name in _SHARED if name in values}


def is_held(path: Path) -> bool:
    """Whether a living process has this journal."""
    try:
        with open(path, "rb") as file:
            return not take_lock(file)
    except OSError:
        return False


def process_tag(shard: tuple[int, int], worker: int | None = None) -> str:
    """The name of a job, or of one of its workers, in the names of staging folders."""
    return f"{shard[0]:04d}-of-{shard[1]:04d}" + ("" if worker is None else f"-{worker}-{os.getpid()}")


__all__ = ["LOCK", "is_held", "journal_file", "journals", "locked", "merge_lock", "process_tag", "read_journal"]
