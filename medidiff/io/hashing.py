"""SHA-256 of files and arrays, for provenance."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from medidiff.errors import InputError


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


def hash_array(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and values, the same whatever its memory layout and byte order."""
    array = np.asarray(array)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str} {array.shape} ".encode())
    digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
