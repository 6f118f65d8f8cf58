"""The files of a folder tree, each once, symbolic links and unreadable folders included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from medidiff.io.dicom.model import FileRef

_MAC_FOLDER = "__MACOSX"
_MAC_FORK = "._"
_MAC_VIEW = ".DS_Store"


def is_clutter(name: str) -> bool:
    """Whether a path names what macOS leaves beside the files: resource forks and view settings."""
    parts = name.split("/")
    return parts[-1].startswith(_MAC_FORK) or parts[-1] == _MAC_VIEW or _MAC_FOLDER in parts


def walk_files(root: Path, a_folder: int | None = None) -> Iterator[FileRef]:
    """Every file below a folder, each once; nothing is opened.

    Links are followed, and after everything else: what they point to is then left out where it was found by itself, and
    a loop ends. Hidden folders, sockets and devices are passed over. A folder that cannot be listed and a link
    that leads nowhere are given out like files: opening them says what is wrong.

    Args:
        root: The folder.
        a_folder: Files given out of each folder at most; None for all.
    """
    folders, linked_folders, linked_files = [(str(root), os.path.realpath(root))], [], []
    seen_folders, seen_files = set[str](), set[str]()
    while folders or linked_folders:
        folder, real = folders.pop() if folders else linked_folders.pop(0)
        if real in seen_folders:
            continue
        seen_folders.add(real)
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            yield _reference(folder, root)
            continue
        files = [e for e in entries if not e.is_symlink() and e.is_file() and not is_clutter(e.name)]
        for entry in islice(files, a_folder):
            seen_files.add(os.path.join(real, entry.name))
            yield _reference(entry.path, root)
        for entry in entries:
            target = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)
            if _is_folder(entry):
                if not entry.name.startswith(".") and entry.name != _MAC_FOLDER:
                    (linked_folders if entry.is_symlink() else folders).append((entry.path, target))
            elif entry.is_symlink() and not is_clutter(entry.name):
                linked_files.append((entry.path, target))
    for path, target in linked_files:
        if target not in seen_files and (os.path.isfile(target) or not os.path.exists(target)):
            seen_files.add(target)
            yield _reference(path, root)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself
        return False


def _reference(path: str, root: Path) -> FileRef:
    return FileRef(Path(path), label=Path(path).relative_to(root).as_posix())
