"""The members of a zip, read in place: bounded, never written to disk, zips inside it not entered."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from medidiff.errors import InputError

MAX_MEMBER_BYTES = 4 << 30
"""Largest member read: half of what the largest volume takes as float32."""

MAX_TOTAL_BYTES = 1 << 40
"""Largest zip, unpacked."""

_MAX_EXPANSION = 1100  # deflate reaches 1032; members that overlap, or another method, go beyond
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_BUFFER_BYTES = 1 << 18
_ENCRYPTED = 1


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip."""
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def zip_members(path: Path) -> list[str]:
    """The names of the files in a zip, as it stores them.

    Raises:
        InputError: Damaged, encrypted, or larger unpacked than anything real.
    """
    return list(_directory(path))


def open_member(path: Path, member: str) -> BinaryIO:
    """Open a member for reading; seeking back further than the buffer decompresses from its start again.

    Raises:
        InputError: As `zip_members`, or no such member.
        zipfile.BadZipFile, zlib.error, EOFError: Damage inside the member, here or on reading.
    """
    info = _directory(path).get(member)
    if info is None:
        raise InputError(f"{path}: the zip has changed while it was read. Start again.")
    file = open(path, "rb")
    try:
        file.seek(info.header_offset)
        mark, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if mark != b"PK\x03\x04":
            raise zipfile.BadZipFile
        file.seek(name_bytes + extra_bytes, io.SEEK_CUR)
        stream = zipfile.ZipExtFile(file, "r", info, None, True)
    except struct.error as error:
        file.close()
        raise EOFError from error
    except BaseException:
        file.close()
        raise
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER_BYTES))


def _directory(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The zip's table of contents, read once; the file itself stays closed, so processes can share nothing by mistake.

    Raises:
        InputError: As `zip_members`.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return _read_directory(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read_directory(path: Path, _changed_ns: int, size: int) -> dict[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or 'input error'}).") from error
    except Exception as error:  # zipfile meets damage in many ways: struct, Unicode, its own errors
        raise InputError(f"{path}: a damaged zip. Get it again from its source.") from error
    if any(info.flag_bits & _ENCRYPTED for info in members):
        raise InputError(f"{path}: an encrypted zip. Unpack it first, and give the folder.")
    total = sum(info.file_size for info in members)
    largest = max((info.file_size for info in members), default=0)
    if largest > MAX_MEMBER_BYTES or total > min(MAX_TOTAL_BYTES, _MAX_EXPANSION * size):
        raise InputError(
            f"{path}: would unpack to {total:.3g} bytes from {size}, the largest file {largest:.3g}: no zip of scans "
            "does. If it is one, unpack it first, and give the folder."
        )
    return {info.filename: info for info in members}
