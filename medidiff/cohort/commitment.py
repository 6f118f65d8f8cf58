"""A prior's word on whom it was trained on: one hash over the whole list that nobody can search without its key.

A hash for each patient could be searched: eight-digit numbers in a minute on one core, salted or not. So there is one
hash for the list, over keyed digests, and the key stays in the run's folder. Whoever has the key can check that a list
is the one; nobody can look up a single person.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from medidiff.errors import InputError, OutputError

KEY_FILE = "site.key"
"""Name of the key in a run's folder."""
_BYTES = 32


def commitment(patients: Iterable[str], key: bytes) -> str:
    """What the card says of the train patients: SHA-256 over the sorted HMAC-SHA256 digests of their identifiers.

    Args:
        patients: Identifiers as in the store's manifest or the table; order and repeats do not matter.
        key: The site's key.

    Returns:
        64 hexadecimal digits; empty for nobody.

    Source: HMAC-SHA256 (RFC 2104).
    """
    digests = {hmac.digest(key, b"medidiff train patient " + name.encode(), hashlib.sha256) for name in patients}
    if not digests:
        return ""
    return hashlib.sha256(b"medidiff train patients 1\n" + b"".join(sorted(digests))).hexdigest()


def is_committed(patients: Iterable[str], key: bytes, stated: str) -> bool:
    """Whether these patients, all of them and nobody else, are the list that a card commits to.

    Args:
        patients: Identifiers.
        key: The key in the folder of the prior's run.
        stated: The card's `training.commitment`.

    Raises:
        InputError: The card commits to nothing: an older prior, or one that saw no patient.
    """
    if not stated:
        raise InputError(
            "the prior's card has no commitment: it is of an older medidiff, or saw no patient. Whom it was trained on "
            "cannot be checked."
        )
    return hmac.compare_digest(commitment(patients, key), stated)


def site_key(folder: Path) -> bytes:
    """The key in a run's folder; a new one is drawn and kept, readable by its owner only, where there is none.

    Raises:
        InputError: The file holds no key.
        OutputError: It cannot be written.
    """
    path = folder / KEY_FILE
    if not path.exists():
        write_private(path, secrets.token_hex(_BYTES) + "\n")
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in a file.

    Raises:
        InputError: Missing, not readable, or no key.
    """
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no key of a run ({error}). It lies in the folder of the training run.") from error
    if len(key) != _BYTES:
        raise InputError(f"{path}: holds {len(key)} bytes, a run's key has {_BYTES}. Bring back the file as it was.")
    return key


def subkey(key: bytes, purpose: str) -> bytes:
    """Another key for another purpose, which tells nothing of the first."""
    return hmac.digest(key, f"medidiff {purpose}".encode(), hashlib.sha256)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (mode 600), whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}). Choose another folder.") from error


__all__ = ["KEY_FILE", "commitment", "is_committed", "read_key", "site_key", "subkey", "write_private"]
