"""A set that is to be replaced: its own files go, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from medidiff.errors import OutputError, UsageError
from medidiff.synthesis.journals import is_held, journals
from medidiff.synthesis.layout import CARD, CROISSANT, LABELS, MANIFEST, RUNS, SETTINGS

PARTIAL = ".partial-"
"""How folders of files that are being written begin."""
_TOP = (
    MANIFEST, LABELS, CARD, CROISSANT, "dataset_description.json", ".bidsignore", "participants.tsv", "dataset.json",
)  # fmt: skip
_PATTERNS = (
    "synthetic-*", "imagesTr/synthetic_*", "labelsTr/synthetic_*", "records/synthetic_*",
    "sub-syn*/*/sub-syn*_desc-synthetic_*",
)  # fmt: skip
_NAME = re.compile(r"(synthetic[-_]|sub-syn)(\d{6,})(_mask|_0000|_desc-synthetic_[A-Za-z0-9]+)?(\.nii\.gz|\.json)?")


def remove_set(root: Path) -> None:
    """Remove a set's own files, and nothing else.

    Raises:
        UsageError: A job works on it.
        OutputError: A file cannot be removed.
    """
    if any(is_held(path) for path in journals(root)):
        raise UsageError(f"-o {root}: a job works on the set that is there. Wait for it, or stop it.")
    folders: set[Path] = set()
    try:
        for journal in journals(root):
            for line in journal.read_bytes().splitlines():
                folders |= _remove_files(root, line)
        for path in list(_unnoted(root)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            folders.add(path.parent)
        for name in _TOP:
            (root / name).unlink(missing_ok=True)
        for path in root.glob(f"{PARTIAL}*"):
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


def _unnoted(root: Path) -> Iterator[Path]:
    """Files of numbers of the set that a job had put into their place and not noted when it was killed."""
    try:
        settings = json.loads((root / SETTINGS).read_text(encoding="utf-8"))
        numbers = range(settings["first"], settings["first"] + settings["count"])
    except (OSError, ValueError, TypeError, KeyError):
        return
    for pattern in _PATTERNS:
        for path in root.glob(pattern):
            found = _NAME.fullmatch(path.name)
            if found is None or int(found[2]) not in numbers or path.is_symlink():
                continue
            if not path.is_dir() or all(inner.suffix == ".dcm" for inner in path.iterdir()):
                yield path


def _prune(folder: Path, root: Path) -> None:
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return  # something else lies in it
        folder = folder.parent


__all__ = ["PARTIAL", "remove_set"]
