"""Where an evaluation writes: never over what exists, and with --overwrite only over what medidiff wrote."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from medidiff.errors import UsageError


def check_free(
    folder: Path, names: Collection[str], overwrite: bool, ours: Collection[str], option: str = "-o"
) -> None:
    """Refuse a folder in which something would be replaced that must not be.

    Args:
        folder: Where the files will lie; it may be missing.
        names: Files and folders that will be written there.
        overwrite: Whether an earlier run's may be replaced.
        ours: Files, relative to `folder`, that medidiff wrote by its own record.
        option: What messages call the folder.

    Raises:
        UsageError: It is a file, one of `names` exists, or, with `overwrite`, one holds a file that is not in `ours`.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{option} {folder}: is a file. Give a folder.")
    existing = [folder / name for name in names if (folder / name).exists()]
    if existing and not overwrite:
        raise UsageError(f"{option} {existing[0]}: exists. --overwrite replaces it.")
    for path in existing:
        inside = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        for file in inside:
            if file.relative_to(folder).as_posix() not in ours:
                raise UsageError(
                    f"{option} {folder}: medidiff did not write {file.relative_to(folder)}, which is never replaced. "
                    "Give another folder."
                )


__all__ = ["check_free"]
