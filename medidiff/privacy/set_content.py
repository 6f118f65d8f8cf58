"""What of a folder an audit speaks of: its scans with all that goes with them, as one hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from medidiff.errors import InputError
from medidiff.io import hash_file

ABOUT = (
    "README.md", "DATA_CARD.md", "croissant.json", "RELEASE.json", "audit.json", "audit.html", "audit_card.md",
    "report.json", "report.html", "signoff.json", "signoff.yaml", "signoff.yml",
)  # fmt: skip
"""Files at the top of a set that tell of it, and are written or completed after it was audited."""
AUDIT_FOLDER = "audit"
"""Where in a set's folder an audit may write."""
_APART = (AUDIT_FOLDER, "runs")
_LOCK = ".synthesis.lock"


def content_files(folder: Path) -> list[Path]:
    """Every file of a set but the texts about it, the journals in `runs/`, and what was written only half.

    Args:
        folder: Of `medidiff synth`, or any folder of scans.

    Returns:
        Paths below the folder, sorted by their name with slashes.

    Raises:
        InputError: It is no folder, or holds a link, which may lead to other scans tomorrow.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: must be a folder of scans.")
    found = []
    for path in folder.rglob("*"):
        inner = path.relative_to(folder)
        if inner.parts[0] in _APART or inner.as_posix() in (*ABOUT, _LOCK) or ".partial" in path.name:
            continue
        if any(part.startswith(".partial") for part in inner.parts):
            continue
        if path.is_symlink():
            raise InputError(f"{path}: is a link. A set that is audited holds its files itself: copy them there.")
        if path.is_file():
            found.append(inner)
    return sorted(found, key=lambda inner: inner.as_posix())


def content_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each of `content_files`, by its name with slashes.

    Raises:
        InputError: See `content_files`, a file cannot be read, or there is none.
    """
    found = {inner.as_posix(): hash_file(folder / inner) for inner in content_files(folder)}
    if not found:
        raise InputError(f"{folder}: holds no files of a set.")
    return found


def set_hash(folder: Path) -> str:
    """One SHA-256 over the sorted rows (file, SHA-256 of the file): it changes with any voxel, name, or file more.

    Raises:
        InputError: See `content_hashes`.
    """
    return hash_of_rows(content_hashes(folder))


def hash_of_rows(hashes: dict[str, str]) -> str:
    """The same from what `content_hashes` gave."""
    digest = hashlib.sha256()
    for name in sorted(hashes):
        digest.update(f"{name}\0{hashes[name]}\n".encode())
    return digest.hexdigest()


__all__ = ["ABOUT", "AUDIT_FOLDER", "content_files", "content_hashes", "hash_of_rows", "set_hash"]
