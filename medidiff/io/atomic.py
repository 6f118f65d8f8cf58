"""Files that appear whole or not at all: written under a `.partial` name in the same folder, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from medidiff.errors import OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space or choose another folder.",
    errno.EDQUOT: "the disk quota is used up. Free some space or choose another folder.",
    errno.EFBIG: "the file is larger than this system allows. Choose another folder.",
    errno.EROFS: "the folder is on a read-only file system. Choose another folder.",
    errno.EACCES: "no permission to write into this folder. Choose another folder.",
    errno.EPERM: "no permission to write into this folder. Choose another folder.",
    errno.ENOENT: "the folder does not exist. Create it first.",
    errno.ENOTDIR: "the folder does not exist. Create it first.",
    errno.EISDIR: "this is a folder. Give a file name.",
}


@contextmanager
def atomic_files(*paths: str | Path) -> Iterator[tuple[BinaryIO, ...]]:
    """Open several files that all appear at the end, or, after any failure, none of them.

    Raises:
        OutputError: A file cannot be written. No partial file remains.
    """
    targets = [Path(path) for path in paths]
    partials = [target.with_name(target.name + ".partial") for target in targets]
    created: list[Path] = []
    try:
        for target in targets:
            if target.is_dir():
                raise OutputError(f"{target}: {_REASONS[errno.EISDIR]}")
        with ExitStack() as stack:
            files: list[BinaryIO] = []
            for partial in partials:
                files.append(stack.enter_context(open(partial, "wb")))
                created.append(partial)
            yield tuple(files)
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for partial, target in zip(partials, targets, strict=True):
            os.replace(partial, target)
    except BaseException as error:  # an interruption must leave nothing behind either; it is always raised again
        for partial in created:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = _REASONS.get(error.errno or 0, f"cannot be written ({error.strerror or error}).")
            raise OutputError(f"{targets[0]}: {reason}") from error
        raise


@contextmanager
def atomic_open(path: str | Path) -> Iterator[BinaryIO]:
    """Open one binary file that appears under its name only when the block ends without an exception.

    Raises:
        OutputError: The file cannot be written. No partial file remains.
    """
    with atomic_files(path) as (file,):
        yield file


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_open(path) as file:
        file.write(text.encode("utf-8"))
