"""A synthetic scan as a study of its own, of a patient who does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from medidiff.io.dicom_out.encode import choose_scale
from medidiff.io.dicom_out.grid import Layout, lay_out_for_display
from medidiff.io.dicom_out.image import SYNTHESIZING, SeriesTexts, check_modality, derivation_text, fill_image
from medidiff.io.dicom_out.newborn import start_image
from medidiff.io.dicom_out.records import Synthesis
from medidiff.io.dicom_out.uids import canonical, derived_uid
from medidiff.io.dicom_out.window import window_for
from medidiff.io.dicom_out.writing import write_series
from medidiff.volume import Volume


def write_synthetic(volume: Volume, folder: Path, synthesis: Synthesis) -> list[Path]:
    """Write a sampled volume, one image a slice: DERIVED\\SECONDARY, SyntheticData YES, no source image.

    Study, series, frame of reference and images get UIDs of prior, settings, seed and index.

    Args:
        volume: Modality "MR" or "CT"; its third axis becomes the slices.
        folder: Where; made if it is missing.
        synthesis: How it was made.

    Returns:
        The files, in slice order.

    Raises:
        UsageError: Another modality.
        GeometryError: The grid is sheared.
        OutputError: The values do not fit 16 bits, or the folder cannot be written.
    """
    modality = check_modality(volume.modality)
    layout = lay_out_for_display(volume)
    made = (synthesis.prior_hash, str(synthesis.seed), str(synthesis.index), canonical(synthesis.settings), modality)
    texts = SeriesTexts(
        modality=modality,
        study_uid=derived_uid("synthetic study", *made),
        series_uid=derived_uid("synthetic series", *made),
        frame_of_reference_uid=derived_uid("synthetic frame of reference", *made),
        number=1,
        description=f"Synthetic {modality} [research]",
        derivation=derivation_text(
            f"Sampled from {synthesis.prior_name or 'a diffusion prior'}, seed {synthesis.seed}, no patient.",
            synthesis.prior_name,
            synthesis.prior_hash,
        ),
        equipment=SYNTHESIZING,
        scale=choose_scale(layout.data, modality, None),
    )
    return write_series(folder, _images(layout, texts, synthesis))


def _images(layout: Layout, texts: SeriesTexts, synthesis: Synthesis) -> Iterator[Dataset]:
    number = f"{synthesis.index + 1:03d}"
    window = window_for(layout.data, texts.modality)
    for k in range(layout.slices):
        image = start_image(texts.modality, synthesis.body_part)
        image.PatientName, image.PatientID = f"SYNTHETIC^{number}", f"SYNTH-{number}"
        image.SyntheticData, image.PatientPosition = "YES", "HFS"
        fill_image(image, texts, layout, k, derived_uid("image", texts.series_uid, str(k)))
        window.write(image)
        yield image
