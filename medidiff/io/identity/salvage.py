"""Names and numbers of patients in what is left of a damaged DICOM file, so that messages about it name nobody."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from medidiff.errors import InputError
from medidiff.io.dicom.model import FileRef

HEAD_BYTES = 1 << 16
"""How much of the file is looked at: who the patient is stands near its start."""

# Patient's name, number, birth date, other numbers; accession number.
_TAGS = ((0x0010, 0x0010), (0x0010, 0x0020), (0x0010, 0x0030), (0x0010, 0x1000), (0x0008, 0x0050))
_KINDS = (b"PN", b"LO", b"DA", b"SH")
_LONGEST = 324  # a person's name: five components in three scripts


def salvaged_identifiers(head: bytes) -> frozenset[str]:
    """Values of the attributes that name a patient, found by their tags without parsing the file.

    Args:
        head: The first bytes of a DICOM file, in whatever state.
    """
    found: set[str] = set()
    for value in _values(head):
        for encoding in ("utf-8", "latin-1"):
            text = value.decode(encoding, errors="ignore").strip(" \0")
            if text.isprintable():
                found |= {part.strip() for part in text.split("\\") if part.strip()}
    return frozenset(found)


def salvage_from(file: FileRef) -> frozenset[str]:
    """`salvaged_identifiers` of a file; nothing where it cannot even be opened."""
    from medidiff.io.dicom.files import open_file

    try:
        with open_file(file) as stream:
            return salvaged_identifiers(stream.read(HEAD_BYTES))
    except InputError:
        return frozenset()


def _values(head: bytes) -> Iterator[bytes]:
    for order in "<>":
        for tag in _TAGS:
            mark = struct.pack(f"{order}HH", *tag)
            at = head.find(mark)
            while at >= 0:
                start = at + 4
                if head[start : start + 2] in _KINDS and len(head) >= start + 4:
                    length, start = struct.unpack_from(f"{order}H", head, start + 2)[0], start + 4
                elif len(head) >= start + 4:
                    length, start = struct.unpack_from(f"{order}I", head, start)[0], start + 4
                else:
                    break
                if length <= _LONGEST:
                    yield head[start : start + length]
                at = head.find(mark, at + 1)
