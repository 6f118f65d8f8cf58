"""One single-frame CT or MR image: what every object that medidiff writes says, whatever it was made from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

import medidiff
from medidiff.errors import UsageError
from medidiff.io.dicom_out.encode import Scale, decimal_string
from medidiff.io.dicom_out.grid import Layout
from medidiff.io.dicom_out.uids import IMPLEMENTATION_UID
from medidiff.io.hashing import hash_array

SOP_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage}
PROCESSING = ("109102", "DCM", "Processing Equipment")
SYNTHESIZING = ("109100", "DCM", "Synthesizing Equipment")
SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
RESAMPLING = ("113085", "DCM", "Spatial resampling")
_LO, _ST = 64, 1024


def content_hash(layout: Layout, scale: Scale) -> str:
    """Hash of the values, how they are stored, where they lie and what of them was generated.

    It goes into the UIDs: the same request on another device may round another way, and gives other objects then.
    """
    generated = "" if layout.generated is None else hash_array(np.ascontiguousarray(layout.generated))
    return "|".join((hash_array(layout.data), repr(scale), hash_array(layout.affine_lps), generated))


@dataclass(frozen=True)
class SeriesTexts:
    """What all images of a written series share.

    Args:
        modality: "CT" or "MR".
        study_uid, series_uid, frame_of_reference_uid: UIDs.
        number: Series number.
        description: Series description, complete.
        derivation: What was done, for DerivationDescription.
        equipment: Purpose code of the contributing equipment.
        scale: How the values are stored.
    """

    modality: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    number: int
    description: str
    derivation: str
    equipment: tuple[str, str, str]
    scale: Scale

    def of_slice(self, some: bool, whole: bool) -> SeriesTexts:
        """The texts of an image of which some, or the whole, was not measured: said first, since long texts are cut."""
        if not (some or whole):
            return self
        said = "This slice was" if whole else "Parts of this slice were"
        return replace(self, derivation=f"{said} generated, not measured. {self.derivation}")


def check_modality(modality: str) -> str:
    """The modality, if images of it can be written.

    Raises:
        UsageError: Neither CT nor MR.
    """
    if modality not in SOP_CLASSES:
        raise UsageError(
            f"--format dicom: scans of modality {modality or 'unknown'} are not written as DICOM: CT and MR are. "
            "Use --format nifti."
        )
    return modality


def fill_image(image: Dataset, texts: SeriesTexts, layout: Layout, k: int, sop_uid: str) -> None:
    """Write everything that follows from the volume, the series and the slice's number.

    Args:
        image: Dataset that may hold copied attributes already.
        texts: Of the series.
        layout: The volume as it lies.
        k: Slice, from 0.
        sop_uid: SOPInstanceUID.
    """
    image.SOPClassUID, image.SOPInstanceUID = SOP_CLASSES[texts.modality], sop_uid
    image.Modality = texts.modality
    image.StudyInstanceUID, image.SeriesInstanceUID = texts.study_uid, texts.series_uid
    image.FrameOfReferenceUID = texts.frame_of_reference_uid
    image.SeriesNumber, image.InstanceNumber = str(texts.number), str(k + 1)
    image.SeriesDescription = texts.description
    image.DerivationDescription = texts.derivation[:_ST]
    image.ContentQualification = "RESEARCH"
    image.ContributingEquipmentSequence = Sequence([_equipment(texts.equipment)])
    _fill_plane(image, layout, k)
    _fill_pixels(image, texts, layout.data[:, :, k])
    image.file_meta = _file_meta(image)


def code(value: tuple[str, str, str]) -> Dataset:
    """A code sequence item: value, scheme, meaning."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value
    return item


def describe(original: str, suffix: str) -> str:
    """A series description of at most 64 characters that ends with the suffix, whole."""
    kept = original[: max(0, _LO - len(suffix) - 1)].strip()
    return f"{kept} {suffix}".strip()[:_LO]


def derivation_text(what: str, prior_name: str, prior_hash: str) -> str:
    """What was done, by which prior and which medidiff; plain ASCII, which every character set holds."""
    prior = f" Prior {prior_name} (SHA-256 {prior_hash})." if prior_hash else ""
    text = f"{what.rstrip('. ')}.{prior} medidiff {medidiff.__version__}, research use only."
    return text.encode("ascii", "replace").decode("ascii")


def _equipment(purpose: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([code(purpose)])
    item.Manufacturer, item.ManufacturerModelName = "medidiff", "medidiff"
    item.SoftwareVersions = medidiff.__version__
    return item


def _fill_plane(image: Dataset, layout: Layout, k: int) -> None:
    """Place of the slice; what the source said in its own words, and is still true, stays."""
    columns_mm, rows_mm, slices_mm = layout.spacing_mm
    if "PixelSpacing" not in image:
        image.PixelSpacing = [decimal_string(rows_mm), decimal_string(columns_mm)]
    if "ImageOrientationPatient" not in image:
        image.ImageOrientationPatient = [decimal_string(v) for v in layout.orientation()]
    if "ImagePositionPatient" not in image:
        image.ImagePositionPatient = [decimal_string(v) for v in layout.position_mm(k)]
    if "SliceThickness" not in image:
        image.SliceThickness = decimal_string(round(slices_mm, 6))
    if image.Modality == "MR":  # CT Image Storage has no such attribute
        image.SpacingBetweenSlices = decimal_string(round(slices_mm, 6))


def _fill_pixels(image: Dataset, texts: SeriesTexts, values: np.ndarray) -> None:
    scale = texts.scale
    image.SamplesPerPixel = 1
    if "PhotometricInterpretation" not in image:
        image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = values.shape[1], values.shape[0]
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = int(scale.signed)
    if texts.modality == "CT" or (scale.slope, scale.intercept) != ("1", "0"):
        image.RescaleSlope, image.RescaleIntercept = scale.slope, scale.intercept
        image.RescaleType = "HU" if texts.modality == "CT" else "US"
    image.add_new("PixelData", "OW", np.ascontiguousarray(scale.levels(values.T).astype(scale.dtype)).tobytes())


def _file_meta(image: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = f"MEDIDIFF_{medidiff.__version__}"[:16]
    return meta
