"""A folder of reports: refused before the work where it cannot be written, and all of its files appear together."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from medidiff.errors import OutputError, UsageError


def check_report_folder(folder: Path, names: Sequence[str], overwrite: bool) -> None:
    """Refuse a folder in which such files lie, or that cannot be written.

    Raises:
        UsageError: It holds one of `names` and `overwrite` is not set, or it is a file.
        OutputError: It, or the folder that it would be made in, takes no file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: is a file. Give a folder.")
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UsageError(f"-o {folder / there[0]}: exists. --overwrite replaces it.")
    above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".medidiff-", dir=above):
            pass
    except OSError as error:
        raise OutputError(f"-o {folder}: cannot be written ({error.strerror}). Choose another folder.") from error


def write_report_files(folder: Path, files: Mapping[str, str]) -> None:
    """All files, or none.

    Args:
        folder: Made where it is not there.
        files: Name -> text.

    Raises:
        OutputError: They cannot be written.
    """
    from medidiff.io.atomic import atomic_files

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"-o {folder}: cannot be made ({error.strerror}). Choose another folder.") from error
    with atomic_files(*(folder / name for name in files)) as opened:
        for file, text in zip(opened, files.values(), strict=True):
            file.write(text.encode("utf-8"))


__all__ = ["check_report_folder", "write_report_files"]
