"""Where DICOM bytes lie: a folder tree, a zip, what a DICOMDIR lists, or one file."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from medidiff.errors import InputError
from medidiff.io.dicom.dicomdir import is_dicomdir, referenced_files
from medidiff.io.dicom.model import FileRef
from medidiff.io.dicom.tree import is_clutter, walk_files
from medidiff.io.dicom.zips import is_zip, open_member, zip_members

HEAD_BYTES = 512
"""How much of a file `has_dicom_start` wants to see."""

_LOOKS_A_FOLDER = 8
_LOOKS = 400
_LONG_LENGTH = (b"OB", b"OW", b"UN", b"UT", b"UC", b"SQ")


def find_files(root: Path) -> list[FileRef]:
    """Every file that could be DICOM, whatever it is called.

    A folder's subfolders are walked, links too, each file once; hidden folders and what macOS leaves behind are passed
    over. What is listed but cannot be opened (a link that leads nowhere, a folder without permission, a file that a
    DICOMDIR names and that is absent) is returned as well: `open_file` says what is wrong with it.

    Args:
        root: A folder, a zip (never unpacked, zips inside it are not entered), a DICOMDIR, or one file.

    Returns:
        Files sorted by label. Labels are paths below `root`, NOT redacted: that needs the identifiers inside the files.

    Raises:
        InputError: Nothing there, nothing in it, a zip that is damaged, encrypted or a bomb, a damaged DICOMDIR.
    """
    root = Path(root)
    try:
        mode = root.stat().st_mode
    except FileNotFoundError as error:
        raise InputError(f"{root}: no such file or folder.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{root}: cannot be read ({getattr(error, 'strerror', None) or 'not a path'}).") from error
    if stat.S_ISDIR(mode):
        files, what = list(walk_files(root)), "folder"
    elif not stat.S_ISREG(mode):
        raise InputError(f"{root}: neither a file nor a folder. Give a folder, a zip, a DICOMDIR or a DICOM file.")
    elif is_zip(head := read_head(FileRef(root))):
        files, what = _members(root), "zip"
    else:
        files, what = (referenced_files(root) if is_dicomdir(head) else [FileRef(root, label=root.name)]), "file"
    if not files:
        raise InputError(f"{root}: the {what} holds no files. Give the one with the DICOM files.")
    return sorted(files, key=lambda file: file.label)


@contextmanager
def open_file(file: FileRef) -> Iterator[BinaryIO]:
    """Open for reading, seekable; the body must only read, for its input errors are taken to be the file's.

    Seeking back in a zip decompresses again from the start of its member: read forward.

    Raises:
        InputError: Absent, without permission, not a file, damaged or truncated.
    """
    name = file.label or file.path.name
    again = "Get it again from its source."
    try:
        with open(file.path, "rb") if file.member is None else open_member(file.path, file.member) as stream:
            yield stream
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file. {again}") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: a folder that cannot be read.") from error
    except EOFError as error:
        raise InputError(f"{name}: truncated. {again}") from error
    except (zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"{name}: damaged inside its zip. {again}") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or 'input error'}).") from error


def looks_like_dicom(root: Path) -> bool:
    """Whether a path is DICOM, cheaply: the first bytes of one file, or of a few files of each folder, or of a zip.

    Never raises: what cannot be read does not look like DICOM.
    """
    root = Path(root)
    try:
        if root.is_dir():
            return any(_starts_like_dicom(file) for file in islice(walk_files(root, _LOOKS_A_FOLDER), _LOOKS))
        if not root.is_file():
            return False
        head = read_head(FileRef(root))
        if is_zip(head):
            return any(_starts_like_dicom(file) for file in _members(root)[:_LOOKS])
        return has_dicom_start(head)
    except (InputError, OSError, ValueError):
        return False


def read_head(file: FileRef) -> bytes:
    """The first `HEAD_BYTES` bytes.

    Raises:
        InputError: As `open_file`.
    """
    with open_file(file) as stream:
        return stream.read(HEAD_BYTES)


def has_dicom_start(head: bytes) -> bool:
    """Whether a file that begins so is DICOM: the mark after the preamble, or plausible elements without it."""
    return head[128:132] == b"DICM" or _plausible_elements(head, "little") or _plausible_elements(head, "big")


def _plausible_elements(head: bytes, order: Literal["little", "big"]) -> bool:
    """Whether it starts with two elements of group 0002 or 0008 in ascending order: voxels and texts hardly ever do."""
    position, last = 0, -1
    for _ in range(2):
        block = head[position : position + 12]
        group, element = int.from_bytes(block[:2], order), int.from_bytes(block[2:4], order)
        tag = group << 16 | element
        if len(block) < 12 or group not in (0x0002, 0x0008) or tag <= last:
            return False
        explicit = block[4:6].isalpha() and block[4:6].isupper()
        start, end = (8, 12) if explicit and block[4:6] in _LONG_LENGTH else (6, 8) if explicit else (4, 8)
        length = int.from_bytes(block[start:end], order)
        if length % 2 or length > HEAD_BYTES:
            return False
        position, last = position + end + length, tag
    return True


def _members(path: Path) -> list[FileRef]:
    return [FileRef(path, name, name) for name in zip_members(path) if not is_clutter(name)]


def _starts_like_dicom(file: FileRef) -> bool:
    try:
        return has_dicom_start(read_head(file))
    except InputError:
        return False
