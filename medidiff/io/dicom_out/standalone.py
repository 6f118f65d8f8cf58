"""A scan without DICOM of its own (NIfTI) as a new study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset

import medidiff
from medidiff.io.dicom_out.encode import choose_scale
from medidiff.io.dicom_out.grid import Layout, lay_out_for_display
from medidiff.io.dicom_out.image import (
    PROCESSING,
    SeriesTexts,
    check_modality,
    content_hash,
    derivation_text,
    describe,
    fill_image,
)
from medidiff.io.dicom_out.newborn import start_image
from medidiff.io.dicom_out.records import Standalone
from medidiff.io.dicom_out.uids import canonical, derived_uid
from medidiff.io.dicom_out.window import window_for
from medidiff.io.dicom_out.writing import write_series
from medidiff.volume import Volume


def write_standalone(volume: Volume, folder: Path, origin: Standalone) -> list[Path]:
    """Write a volume that came from no DICOM series, one image a slice: DERIVED\\SECONDARY, a study of its own.

    Study and frame of reference get UIDs of the patient's pseudonym and the scan's hash, so that several results of
    one scan lie in one study; series and images also of how the volume was made.

    Args:
        volume: Its third axis becomes the slices.
        folder: Where; made if it is missing.
        origin: Whose scan, which modality, how it was made.

    Returns:
        The files, in slice order.

    Raises:
        UsageError: Neither MR nor CT.
        GeometryError: The grid is sheared.
        OutputError: The values do not fit 16 bits, or the folder cannot be written.
    """
    modality, done = check_modality(origin.modality), origin.derivation
    layout = lay_out_for_display(volume, done.generated)
    scan = (origin.patient, origin.source_hash, modality)
    scale = choose_scale(layout.data, modality, done.noise_std)
    number = 1 if done.series_number is None else done.series_number
    texts = SeriesTexts(
        modality=modality,
        study_uid=derived_uid("study", *scan),
        series_uid=derived_uid(
            "series",
            *scan,
            done.prior_hash,
            canonical(done.settings),
            done.what,
            done.suffix,
            medidiff.__version__,
            content_hash(layout, scale),
            str(number),
        ),
        frame_of_reference_uid=derived_uid("frame of reference", *scan),
        number=number,
        description=describe(modality, done.suffix),
        derivation=derivation_text(done.what, done.prior_name, done.prior_hash),
        equipment=PROCESSING,
        scale=scale,
    )
    return write_series(folder, _images(layout, texts, origin))


def _images(layout: Layout, texts: SeriesTexts, origin: Standalone) -> Iterator[Dataset]:
    window = window_for(layout.data, texts.modality)
    inserted = any(layout.is_generated(k)[1] for k in range(layout.slices))
    for k in range(layout.slices):
        image = start_image(texts.modality, origin.body_part)
        image.PatientName = image.PatientID = origin.patient
        some, whole = layout.is_generated(k)
        if layout.generated is not None:
            image.SyntheticData = "YES" if some else "NO"
        if inserted:
            image.SliceThickness = ""  # slices were put between others: their distance is nobody's thickness
        fill_image(image, texts.of_slice(some, whole), layout, k, derived_uid("image", texts.series_uid, str(k)))
        window.write(image)
        yield image
