"""SOP classes: which hold scans, and what the others are."""

from __future__ import annotations

_STORAGE = "1.2.840.10008.5.1.4.1.1."

DIRECTORY = "1.2.840.10008.1.3.10"
"""A DICOMDIR."""

SECONDARY_CAPTURES = frozenset(_STORAGE + end for end in ("7", "7.1", "7.2", "7.3", "7.4"))
"""Screenshots, scanned films and what software wrote that knew no better; 7.2 and 7.3 are grey multi-frame."""

_WITHOUT_A_PLACE = (
    "1",  # computed, digital, mammographic and intra-oral radiography, with their .1.1, .1.2.1, ...
    "3",  # ultrasound multi-frame (retired, and 3.1)
    "5",  # nuclear medicine (retired)
    "6",  # ultrasound, with 6.1 and 6.2
    "12",  # X-ray angiography and fluoroscopy
    "20",  # nuclear medicine
    "77",  # visible light, microscopy, ophthalmology
    "481.1",  # radiotherapy image
    "14",  # intravascular OCT
)
_WITH_A_PLACE = ("13.1.1", "13.1.2", "13.1.3", "77.1.5.4")  # 3D angiography, CBCT, tomosynthesis, ophthalmic OCT
_SEGMENTATIONS = ("66.4", "66.5", "66.7", "481.2", "481.3", "68.1", "68.2", "66.6")
_RECORDS = ("4.2", "9", "11", "66", "67", "78", "79", "80", "88", "104", "129", "131", "200", "481")
_SCANS = ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130")


def kind_of(sop_class: str) -> str:
    """What a SOP class is for.

    Returns:
        "" for an image that can have a place in space, else a code of `model.REFUSALS`: "film" (only as long as no
        geometry comes with it), "no-geometry", "segmentation", "report".
    """
    if sop_class in SECONDARY_CAPTURES:
        return "film"
    if not sop_class.startswith(_STORAGE):
        return ""
    end = sop_class[len(_STORAGE) :]
    for ends, kind in (
        (_WITH_A_PLACE, ""),
        (_SEGMENTATIONS, "segmentation"),
        (_WITHOUT_A_PLACE, "no-geometry"),
        (_RECORDS, "report"),
    ):
        if any(end == e or end.startswith(e + ".") for e in ends):
            return kind
    return ""


def must_have_pixels(sop_class: str) -> bool:
    """Whether an instance without pixels can only be a damaged one: CT, MR and PET images."""
    return sop_class.removeprefix(_STORAGE) in _SCANS
