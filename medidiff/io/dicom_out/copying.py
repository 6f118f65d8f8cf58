"""What a derived image says in the words of its source."""

from __future__ import annotations

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import validate_value

from medidiff.io.dicom.model import Facts, Plane
from medidiff.io.dicom_out.attributes import CODES, IDENTITY, PAIRED_PARTS, PRESENT, PRESENT_OF, REMOVED
from medidiff.io.dicom_out.encode import decimal_string

_TYPE_VALUE_3 = {"CT": "AXIAL", "MR": "OTHER"}
_CODE_LENGTH = 16


def copy_attributes(image: Dataset, flat: Dataset, keywords: tuple[str, ...], modality: str) -> None:
    """Copy what is listed, valid and there; what the standard demands and the source lacks is written empty.

    Who the patient is, is copied even where it breaks a rule of the standard: a PACS files by it.

    Args:
        image: Dataset to write to.
        flat: What the source says of one plane.
        keywords: Allow-list.
        modality: "CT" or "MR".
    """
    for keyword in keywords:
        if keyword in flat and keyword in IDENTITY:
            image[keyword] = flat.get_item(keyword)  # not decoded
        elif keyword in flat and _is_valid(flat[keyword]):
            image[keyword] = flat[keyword]
        elif keyword in flat and flat[keyword].VR == "DS":
            _copy_numbers(image, flat, keyword)
    for keyword in (*PRESENT, *PRESENT_OF[modality]):
        if keyword not in image:
            setattr(image, keyword, "")
    if modality == "MR":
        image.ScanningSequence = image.get("ScanningSequence") or "RM"
        image.SequenceVariant = image.get("SequenceVariant") or "NONE"
        if "InversionTime" in image and "IR" not in image["ScanningSequence"].value:
            del image.InversionTime  # allowed for inversion recovery only (type 2C)
    set_laterality(image)
    if image.get("PatientIdentityRemoved") == "YES":
        _copy_method(image, flat)
    characters = None
    if flat.get("SpecificCharacterSet"):
        image.SpecificCharacterSet = flat.SpecificCharacterSet
        characters = convert_encodings(flat.SpecificCharacterSet)
    # As if read in the encoding it will be written in: pydicom then writes undecoded values as they are.
    image.set_original_encoding(False, True, characters)


def set_laterality(image: Dataset) -> None:
    """Laterality is demanded, empty at least, where the body part may be one of a pair (type 2C)."""
    part = str(image.get("BodyPartExamined", ""))
    if "Laterality" not in image and "ImageLaterality" not in image and (not part or part in PAIRED_PARTS):
        image.Laterality = ""


def copy_geometry(image: Dataset, flat: Dataset, plane: Plane) -> None:
    """Copy the place of a plane, digit by digit, where the text says what the plane was read with."""
    for keyword, expected in (
        ("PixelSpacing", plane.spacing_mm),
        ("ImageOrientationPatient", plane.orientation_lps),
        ("ImagePositionPatient", plane.position_lps_mm),
    ):
        if expected is None:
            continue
        if keyword in flat and _is_valid(flat[keyword]) and _numbers(flat[keyword].value) == tuple(expected):
            image[keyword] = flat[keyword]
        else:
            setattr(image, keyword, [decimal_string(v) for v in expected])


def set_thickness(image: Dataset, thickness_mm: float | None) -> None:
    """What a measured slice averages over, as its source said; empty (type 2) where nobody said or measured."""
    image.SliceThickness = decimal_string(thickness_mm) if thickness_mm else ""


def set_diffusion(image: Dataset, facts: Facts) -> None:
    """What the source said of diffusion, in the standard's attributes: vendors keep it in private ones, not copied."""
    if facts.b_value_s_per_mm2 is not None and "DiffusionBValue" not in image:
        image.DiffusionBValue = float(facts.b_value_s_per_mm2)
    if facts.gradient_lps is not None and "DiffusionGradientOrientation" not in image:
        image.DiffusionGradientOrientation = [float(v) for v in facts.gradient_lps]


def set_lossy(image: Dataset, lossy: bool) -> None:
    """What was once compressed with loss stays so; ratio and method belong to nothing else."""
    image.LossyImageCompression = "01" if lossy else "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if not lossy and keyword in image:
            del image[keyword]


def derived_image_type(flat: Dataset, modality: str, known: frozenset[str] | None = None) -> list[str]:
    """ImageType: DERIVED, then the source's values; PRIMARY unless the source already was SECONDARY.

    Args:
        flat: What the source says of the plane.
        modality: "CT" or "MR".
        known: Words of value 3 and later that may be copied; None: all.
    """
    value = flat.get("ImageType") or []
    values = [str(v) for v in (value if isinstance(value, (MultiValue, list)) else [value])]
    second = "SECONDARY" if values[1:2] == ["SECONDARY"] else "PRIMARY"
    rest = [v for v in values[2:] if 0 < len(v) <= _CODE_LENGTH and (known is None or v in known)]
    return ["DERIVED", second, *(rest or [_TYPE_VALUE_3[modality]])]


def text_of(flat: Dataset, keyword: str) -> str:
    """A text attribute on one line, "" where there is none."""
    value = flat.get(keyword)
    if value is None:
        return ""
    parts = value if isinstance(value, (MultiValue, list)) else [value]
    return " ".join(" ".join(str(part).split()) for part in parts)


def _copy_method(image: Dataset, flat: Dataset) -> None:
    """How an earlier program de-identified the source: codes, and nothing else that their items may hold."""
    codes = []
    for item in flat.get("DeidentificationMethodCodeSequence") or []:
        kept = Dataset()
        for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"):
            if keyword in item and _is_valid(item[keyword]):
                kept[keyword] = item[keyword]
        if len(kept) == 3:
            codes.append(kept)
    if codes:
        image.DeidentificationMethodCodeSequence = Sequence(codes)
    elif not image.get("DeidentificationMethod"):  # one of the two is demanded
        for keyword in REMOVED:
            if keyword in image:
                del image[keyword]


def _copy_numbers(image: Dataset, flat: Dataset, keyword: str) -> None:
    """Numbers written with more than 16 characters, or not numbers at all."""
    try:
        setattr(image, keyword, [decimal_string(v) for v in _numbers(flat[keyword].value)])
    except (TypeError, ValueError):
        return


def _is_valid(element: object) -> bool:
    """Whether every value keeps the rules of its kind, and is one of the listed ones where there is a list."""
    keyword, vr, value = element.keyword, element.VR, element.value  # type: ignore[attr-defined]
    values = value if isinstance(value, (MultiValue, list)) else [value]
    if keyword in CODES and not all(str(v) in CODES[keyword] for v in values):
        return False
    try:
        for part in values:
            if part is not None and (vr in ("DS", "IS") or not isinstance(part, (int, float))):
                validate_value(vr, str(part), config.RAISE)
    except ValueError:
        return False
    return True


def _numbers(value: object) -> tuple[float, ...]:
    return tuple(float(v) for v in (value if isinstance(value, (MultiValue, list)) else [value]))  # type: ignore[arg-type]
