"""What the source says of each of its planes, one flat dataset a plane, whether it was a file or a frame."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from medidiff.errors import InputError
from medidiff.io.dicom.files import open_file
from medidiff.io.dicom.model import Candidate, FileRef
from medidiff.io.dicom_out.attributes import COPIED, IDENTITY, PLACED
from medidiff.io.dicom_out.frames import FRAME_KEYWORDS, flatten

_CHARACTER_SET = Tag("SpecificCharacterSet")


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """pydicom warns of every value that breaks a rule; the source is as it is, and was judged when it was read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def plane_headers(source: Candidate, modality: str, *, whole: bool = False) -> Iterator[tuple[Dataset, Dataset]]:
    """For every plane of a candidate, in order: what may be copied, and the file's dataset it was taken from.

    Args:
        source: Candidate; its files are opened again.
        modality: "CT" or "MR".
        whole: Read every attribute, to know what identifies the patient; False reads what may be copied.

    Raises:
        InputError: A file is gone or can no longer be read.
    """
    keywords = frozenset((*COPIED[modality], *PLACED))
    tags = None if whole else [Tag(k) for k in sorted(keywords | FRAME_KEYWORDS)]
    known: dict[FileRef, tuple[Dataset, Dataset]] = {}
    for plane in source.planes:
        if plane.file not in known:
            header = _read(plane.file, tags)
            known = {plane.file: (header, _identity(header))}  # one in memory: planes of a file mostly follow
        header, identity = known[plane.file]
        with quiet_pydicom():
            flat = (
                flatten(header, plane.frame, keywords) if plane.frames > 1 else _classic(header, plane.frame, keywords)
            )
        flat.update(identity)
        yield flat, header


def _identity(header: Dataset) -> Dataset:
    """Who it is, in the file's own bytes: decoded with a wrong character set and encoded again, letters are lost."""
    kept = Dataset()
    for keyword in IDENTITY:
        if keyword in header:
            element = header.get_item(keyword)
            if isinstance(element, RawDataElement):
                element = element._replace(VR=dictionary_VR(keyword))
            kept[keyword] = element
    return kept


def _read(file: FileRef, tags: list | None) -> Dataset:
    try:
        with quiet_pydicom(), open_file(file) as stream:
            return dcmread(stream, stop_before_pixels=True, force=True, specific_tags=tags)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{file.label}: can no longer be read. Has it been changed since? Run it again.") from error


def _classic(header: Dataset, frame: int, keywords: frozenset[str]) -> Dataset:
    if "PerFrameFunctionalGroupsSequence" in header:  # a multi-frame file of one frame
        return flatten(header, frame, keywords)
    flat = Dataset()
    for element in header:
        if element.keyword in keywords:
            flat[element.tag] = element
    return flat
