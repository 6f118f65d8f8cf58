"""Compressed pixels in a file: which bytes are which frame."""

from __future__ import annotations

from typing import BinaryIO

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_MAX_FRAGMENTS = 1 << 22

Fragment = tuple[int, int]
"""Byte of the file where it starts, and its length."""


def frame_fragments(file: BinaryIO, frames: int) -> list[list[Fragment]]:
    """The fragments of each frame. The file stands at the value of the pixels: the basic offset table.

    One fragment a frame needs no table, one frame takes all fragments; else the basic offset table says (PS3.5 A.4).

    Raises:
        EOFError: The file ends inside a fragment.
        ValueError: Not a sequence of fragments, or they cannot be assigned to this number of frames.
    """
    table_length = _item_length(file)
    if table_length is None:
        raise ValueError("no offset table")
    offsets = _numbers(_read(file, min(table_length, 4 * frames)))
    file.seek(table_length - 4 * len(offsets), 1)
    first = file.tell()
    fragments = _fragments(file)
    if len(fragments) == frames:
        return [[fragment] for fragment in fragments]
    if frames == 1 and fragments:
        return [fragments]
    return _by_offsets(fragments, [first + offset for offset in offsets], frames)


def read_frame(file: BinaryIO, fragments: list[Fragment]) -> bytes:
    """The compressed bytes of one frame.

    Raises:
        EOFError: The file ends before their end.
    """
    parts = []
    for start, length in fragments:
        file.seek(start)
        parts.append(_read(file, length))
    return b"".join(parts)


def _fragments(file: BinaryIO) -> list[Fragment]:
    found: list[Fragment] = []
    while (length := _item_length(file)) is not None:
        found.append((file.tell(), length))
        file.seek(length, 1)
        if len(found) > _MAX_FRAGMENTS:
            raise ValueError("too many fragments")
    return found


def _item_length(file: BinaryIO) -> int | None:
    """Of the item that starts here; None at the end of the sequence, also where the file ends in its stead."""
    start = file.read(8)
    if start[:4] == _END or not start:
        return None
    if len(start) < 8:
        raise EOFError
    length = int.from_bytes(start[4:], "little")
    if start[:4] != _ITEM or length == 0xFFFFFFFF:
        raise ValueError("not a fragment")
    return length


def _by_offsets(fragments: list[Fragment], starts: list[int], frames: int) -> list[list[Fragment]]:
    """Fragments by the frame whose start they follow."""
    items = {start - 8: (start, length) for start, length in fragments}
    if len(starts) != frames or sorted(set(starts)) != starts or not set(starts) <= set(items):
        raise ValueError("the offset table does not fit the fragments")
    assigned: list[list[Fragment]] = [[] for _ in starts]
    ends = [*starts[1:], None]
    frame = 0
    for item in sorted(items):
        end = ends[frame]
        if end is not None and item >= end:
            frame += 1
        assigned[frame].append(items[item])
    return assigned


def _numbers(table: bytes) -> list[int]:
    return [int.from_bytes(table[i : i + 4], "little") for i in range(0, len(table) - 3, 4)]


def _read(file: BinaryIO, length: int) -> bytes:
    """Exactly so many bytes; no more memory than the file has bytes, whatever a length field says."""
    parts, left = [], length
    while left:
        block = file.read(min(left, 1 << 24))
        if not block:
            raise EOFError
        parts.append(block)
        left -= len(block)
    return b"".join(parts)
