"""What of a preparation is finished: one JSON line a scan, appended; a killed run goes on from it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from medidiff.cohort.store_files import LocalFiles, open_files
from medidiff.errors import OutputError, UsageError
from medidiff.io.identity.home import private_folder
from medidiff.io.locks import take_lock

JOURNAL = "prepare.jsonl"


def journal_path(url: str | Path) -> Path:
    """Where the journal of a store lies: in the store where that is a folder, else in the user's own folder, since
    nothing can be appended to an object.

    Args:
        url: The store.
    """
    files = open_files(url)
    if isinstance(files, LocalFiles):
        return files.root / JOURNAL
    return private_folder() / "prepare" / f"{hashlib.sha256(str(url).rstrip('/').encode()).hexdigest()[:16]}.jsonl"


class Journal:
    """The lines of one store. A context manager; one process at a time has it.

    A line is written after its scan lies in the store, so a scan that the journal names is whole. Half a last line,
    which a killed run may leave, is cut off.

    Args:
        path: The file; made where it is missing.
        identity: What the lines belong to (the recipe's hash); a journal of something else starts anew.
        busy: What is said where another process has it; None: that it prepares this store.

    Raises:
        UsageError: Another process has it.
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, identity: str, busy: str | None = None) -> None:
        self.path, self.identity = path, identity
        self._busy = busy or f"-o: another `medidiff prepare` works on this store ({path}). Wait for it."
        self.finished: dict[str, dict[str, Any]] = {}
        """What is known of each finished scan, by its key."""
        self.notes: dict[str, Any] = {}
        """What else was noted, such as the coin's seed."""
        self._file: FileIO | None = None

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b", buffering=0)
            if not take_lock(self._file):
                self._file.close()
                raise UsageError(self._busy)
            self._load(self._file)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, key: str, values: dict[str, Any]) -> None:
        """Note a scan that lies in the store.

        Raises:
            OutputError: The disk is full.
        """
        self._write({"key": key, **values})
        self.finished[key] = values

    def note(self, name: str, value: Any) -> None:
        """Note something that a run which goes on must know.

        Raises:
            OutputError: The disk is full.
        """
        self._write({"note": name, "value": value})
        self.notes[name] = value

    def sync(self) -> None:
        """Make sure that a power failure leaves the lines so far.

        Raises:
            OutputError: The disk is full.
        """
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise _cannot_write(self.path, error) from error

    def _load(self, file: FileIO) -> None:
        file.seek(0)
        whole = 0
        for number, line in enumerate(io.BytesIO(file.readall())):
            try:
                values = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                values = None
            if not isinstance(values, dict) or (number == 0 and values.get("identity") != self.identity):
                break
            whole += len(line)
            if "key" in values:
                self.finished[values.pop("key")] = values
            if "note" in values:
                self.notes[values["note"]] = values["value"]
        file.truncate(whole)
        file.seek(0, os.SEEK_END)
        if whole == 0:
            self._write({"identity": self.identity})

    def _write(self, values: dict[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the journal is not open")
        try:
            line = json.dumps(values).encode() + b"\n"
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _cannot_write(self.path, error) from error


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written ({error.strerror or error}). Free space, or choose another place.")
