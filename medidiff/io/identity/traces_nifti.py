"""What a NIfTI header, or the JSON and the tables beside a scan, say about a person."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from medidiff.errors import InputError
from medidiff.io.identity.attributes import meaning_of
from medidiff.io.identity.traces_dicom import Trace

# Where each header keeps text: name, offset, bytes. NIfTI-1 (348 bytes) and NIfTI-2 (540).
_TEXTS = {
    348: (("db_name", 14, 18), ("descrip", 148, 80), ("aux_file", 228, 24), ("intent_name", 328, 16)),
    540: (("descrip", 240, 80), ("aux_file", 320, 24), ("intent_name", 508, 16)),
}
_VOXELS_AT = {348: (108, "f"), 540: (168, "q")}
_EXTENSIONS = {2: "DICOM", 4: "AFNI", 6: "comment", 8: "XCEDE", 10: "JIM", 12: "workflow", 18: "Python pickle"}
_LARGEST_EXTENSION = 1 << 24
_LARGEST_JSON = 1 << 24
_DEEPEST = 8
_LARGEST_TABLE = 1 << 26
# Columns of BIDS' participants and scans tables, and what people call such columns elsewhere.
_COLUMNS: dict[str, str] = {
    "acqtime": "date or time", "dob": "date or time", "birthdate": "date or time", "dateofbirth": "date or time",
    "birthday": "date or time", "scandate": "date or time", "studydate": "date or time", "date": "date or time",
    "name": "patient's name", "surname": "patient's name", "firstname": "patient's name", "lastname": "patient's name",
    "fullname": "patient's name", "mrn": "number of the patient", "hospitalid": "number of the patient",
    "accession": "number of the patient", "address": "about the patient", "email": "about the patient",
    "phone": "about the patient", "age": "about the patient", "sex": "about the patient", "gender": "about the patient",
    "site": "institution", "hospital": "institution", "comments": "free text", "notes": "free text",
}  # fmt: skip


def traces_of_nifti(stream: BinaryIO, name: str) -> list[Trace]:
    """Look through the header's text fields and extensions; the voxels are not read.

    Args:
        stream: The file, at its start; compressed where the name ends in .gz.
        name: The file's name.

    Raises:
        InputError: Damaged, or not NIfTI.
    """
    try:
        if name.lower().endswith(".gz"):
            with gzip.open(stream) as plain:
                return list(_header(plain, name))
        return list(_header(stream, name))
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{name}: damaged NIfTI file. Get it again from its source.") from error


def traces_of_json(stream: BinaryIO, name: str) -> list[Trace]:
    """Look through the keys of a JSON file, as BIDS and dcm2niix write them beside a scan.

    Raises:
        InputError: Not JSON, or larger than 16 MiB.
    """
    text = stream.read(_LARGEST_JSON + 1)
    try:
        if len(text) > _LARGEST_JSON:
            raise ValueError
        return list(_keys(json.loads(text), 0))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: no JSON that can be read. Look into it yourself.") from error


def traces_of_table(stream: BinaryIO, name: str) -> list[Trace]:
    """Look through the columns of a tab-separated table, as BIDS keeps beside the scans.

    Raises:
        InputError: Not text, or larger than 64 MiB.
    """
    block = stream.read(_LARGEST_TABLE + 1)
    try:
        if len(block) > _LARGEST_TABLE:
            raise ValueError
        rows = list(csv.DictReader(io.StringIO(block.decode("utf-8-sig")), delimiter="\t"))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{name}: no table that can be read. Look into it yourself.") from error
    return [
        Trace(meaning, f"column {column}", value)
        for row in rows
        for column, value in row.items()
        if isinstance(column, str) and isinstance(value, str) and value.strip() not in ("", "n/a")
        if (meaning := _meaning_of_column(column)) is not None
    ]


def _meaning_of_column(column: str) -> str | None:
    plain = "".join(c for c in column.lower() if c.isalnum())
    if plain in _COLUMNS:
        return _COLUMNS[plain]
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(column)
    return meaning_of(column, dictionary_VR(tag), tag >> 16) if tag is not None else None


def _header(stream: Any, name: str) -> Iterator[Trace]:
    start = stream.read(4)
    orders = {struct.unpack(f"{order}i", start)[0]: order for order in "<>"} if len(start) == 4 else {}
    size = next((size for size in orders if size in _TEXTS), None)
    if size is None:
        raise InputError(f"{name}: not a NIfTI file. Look into it yourself.")
    order = orders[size]
    block = start + stream.read(size - 4)
    for field, offset, length in _TEXTS[size]:
        text = block[offset : offset + length].split(b"\0")[0].decode("latin-1").strip()
        if text:
            yield Trace("free text", field, text)
    offset, kind = _VOXELS_AT[size]
    voxels_at = struct.unpack_from(f"{order}{kind}", block, offset)[0]
    if stream.read(4)[:1] not in (b"", b"\0"):
        yield from _extensions(stream, order, size + 4, voxels_at)


def _extensions(stream: Any, order: str, position: int, end: float) -> Iterator[Trace]:
    while position + 8 <= end:
        head = stream.read(8)
        if len(head) < 8:
            return
        length, code = struct.unpack(f"{order}ii", head)
        if length < 8 or length > _LARGEST_EXTENSION:
            return
        text = stream.read(length - 8).rstrip(b"\0 ").decode("latin-1")
        if any(c.isalnum() for c in text):
            yield Trace("free text", f"extension ({_EXTENSIONS.get(code, f'code {code}')})", text)
        position += length


def _keys(values: Any, depth: int) -> Iterator[Trace]:
    """Keys are DICOM's keywords, most of them; what they mean is the same."""
    if depth > _DEEPEST or not isinstance(values, (dict, list)):
        return
    if isinstance(values, list):
        for value in values:
            yield from _keys(value, depth + 1)
        return
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    for key, value in values.items():
        if isinstance(value, (dict, list)):
            yield from _keys(value, depth + 1)
        tag = tag_for_keyword(key)
        meaning = meaning_of(key, dictionary_VR(tag), tag >> 16) if tag is not None else None
        if meaning is None or value in ("", None, [], {}) or isinstance(value, dict):
            continue
        yield Trace(meaning, key, value if isinstance(value, str) else json.dumps(value))
