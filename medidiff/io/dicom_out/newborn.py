"""The part of an image that has no DICOM source: everything the standard demands, empty where nobody knows."""

from __future__ import annotations

from pydicom.dataset import Dataset

from medidiff.io.dicom_out.attributes import PRESENT, PRESENT_OF
from medidiff.io.dicom_out.copying import set_laterality

_TYPE_VALUE_3 = {"CT": "AXIAL", "MR": "OTHER"}


def start_image(modality: str, body_part: str = "") -> Dataset:
    """An image DERIVED\\SECONDARY without patient, dates or scanner.

    Args:
        modality: "CT" or "MR".
        body_part: BodyPartExamined; "" leaves it out.
    """
    image = Dataset()
    image.ImageType = ["DERIVED", "SECONDARY", _TYPE_VALUE_3[modality]]
    for keyword in (*PRESENT, *PRESENT_OF[modality]):
        setattr(image, keyword, "")
    image.Manufacturer, image.StudyID = "medidiff", "1"
    if body_part:
        image.BodyPartExamined = body_part
    set_laterality(image)
    if modality == "MR":
        image.ScanningSequence, image.SequenceVariant = "RM", "NONE"
    image.BurnedInAnnotation, image.LossyImageCompression = "NO", "00"
    return image
