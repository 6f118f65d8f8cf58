"""Every transfer syntax that can be written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.geometry_cases import OBLIQUE
from benchmarks._dicom_corpus.pixel_cases import stored_as
from benchmarks._dicom_corpus.series import (
    BIG_ENDIAN,
    CT,
    IMPLICIT,
    MR,
    Form,
    Grid,
    make_series,
    write,
)
from benchmarks._dicom_corpus.truth import VolumeTruth


@case("volume")
def implicit_vr(folder: Path) -> VolumeTruth:
    return stored_as(folder, CT, IMPLICIT)


@case("volume")
def explicit_big_endian(folder: Path) -> VolumeTruth:
    series = make_series(form=CT)
    for dataset in series.datasets:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
    write(series, folder, BIG_ENDIAN)
    return series.truth()


@case("volume", oracle=False)
def deflated(folder: Path) -> VolumeTruth:
    return stored_as(folder, MR, uid.DeflatedExplicitVRLittleEndian)


@case("volume")
def rle(folder: Path) -> VolumeTruth:
    return compressed(folder, uid.RLELossless, CT)


@case("volume")
def jpeg_ls(folder: Path) -> VolumeTruth:
    return compressed(folder, uid.JPEGLSLossless, MR)


@case("volume")
def jpeg_ls_signed(folder: Path) -> VolumeTruth:
    return compressed(folder, uid.JPEGLSLossless, Form("CT", 16, 16, True, 1.0, -24.0))


@case("volume")
def jpeg_2000(folder: Path) -> VolumeTruth:
    return compressed(folder, uid.JPEG2000Lossless, MR)


@case("volume")
def jpeg_2000_signed(folder: Path) -> VolumeTruth:
    return compressed(folder, uid.JPEG2000Lossless, CT)


def compressed(folder: Path, syntax: uid.UID, form: Form) -> VolumeTruth:
    # OpenJPEG's six resolutions need at least 32 pixels.
    series = make_series(Grid(columns=40, rows=36, slices=5, directions=OBLIQUE), form)
    write(series, folder)  # gives each its file meta information, which compressing needs
    for dataset in series.datasets:
        dataset.compress(syntax, generate_instance_uid=False)
    write(series, folder, syntax)
    return series.truth()


@case("volume")
def jpeg_lossless(folder: Path) -> VolumeTruth:
    return _through_gdcm(folder, "JPEGLosslessProcess14_1", MR)


@case("volume")
def jpeg_lossless_unsigned_16(folder: Path) -> VolumeTruth:
    return _through_gdcm(folder, "JPEGLosslessProcess14_1", Form("MR", 16, 16, False))


@case("volume")
def jpeg_lossless_signed(folder: Path) -> VolumeTruth:
    return _through_gdcm(folder, "JPEGLosslessProcess14_1", CT)


@case("volume")
def jpeg_lossless_any_predictor(folder: Path) -> VolumeTruth:
    return _through_gdcm(folder, "JPEGLosslessProcess14", MR)


def _through_gdcm(folder: Path, syntax: str, form: Form) -> VolumeTruth:
    """Written plain, then recoded by gdcm."""
    import gdcm

    series = make_series(form=form)
    for k, path in enumerate(write(series, folder)):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        if not reader.Read():
            raise RuntimeError(f"gdcm cannot read slice {k}")
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise RuntimeError(f"gdcm cannot write {syntax}")
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise RuntimeError(f"gdcm cannot write slice {k}")
    return series.truth()


@case("codec", oracle=False)
def unknown_transfer_syntax(folder: Path) -> None:
    """Said to be MPEG-4: no decoder for it makes a slice."""
    series = make_series()
    for dataset in series.datasets:
        dataset.PixelData = encapsulate([b"\x00\x00\x01\xb3" * 20])
        dataset["PixelData"].is_undefined_length = True
    write(series, folder, uid.MPEG4HP41)
