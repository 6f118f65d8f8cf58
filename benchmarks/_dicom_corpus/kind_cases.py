"""What is no volume, or only looks like one: records, films, mosaics, objects of other kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.geometry_cases import alike
from benchmarks._dicom_corpus.series import (
    CT,
    MR,
    Form,
    Grid,
    ds,
    header,
    make_series,
    set_pixels,
    write,
    write_file,
)
from benchmarks._dicom_corpus.truth import VolumeTruth


def record(folder: Path, sop_class: str, modality: str, **attributes: object) -> Dataset:
    """A file of another kind, without pixels."""
    dataset = header(MR, modality, "study", 1, modality)
    for keyword in ("ImageType", "EchoTime", "RepetitionTime", "FlipAngle", "EchoNumbers"):
        dataset.pop(keyword, None)
    dataset.SOPClassUID, dataset.Modality = uid.UID(sop_class), modality
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    write_file(dataset, folder / f"{modality}.dcm")
    return dataset


@case("report", oracle=False)
def structured_report(folder: Path) -> None:
    record(folder, uid.BasicTextSRStorage, "SR", ValueType="CONTAINER", CompletionFlag="COMPLETE", ContentSequence=[])


@case("report", oracle=False)
def presentation_state(folder: Path) -> None:
    record(folder, uid.GrayscaleSoftcopyPresentationStateStorage, "PR", ContentLabel="X")


@case("report", oracle=False)
def key_object_note(folder: Path) -> None:
    record(folder, uid.KeyObjectSelectionDocumentStorage, "KO", ValueType="CONTAINER")


@case("report", oracle=False)
def encapsulated_pdf(folder: Path) -> None:
    record(folder, uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=b"%PDF-1.4 nothing", DocumentTitle="")


@case("report | no-geometry", oracle=False)
def spectroscopy(folder: Path) -> None:
    record(folder, uid.MRSpectroscopyStorage, "MR", Rows=1, Columns=1, SpectroscopyData=bytes(4096))


@case("report | no-geometry", oracle=False)
def raw_data(folder: Path) -> None:
    record(folder, uid.RawDataStorage, "MR", CreatorVersionUID="1.2.3")


@case("segmentation", oracle=False)
def structure_set(folder: Path) -> None:
    record(folder, uid.RTStructureSetStorage, "RTSTRUCT", StructureSetLabel="x", ROIContourSequence=[])


@case("segmentation", oracle=False)
def dose_grid(folder: Path) -> None:
    """An RTDOSE has a whole geometry of its own, but it is no scan."""
    _frames_file(folder, uid.RTDoseStorage, "RTDOSE", geometry=True)


@case("segmentation", oracle=False)
def segmentation(folder: Path) -> None:
    _frames_file(folder, uid.SegmentationStorage, "SEG", geometry=True)


@case("no-geometry", oracle=False)
def ultrasound_loop(folder: Path) -> None:
    _frames_file(folder, uid.UltrasoundMultiFrameImageStorage, "US", geometry=False)


@case("no-geometry", oracle=False)
def angiography_loop(folder: Path) -> None:
    _frames_file(folder, uid.XRayAngiographicImageStorage, "XA", geometry=False)


@case("no-geometry | no-position", oracle=False)
def nuclear_frames(folder: Path) -> None:
    _frames_file(folder, uid.NuclearMedicineImageStorage, "NM", geometry=False)


@case("film", oracle=False)
def secondary_capture_loop(folder: Path) -> None:
    _frames_file(folder, uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage, "OT", geometry=False)


def _frames_file(folder: Path, sop_class: str, modality: str, geometry: bool) -> None:
    dataset = record(folder, sop_class, modality, NumberOfFrames=5, FrameTime="40")
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    if geometry:
        dataset.PixelSpacing, dataset.GridFrameOffsetVector = ds(1, 1), ds(0, 2, 4, 6, 8)
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = ds(0, 0, 0), ds(1, 0, 0, 0, 1, 0)
    set_pixels(dataset, np.random.default_rng(0).integers(0, 4000, (5, 12, 16)), MR)
    write_file(dataset, folder / f"{modality}.dcm")


@case("no-geometry", oracle=False)
def chest_x_rays(folder: Path) -> None:
    series = make_series(Grid(slices=2)).set(
        SOPClassUID=uid.ComputedRadiographyImageStorage,
        Modality="CR",
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
    )
    write(series, folder)


@case("film", oracle=False)
def screenshots(folder: Path) -> None:
    series = make_series().set(
        SOPClassUID=uid.SecondaryCaptureImageStorage,
        Modality="OT",
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        ConversionType="WSD",
    )
    write(series, folder)


@case("volume | film")
def secondary_capture_with_geometry(folder: Path) -> VolumeTruth:
    """A workstation's reformatted volume, saved as screenshots that know where they lie."""
    series = make_series().set(SOPClassUID=uid.SecondaryCaptureImageStorage, ConversionType="WSD")
    write(alike(series, ImageType=["DERIVED", "SECONDARY"]), folder)
    return series.truth()


@case("refused | film | no-position", oracle=False)
def dose_screen_in_the_ct_series(folder: Path) -> None:
    """A CT series that is only its dose sheet: one 2D image of class CT."""
    series = make_series(Grid(slices=1), CT).set(ImagePositionPatient=None, ImageOrientationPatient=None)
    write(alike(series, ImageType=["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"]), folder)


@case("refused", oracle=False)
def mosaic(folder: Path) -> None:
    """Siemens: one file holds all slices side by side, its plane is the mosaic's and not a slice's."""
    series = make_series(Grid(columns=48, rows=36, slices=1))
    write(alike(series, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]), folder)


@case("refused", oracle=False)
def mosaics_over_time(folder: Path) -> None:
    """Several mosaics at the same place."""
    for n in range(4):
        series = make_series(Grid(columns=48, rows=36, slices=1), seed=n).set(
            AcquisitionNumber=n + 1, InstanceNumber=n + 1
        )
        write(alike(series, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]), folder / str(n))


@case("refused", oracle=False)
def mosaics_moving(folder: Path) -> None:
    """The scanner follows the head: mosaics that lie evenly spaced are no volume all the same."""
    series = make_series(Grid(columns=48, rows=36, slices=5, step_mm=0.5))
    series.set(AcquisitionNumber=list(range(1, 6)))
    write(alike(series, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "NORM", "MOSAIC"]), folder)


@case("volume, report, film, one-slice", oracle=False)
def a_study_with_everything(folder: Path) -> VolumeTruth:
    """One good CT among what a PACS sends along."""
    series = make_series(form=CT)
    write(series, folder / "1")
    structured_report(folder / "2")
    screen = make_series(Grid(slices=3), seed=5, series="screen").set(
        SOPClassUID=uid.SecondaryCaptureImageStorage,
        Modality="OT",
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        SeriesNumber=99,
    )
    write(screen, folder / "3")
    write(make_series(Grid(slices=1), seed=6, series="single").set(SeriesNumber=5), folder / "4")
    return series.truth()


@case("film | colour", oracle=False)
def colour_screenshots(folder: Path) -> None:
    series = make_series(Grid(slices=2)).set(
        SOPClassUID=uid.SecondaryCaptureImageStorage,
        Modality="OT",
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=bytes(16 * 12 * 3),
    )
    write(series, folder)


@case("volume, colour")
def colour_map_in_the_series(folder: Path) -> VolumeTruth:
    """A perfusion map in colour with the UID of the series it was made from."""
    series = make_series()
    write(series, folder)
    painted = make_series(seed=9)
    for dataset in painted.datasets:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = bytes(16 * 12 * 3)
    write(alike(painted, ImageType=["DERIVED", "SECONDARY", "M"]), folder / "map")
    return series.truth()


@case("volume")
def burned_in(folder: Path) -> VolumeTruth:
    series = make_series(form=CT).set(BurnedInAnnotation="YES")
    write(series, folder)
    return series.truth()


@case("volume", warns="loss")
def once_compressed_with_loss(folder: Path) -> VolumeTruth:
    series = make_series(form=CT).set(LossyImageCompression="01", LossyImageCompressionRatio="10")
    write(series, folder)
    return series.truth()


@case("volume | pixels | no-geometry | refused")
def float_pixels(folder: Path) -> VolumeTruth:
    """FloatPixelData, as in parametric maps, here in classic slices."""
    grid = Grid()
    series = make_series(grid, Form("MR", 16, 12))
    for k, dataset in enumerate(series.datasets):
        values = np.random.default_rng(k).normal(size=(12, 16)).astype(np.float32)
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        dataset.BitsAllocated = 32
        dataset.add_new("FloatPixelData", "OF", values.tobytes())
        series.planes[k].values[:] = values
    write(series, folder)
    return series.truth()
