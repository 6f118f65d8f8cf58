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


def check_removable(root: Path) -> None:
    """Refuse to remove a set beside whose files others lie, or on which a job works. Nothing is touched.

    Raises:
        UsageError: It is so.
    """
    if any(is_held(path) for path in journals(root)):
        raise UsageError(f"-o {root}: a job works on the set that is there. Wait for it, or stop it.")
    own = _own(root)
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        mine = path in own or any(folder in own for folder in path.parents)
        if not mine and not path.is_dir() and not inner.parts[0].startswith("."):
            raise UsageError(
                f"-o {root}: holds a file that is not the set's, {inner}: nothing was removed. Move it, or choose "
                "another folder."
            )


def remove_set(root: Path) -> None:
    """Remove a set's own files, and nothing else.

    Raises:
        UsageError: See `check_removable`.
        OutputError: A file cannot be removed.
    """
    check_removable(root)
    own = _own(root)
    last = [root / RUNS, root / SETTINGS]  # what says that it is a set, and which files are its own
    try:
        for path in [*sorted(own - {*last}), *root.glob(f"{PARTIAL}*"), *last]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for folder in sorted({path.parent for path in own}, key=lambda f: len(f.parts), reverse=True):
            _prune(folder, root)
    except OSError as error:
        raise OutputError(f"{root}: cannot be emptied ({error.strerror}). Choose another folder.") from error


def _own(root: Path) -> set[Path]:
    """The set's files, and folders that are its own as a whole."""
    own = {root / name for name in (*_TOP, RUNS, SETTINGS)} | set(_unnoted(root))
    for journal in journals(root):
        for line in journal.read_bytes().splitlines():
            own |= _noted(root, line)
    return own


def _noted(root: Path, line: bytes) -> set[Path]:
    """The files of a journal's row."""
    try:
        row = json.loads(line)
    except ValueError:
        return set()
    names = [row.get(kind) for kind in ("image", "mask", "record")] if isinstance(row, dict) else []
    known = [Path(name) for name in names if isinstance(name, str) and name]
    return {root / name for name in known if ".." not in name.parts and not name.is_absolute()}


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


__all__ = ["PARTIAL", "check_removable", "remove_set"]
