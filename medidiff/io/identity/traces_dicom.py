"""What one DICOM file says about a person, element by element."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from medidiff.errors import InputError
from medidiff.io.identity.attributes import meaning_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

BURNED_IN = "text in the pixels"
FACE = "face"

_STANDARD_UIDS = "1.2.840.10008."
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PICTURES = frozenset({"US", "IVUS", "ES", "XC", "GM", "OP", "SM", "OT", "DOC"})  # modalities that print into the image
_HEADS = frozenset({"HEAD", "BRAIN", "SKULL", "FACE", "HEADNECK", "HEAD AND NECK", "WHOLEBODY", "ORBIT", "SINUS"})
_LONGEST_VALUE = 1 << 16


@dataclass(frozen=True)
class Trace:
    """One thing that says, or may say, who a patient is.

    Args:
        meaning: What it tells: one of `attributes.MEANINGS`, BURNED_IN or FACE.
        where: Attribute, field or key that it stands in.
        value: The value itself; never printed unless the person asks for it.
    """

    meaning: str
    where: str
    value: str = ""


@dataclass(frozen=True)
class DicomTraces:
    """Everything of one file.

    Args:
        traces: What was found.
        removed: The file says that identity was removed from it.
    """

    traces: tuple[Trace, ...]
    removed: bool


def traces_of_dicom(stream: BinaryIO, name: str) -> DicomTraces:
    """Look through a file's header, sequences too; the pixels are not read.

    Args:
        stream: The file, at its start.
        name: What messages call it.

    Raises:
        InputError: Damaged.
    """
    from pydicom import dcmread

    with warnings.catch_warnings():  # pydicom warns of values that break the standard; they are looked at all the same
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(stream, force=True, stop_before_pixels=True)
            traces = (*_elements(dataset), *_pixels(dataset))
            removed = _text(dataset, "PatientIdentityRemoved") == "YES"
        except InputError:
            raise
        except Exception as error:  # pydicom raises anything on damaged files, and quotes them
            raise InputError(f"{name}: damaged DICOM file. Get it again from its source.") from error
    return DicomTraces(traces, removed)


def _elements(dataset: Dataset) -> Iterator[Trace]:
    from pydicom.datadict import dictionary_VR, keyword_for_tag

    for tag in list(dataset.keys()):
        if tag.is_private_creator or tag.element == 0:
            continue
        keyword = keyword_for_tag(tag)
        kind = getattr(dataset.get_item(tag), "VR", None)
        if keyword and kind in (None, "UN"):
            kind = dictionary_VR(tag)
        meaning = meaning_of(keyword, str(kind or "UN"), tag.group)
        if kind == "SQ" and meaning is None:
            for item in dataset[tag].value or ():
                yield from _elements(item)
            continue
        if meaning is None:
            continue
        name = keyword or f"({tag.group:04X},{tag.element:04X})"
        if meaning == "private":  # whose value nobody can tell the meaning of
            yield Trace(meaning, "private elements", name)
            continue
        for value in _values(dataset, tag, str(kind)):
            if not (meaning == "UID" and value.startswith(_STANDARD_UIDS)):
                yield Trace(meaning, name, value)


def _values(dataset: Dataset, tag: int, kind: str) -> list[str]:
    """What stands in an element, each value by itself; nothing where it is empty."""
    raw = dataset.get_item(tag)
    stored = getattr(raw, "value", None)
    if isinstance(stored, bytes) and (kind in ("OB", "OW", "OF", "OD", "OL", "UN") or len(stored) > _LONGEST_VALUE):
        return [f"{len(stored)} bytes"] if stored.strip(b" \0") else []
    try:
        value = dataset[tag].value
    except Exception:  # noqa: BLE001  a value that its kind does not allow is there all the same
        return [stored.decode("latin-1").strip()] if isinstance(stored, bytes) and stored.strip(b" \0") else []
    if kind == "SQ":
        return [f"{len(value)} items"] if value else []
    several = value if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]
    texts = (str(one).strip(" \0") for one in several if one is not None)
    return [text for text in texts if text]


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return str(value).strip().upper() if value is not None else ""


def _pixels(dataset: Dataset) -> Iterator[Trace]:
    """What the pictures themselves may show."""
    said = _text(dataset, "BurnedInAnnotation")
    kinds = [str(part).upper() for part in dataset.get("ImageType") or ()]
    modality = _text(dataset, "Modality")
    if said == "YES":
        yield Trace(BURNED_IN, "BurnedInAnnotation says YES")
    elif said != "NO" and "Rows" in dataset:
        if _text(dataset, "SOPClassUID").startswith(_SECONDARY_CAPTURE):
            yield Trace(BURNED_IN, "secondary capture, nothing said about text")
        elif modality in _PICTURES:
            yield Trace(BURNED_IN, f"modality {modality}, nothing said about text")
        elif "DERIVED" in kinds or any("SCREEN" in kind for kind in kinds):
            yield Trace(BURNED_IN, "derived image, nothing said about text")
    if (
        _text(dataset, "BodyPartExamined") in _HEADS
        and modality in ("MR", "CT", "PT")
        and _text(dataset, "RecognizableVisualFeatures") != "NO"
    ):
        yield Trace(FACE, "head scan: a face can be computed from it")
