"""Several files and folders that appear together: written into a hidden folder beside their place, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from medidiff.errors import OutputError


class Stage:
    """Outputs of one job, whole or not at all. A context manager; without `commit` nothing remains.

    The folder is made at once, so that a place that cannot be written is known before the work and not after it.

    Args:
        folder: Where the files will lie; made, with its parents, if it is missing.
        stem: What the hidden folder is called after.

    Raises:
        OutputError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder
        self._planned: list[tuple[Path, Path]] = []
        self._made: list[Path] = []
        try:
            self._make_folders()
            self._work = Path(tempfile.mkdtemp(prefix=f".{stem}-", suffix=".partial", dir=folder))
        except OSError as error:
            self._remove_folders()
            raise OutputError(f"{folder}: {_reason(error)}") from error

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        if kind is not None:
            self._remove_folders()
        if isinstance(error, OutputError):
            raise OutputError(str(error).replace(str(self._work), str(self._folder))) from error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise OutputError(f"{self._folder}: {_reason(error)}") from error

    def place(self, final: Path) -> Path:
        """Where to write a file or folder for now. They are renamed in the order of these calls."""
        staged = self._work / final.name
        self._planned.append((staged, final))
        return staged

    def commit(self, removes: Sequence[Path] = ()) -> None:
        """Rename everything into place. A folder of the same name makes way as a whole.

        Args:
            removes: Files and folders of an earlier run that would no longer be true, its record first; removed
                beforehand.

        Raises:
            OutputError: A file cannot be renamed.
        """
        try:
            for path in removes:
                self._put_away(path)
            for staged, final in self._planned:
                if final.is_dir():
                    self._put_away(final)
                os.replace(staged, final)
        except OSError as error:
            raise OutputError(f"{self._folder}: {_reason(error)}") from error

    def _put_away(self, path: Path) -> None:
        """Remove a file; a folder is moved out of sight first, which takes one step however much is in it."""
        if path.is_dir() and not path.is_symlink():
            os.replace(path, Path(tempfile.mkdtemp(dir=self._work)) / path.name)
        else:
            path.unlink(missing_ok=True)

    def _make_folders(self) -> None:
        missing = [p for p in (self._folder, *self._folder.parents) if not p.exists()]
        for path in reversed(missing):
            path.mkdir()
            self._made.append(path)

    def _remove_folders(self) -> None:
        for path in reversed(self._made):
            try:
                path.rmdir()
            except OSError:
                return  # something lies in it by now: it stays


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Free some space or choose another folder."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"cannot be written ({error.strerror}). Choose another folder."
    if error.errno == errno.ENOENT:  # every missing parent was made before: the system itself makes no files here
        return "takes no files or folders (it belongs to the system, such as /proc). Choose another folder."
    return f"cannot be made or written ({error.strerror or error}). Choose another folder."
