"""The folder of a set: what it is, who works on it, what of it is finished."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medidiff.errors import InputError, OutputError, UsageError
from medidiff.io import atomic_write_text
from medidiff.synthesis.layout import CARD, CROISSANT, LABELS, MANIFEST, RUNS, SETTINGS
from medidiff.synthesis.request import settings_hash
from medidiff.synthesis.write import sync_folder

_LOCK = ".synthesis.lock"
_PARTIAL = ".partial-"
_TOP = (
    MANIFEST, LABELS, CARD, CROISSANT, "dataset_description.json", ".bidsignore", "participants.tsv", "dataset.json",
)  # fmt: skip

if sys.platform == "win32":

    def _lock(file: Any, wait: bool) -> bool:
        return True

else:
    import fcntl

    def _lock(file: Any, wait: bool) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


class Dataset:
    """The folder of one set.

    Args:
        root: The folder.
        settings: What the set is (`SetRequest.settings`).
    """

    def __init__(self, root: Path, settings: Mapping[str, Any]) -> None:
        self.root, self.settings = root, json.loads(json.dumps(settings))  # as it is read back
        self.hash = settings_hash(self.settings)

    def begin(self, difference: Callable[[Mapping[str, Any], Mapping[str, Any]], str], overwrite: bool) -> None:
        """Make the folder this set's, unless it is already.

        Args:
            difference: What two settings differ in, in words.
            overwrite: A set with other settings is removed first. One with these settings is gone on with.

        Raises:
            UsageError: The folder holds another set, or files that are no set's.
            OutputError: It cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"-o {self.root}: cannot be made ({error.strerror}). Choose another folder.") from error
        with locked(self.root / _LOCK):
            there = read_settings(self.root)
            if there is not None and there != self.settings:
                told = difference(there, self.settings)
                if not overwrite:
                    raise UsageError(
                        f"-o {self.root}: holds a set with other settings: {told}. Choose another folder, or replace "
                        "the set with --overwrite."
                    )
                remove_set(self.root)
                there = None
            if there is None:
                strangers = [path.name for path in sorted(self.root.iterdir()) if not path.name.startswith(".")]
                if strangers:
                    raise UsageError(
                        f"-o {self.root}: holds files that are no set of medidiff synth, such as {strangers[0]}. "
                        "Choose an empty folder."
                    )
                atomic_write_text(self.root / SETTINGS, json.dumps(self.settings, indent=2) + "\n")
                (self.root / RUNS).mkdir(exist_ok=True)
                sync_folder(self.root)

    def staging(self, tag: str) -> Path:
        """An empty folder for files that are being written.

        Args:
            tag: Who writes them.
        """
        folder = self.root / f"{_PARTIAL}{tag}"
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def check_alone(self, shards: int) -> None:
        """Refuse to work beside jobs that cut the set another way: two of them would write the same files.

        Raises:
            UsageError: There is such a job.
        """
        for path in journals(self.root):
            if not path.name.endswith(f"of-{shards:04d}.jsonl") and _is_held(path):
                raise UsageError(
                    f"--shard: another job works on this folder with another number of shards ({path.stem}). "
                    "Wait for it."
                )

    def rows(self) -> dict[int, dict[str, Any]]:
        """What all jobs so far finished, by the sample's number; of two that differ the one whose files are there."""
        found: dict[int, dict[str, Any]] = {}
        for path in journals(self.root):
            for row in read_journal(path, self.hash):
                index = row["index"]
                before = found.get(index)
                if before is None or before == row or not self._is_there(before):
                    found[index] = row
        return found

    def _is_there(self, row: Mapping[str, Any]) -> bool:
        from medidiff.synthesis.write import is_whole

        return is_whole(row, self.root)

    def clean(self) -> None:
        """Remove what killed jobs left half-written; only where no job is at work."""
        if any(_is_held(path) for path in journals(self.root)):
            return
        for path in self.root.glob(f"{_PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)


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
        _lock(file, wait=True)
        yield


def merge_lock(root: Path) -> Path:
    """The lock that whoever puts a finished set together holds."""
    return root / _LOCK


def journal_file(root: Path, shard: tuple[int, int]) -> Path:
    """Where the journal of shard i of k lies."""
    return root / RUNS / f"shard-{shard[0]:04d}-of-{shard[1]:04d}.jsonl"


def journals(root: Path) -> list[Path]:
    """Every job's journal."""
    return sorted((root / RUNS).glob("shard-*-of-*.jsonl"))


def read_journal(path: Path, identity: str) -> Iterator[dict[str, Any]]:
    """Whole lines of a journal that belong to these settings; half a last line is left out."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return
    for number, line in enumerate(lines):
        try:
            values = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            return
        if not isinstance(values, dict) or (number == 0 and values.get("identity") != identity):
            return
        if "key" in values:
            del values["key"]
            yield values


def read_settings(root: Path) -> dict[str, Any] | None:
    """The settings of the set in a folder; None where there is none.

    Raises:
        InputError: The file is damaged.
    """
    try:
        text = (root / SETTINGS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{root / SETTINGS}: cannot be read ({error.strerror}).") from error
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise InputError(f"{root / SETTINGS}: damaged ({error}). Make the set again in an empty folder.") from error
    return settings


def remove_set(root: Path) -> None:
    """Remove a set's own files, and nothing else.

    Raises:
        UsageError: A job works on it.
        OutputError: A file cannot be removed.
    """
    if any(_is_held(path) for path in journals(root)):
        raise UsageError(f"-o {root}: a job works on the set that is there. Wait for it, or stop it.")
    folders: set[Path] = set()
    try:
        for journal in journals(root):
            for line in journal.read_bytes().splitlines():
                folders |= _remove_files(root, line)
        for name in _TOP:
            (root / name).unlink(missing_ok=True)
        for path in root.glob(f"{_PARTIAL}*"):
            shutil.rmtree(path)
        for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
            _prune(folder, root)
        shutil.rmtree(root / RUNS, ignore_errors=True)
        (root / SETTINGS).unlink()
    except OSError as error:
        raise OutputError(f"{root}: cannot be emptied ({error.strerror}). Choose another folder.") from error


def _remove_files(root: Path, line: bytes) -> set[Path]:
    try:
        row = json.loads(line)
    except ValueError:
        return set()
    folders = set()
    for kind in ("image", "mask", "record"):
        name = row.get(kind) if isinstance(row, dict) else None
        if not isinstance(name, str) or not name or ".." in Path(name).parts or Path(name).is_absolute():
            continue
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        folders.add(path.parent)
    return folders


def _prune(folder: Path, root: Path) -> None:
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return  # something else lies in it
        folder = folder.parent


def _is_held(path: Path) -> bool:
    """Whether a living process has this journal."""
    try:
        with open(path, "rb") as file:
            return not _lock(file, wait=False)
    except OSError:
        return False


def process_tag(shard: tuple[int, int], worker: int | None = None) -> str:
    """The name of a job, or of one of its workers, in the names of staging folders."""
    return f"{shard[0]:04d}-of-{shard[1]:04d}" + ("" if worker is None else f"-{worker}-{os.getpid()}")


__all__ = [
    "Dataset",
    "journal_file",
    "journals",
    "locked",
    "merge_lock",
    "process_tag",
    "read_journal",
    "read_settings",
    "remove_set",
]
