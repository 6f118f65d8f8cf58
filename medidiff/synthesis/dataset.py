"""The folder of a set: what it is, who works on it, what of it is finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

from medidiff.errors import InputError, OutputError, UsageError
from medidiff.io import atomic_write_text
from medidiff.synthesis.journals import LOCK, is_held, journals, locked, read_journal
from medidiff.synthesis.layout import RUNS, SETTINGS
from medidiff.synthesis.remove import PARTIAL, check_removable, remove_set
from medidiff.synthesis.request import settings_hash
from medidiff.synthesis.write import sync_folder


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
        except FileExistsError as error:
            raise OutputError(f"-o {self.root}: is a file. Choose a folder.") from error
        except OSError as error:
            raise OutputError(f"-o {self.root}: cannot be made ({error.strerror}). Choose another folder.") from error
        with locked(self.root / LOCK):
            there = self.check(difference, overwrite)
            if there is not None and there != self.settings:
                remove_set(self.root)
                there = None
            if there is None:
                atomic_write_text(self.root / SETTINGS, json.dumps(self.settings, indent=2) + "\n")
                (self.root / RUNS).mkdir(exist_ok=True)
                sync_folder(self.root)

    def check(
        self, difference: Callable[[Mapping[str, Any], Mapping[str, Any]], str], overwrite: bool
    ) -> dict[str, Any] | None:
        """What `begin` refuses, found without touching anything.

        Returns:
            The settings of the set that is there; None where the folder is empty or missing.

        Raises:
            UsageError: As for `begin`.
        """
        there = read_settings(self.root) if self.root.is_dir() else None
        if there is not None and there != self.settings:
            if not overwrite:
                raise UsageError(
                    f"-o {self.root}: holds a set with other settings: {difference(there, self.settings)}. Choose "
                    "another folder, or replace the set with --overwrite."
                )
            check_removable(self.root)
        if there is None and self.root.is_dir():
            strangers = [path.name for path in sorted(self.root.iterdir()) if not path.name.startswith(".")]
            if strangers:
                raise UsageError(
                    f"-o {self.root}: holds files that are no set of medidiff synth, such as {strangers[0]}. "
                    "Choose an empty folder."
                )
        return there

    def staging(self, tag: str) -> Path:
        """An empty folder for files that are being written.

        Args:
            tag: Who writes them.
        """
        folder = self.root / f"{PARTIAL}{tag}"
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def check_alone(self, shards: int) -> None:
        """Refuse to work beside jobs that cut the set another way: two of them would write the same files.

        Raises:
            UsageError: There is such a job.
        """
        for path in journals(self.root):
            if not path.name.endswith(f"of-{shards:04d}.jsonl") and is_held(path):
                raise UsageError(
                    f"--shard: another job works on this folder with another number of shards ({path.stem}). "
                    "Wait for it."
                )

    def rows(self, wanted: Container[int]) -> dict[int, dict[str, Any]]:
        """What all jobs so far finished, by the sample's number; of two that differ the one whose files are there.

        Args:
            wanted: Numbers to tell of: a row takes about 5 kB of memory.
        """
        found: dict[int, dict[str, Any]] = {}
        for path in journals(self.root):
            for row in read_journal(path, self.hash):
                index = row["index"]
                if index not in wanted:
                    continue
                before = found.get(index)
                if before is None or before == row or not self._is_there(before):
                    found[index] = row
        return found

    def finished(self) -> int:
        """How many numbers of the set are finished."""
        return len({row["index"] for path in journals(self.root) for row in read_journal(path, self.hash)})

    def _is_there(self, row: Mapping[str, Any]) -> bool:
        from medidiff.synthesis.write import is_whole

        return is_whole(row, self.root)

    def clean(self) -> None:
        """Remove what killed jobs left half-written; only where no job is at work."""
        if any(is_held(path) for path in journals(self.root)):
            return
        for path in self.root.glob(f"{PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)


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


__all__ = ["Dataset", "read_settings"]
