"""A derived series beside its source: one image a slice, of the source's kind, with its patient and its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

import medidiff
from medidiff.io.dicom.model import Candidate
from medidiff.io.dicom_out.attributes import COPIED, IMAGE_TYPES
from medidiff.io.dicom_out.copying import (
    copy_attributes,
    copy_geometry,
    derived_image_type,
    set_diffusion,
    set_lossy,
    set_thickness,
    text_of,
)
from medidiff.io.dicom_out.deidentify import (
    check_deidentified,
    copied_deidentified,
    identifier_pattern,
    identifiers_of,
    mark_deidentified,
)
from medidiff.io.dicom_out.encode import Scale, choose_scale
from medidiff.io.dicom_out.grid import Layout, lay_out_as_source
from medidiff.io.dicom_out.headers import plane_headers
from medidiff.io.dicom_out.image import (
    PROCESSING,
    SeriesTexts,
    check_modality,
    content_hash,
    derivation_text,
    describe,
    fill_image,
)
from medidiff.io.dicom_out.records import Derivation
from medidiff.io.dicom_out.references import set_sources
from medidiff.io.dicom_out.uids import canonical, derived_uid
from medidiff.io.dicom_out.window import Window, source_window, window_for
from medidiff.io.dicom_out.writing import write_series
from medidiff.volume import Volume


@dataclass(frozen=True, eq=False)
class _Job:
    source: Candidate
    derivation: Derivation
    layout: Layout
    headers: list[Dataset]
    texts: SeriesTexts
    fallback: Window
    limits: tuple[float, float]
    uid: Callable[[str], str]
    patient: str
    identifiers: re.Pattern[str] | None

    @property
    def generated(self) -> bool:
        """Whether some image of the series may hold voxels that nobody measured."""
        stacking = self.source.stacking
        return self.derivation.generated is not None or (stacking is not None and bool(stacking.missing))


def write_derived(volume: Volume, source: Candidate, folder: Path, derivation: Derivation) -> list[Path]:
    """Write a volume as a derived series of the scan it was made from, one CT or MR image a slice.

    On the source's grid (also with axes flipped or permuted on the way through NIfTI) each slice keeps the source's
    place, digit by digit, and names its source image. On another grid in the same space the frame of reference is kept
    and each slice names the planes it lies between. What was generated says SyntheticData YES and, where that is the
    whole slice, names no source and no thickness. Source, settings, prior and the values written decide every UID, and
    no clock is read: a rerun writes the same bytes, and other values never share a UID.

    The patient's identity stays, so that a PACS files the series beside its source, unless `derivation.deidentify`.

    Args:
        volume: In the source's unit.
        source: Candidate with a stacking; its files are opened again for what is copied from them.
        folder: Where 00001.dcm, 00002.dcm, ... will lie; made if it is missing. Files of these names are overwritten.
        derivation: What was done.

    Returns:
        The files, in slice order.

    Raises:
        UsageError: The source is neither CT nor MR.
        GeometryError: The grid is sheared, or lies outside the source.
        InputError: A file of the source can no longer be read.
        OutputError: The values do not fit 16 bits, the folder cannot be written, or identity would have survived.
    """
    modality = check_modality(source.series.modality)
    layout = lay_out_as_source(volume, source, derivation.generated)
    forms = ((p.slope, p.intercept, p.form.signed) for p in source.planes)
    scale = choose_scale(layout.data, modality, derivation.noise_std, forms)
    patient = _pseudonym(source, derivation) if derivation.deidentify else ""
    done = derivation_text(derivation.what, derivation.prior_name, derivation.prior_hash)
    own_words = {patient, describe(modality, derivation.suffix), done}  # which a source de-identified here says too
    headers, identifiers = _read_headers(source, modality, own_words, derivation.deidentify)
    uid = _uid_map(derivation)
    series = source.series
    number = _series_number(series.number, derivation)
    original = modality if derivation.deidentify else text_of(headers[0], "SeriesDescription")
    texts = SeriesTexts(
        modality=modality,
        study_uid=uid(series.study_uid or derived_uid("study", series.series_uid)),
        series_uid=uid(_series_uid(source, layout, derivation, scale, number)),
        frame_of_reference_uid=uid(
            series.frame_of_reference_uid or derived_uid("frame of reference", series.series_uid)
        ),
        number=number,
        description=describe(original, derivation.suffix),
        derivation=done,
        equipment=PROCESSING,
        scale=scale,
    )
    limits = float(layout.data.min()), float(layout.data.max())
    fallback = window_for(layout.data, modality)
    job = _Job(source, derivation, layout, headers, texts, fallback, limits, uid, patient, identifiers)
    check = partial(check_deidentified, identifiers=identifiers) if identifiers is not None else None
    return write_series(folder, _images(job), check)


def _images(job: _Job) -> Iterator[Dataset]:
    layout, modality = job.layout, job.texts.modality
    for k in range(layout.slices):
        sources = layout.sources[k]
        some, whole = layout.is_generated(k)
        whole = whole or not sources
        nearest = job.source.planes[layout.nearest[k]]
        flat = job.headers[layout.nearest[k]]
        image = Dataset()
        if job.identifiers is None:
            copy_attributes(image, flat, COPIED[modality], modality)
        else:
            copy_attributes(image, copied_deidentified(flat, modality, job.identifiers), COPIED[modality], modality)
            image.PatientName = image.PatientID = job.patient
            mark_deidentified(image)
        if layout.on_source and sources:
            copy_geometry(image, flat, nearest)
        elif "GantryDetectorTilt" in image:
            del image.GantryDetectorTilt  # of the source's slices, not of these
        if whole or len(sources) == 1:  # else it lies between slices of the source: a new cut, as thick as its step
            set_thickness(image, None if whole else nearest.thickness_mm)
        image.ImageType = derived_image_type(flat, modality, None if job.identifiers is None else IMAGE_TYPES)
        image.PhotometricInterpretation = nearest.form.photometric
        image.BurnedInAnnotation = "YES" if job.source.series.burned_in == "YES" else "NO"
        set_diffusion(image, nearest.facts)
        set_lossy(image, job.source.series.lossy)
        if job.generated:
            image.SyntheticData = "YES" if some or whole else "NO"
        texts = job.texts.of_slice(some, whole)
        fill_image(image, texts, layout, k, job.uid(derived_uid("image", job.texts.series_uid, str(k))))
        set_sources(image, [] if whole else [job.source.planes[i] for i in sources], job.uid, layout.on_source)
        window = source_window(flat)
        (window if window is not None and window.shows(*job.limits) else job.fallback).write(image)
        yield image


def _read_headers(
    source: Candidate, modality: str, own_words: set[str], deidentify: bool
) -> tuple[list[Dataset], re.Pattern[str] | None]:
    flats, known = [], set()
    last = None
    for flat, header in plane_headers(source, modality, whole=deidentify):
        flats.append(flat)
        if deidentify and header is not last:
            known |= identifiers_of([header])
            last = header
    if not deidentify:
        return flats, None
    series = source.series
    known |= {t for t in (series.patient_id, series.series_uid, series.study_uid, *series.patient_names) if len(t) > 2}
    return flats, identifier_pattern(known - own_words)


def _series_uid(source: Candidate, layout: Layout, derivation: Derivation, scale: Scale, number: int) -> str:
    """From the source's images, what was done to them, and what came out: another machine may round another way."""
    images = "|".join(f"{p.sop_instance}:{p.frame}" for p in source.planes)
    return derived_uid(
        "series", source.series.series_uid, source.id, images, derivation.prior_hash, canonical(derivation.settings),
        derivation.what, derivation.suffix, medidiff.__version__, content_hash(layout, scale), str(number),
    )  # fmt: skip


def _uid_map(derivation: Derivation) -> Callable[[str], str]:
    if not derivation.deidentify:
        return lambda uid: uid
    if derivation.keyed_uid is not None:
        return derivation.keyed_uid
    from medidiff.io.identity.pseudonym import keyed_uid

    return keyed_uid


def _pseudonym(source: Candidate, derivation: Derivation) -> str:
    make = derivation.pseudonym
    if make is None:
        from medidiff.io.identity.pseudonym import pseudonym as make
    return make(source.series.patient_id, issuer=source.series.issuer, study_uid=source.series.study_uid)


def _series_number(source: int | None, derivation: Derivation) -> int:
    """A number that the study does not have yet: source * 100 + 1 or the next free one; an IS holds 2^31 - 1."""
    if derivation.series_number is not None:
        return derivation.series_number
    number = abs(source or 0) * 100 + 1
    if number > 2**31 - 1000:
        number = 9001
    while number in derivation.taken_numbers or number == source:
        number += 1
    return number
