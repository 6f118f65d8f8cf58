"""The user's private folder: where the key and the lookup table of pseudonyms stay."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medidiff.errors import OutputError

_LOCK = "lock"
_ELSEWHERE = "Set MEDIDIFF_HOME to a folder of yours that can be written and that nobody else reads."


def home_folder() -> Path:
    """$MEDIDIFF_HOME, or `medidiff` in the platform's folder for settings; it need not exist.

    Raises:
        OutputError: MEDIDIFF_HOME is not set and the user has no home.
    """
    given = os.environ.get("MEDIDIFF_HOME")
    if given:
        return Path(given).expanduser().absolute()
    settings = os.environ.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME")
    if settings and Path(settings).is_absolute():  # the XDG specification: a relative path is to be ignored
        return Path(settings) / "medidiff"
    try:
        return Path.home() / ".config" / "medidiff"
    except RuntimeError as error:
        raise OutputError(f"no home folder is known for this user. {_ELSEWHERE}") from error


def private_folder() -> Path:
    """`home_folder()`, made where it is missing, for this user only.

    Raises:
        OutputError: It cannot be made.
    """
    folder = home_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


@contextmanager
def only_one_process(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for this folder. A process that dies leaves no lock behind.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        try:
            _wait_for_lock(handle)
        except OSError as error:  # a file system without locks
            raise cannot_write(folder, error) from error
        yield
    finally:
        os.close(handle)


def write_private(path: Path, text: str, *, append: bool = False) -> None:
    """Write a file that only this user can read; a new one appears whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    target = path if append else path.with_name(f"{path.name}.partial")
    data = text.encode("utf-8")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
    try:
        handle = os.open(target, flags, 0o600)
        try:
            if os.write(handle, data) < len(data):  # one call, so that two rows never mix
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)
        if not append:
            os.replace(target, path)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error to raise where something private cannot be written."""
    return OutputError(f"{path}: cannot be written ({error.strerror or 'unknown reason'}). {_ELSEWHERE}")


if sys.platform == "win32":
    import msvcrt

    def _wait_for_lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)

else:
    import fcntl

    def _wait_for_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)
