"""What belongs together: series that hold several volumes, and one volume whose headers differ from slice to slice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.geometry_cases import CORONAL, SAGITTAL, alike, plain_and
from benchmarks._dicom_corpus.series import CT, Grid, Series, ds, make_series, make_uid, write
from benchmarks._dicom_corpus.truth import VolumeTruth


def several(folder: Path, *variants: Mapping[str, object], grid: Grid | None = None) -> list[VolumeTruth]:
    """Volumes of one series on one grid that differ in pixels and in the attributes given, files interleaved."""
    parts = [make_series(grid or Grid(), seed=n).set(**given) for n, given in enumerate(variants)]
    for n, part in enumerate(parts):
        part.set(InstanceNumber=[k * len(parts) + n + 1 for k in range(len(part.datasets))])
    for k in range(len(parts[0].datasets)):
        write(Series([part.datasets[k] for part in parts], []), folder, pattern=f"{k:03d}_{{:02d}}.dcm")
    return [part.truth() for part in parts]


@case("volume x2")
def two_echoes(folder: Path) -> list[VolumeTruth]:
    return several(folder, {"EchoNumbers": 1, "EchoTime": "4.92"}, {"EchoNumbers": 2, "EchoTime": "7.38"})


@case("volume x2")
def two_echo_times_only(folder: Path) -> list[VolumeTruth]:
    """EchoNumbers is absent."""
    return several(folder, {"EchoNumbers": None, "EchoTime": "4.92"}, {"EchoNumbers": None, "EchoTime": "7.38"})


@case("volume x2")
def two_echo_numbers_only(folder: Path) -> list[VolumeTruth]:
    return several(folder, {"EchoNumbers": 1, "EchoTime": None}, {"EchoNumbers": 2, "EchoTime": None})


@case("volume x2", stacked=True)
def two_times(folder: Path) -> list[VolumeTruth]:
    times = [
        {"TemporalPositionIdentifier": t + 1, "NumberOfTemporalPositions": 2, "AcquisitionNumber": t + 1}
        for t in range(2)
    ]
    return several(folder, *times)


@case("volume x3 | duplicate")
def three_acquisition_numbers(folder: Path) -> list[VolumeTruth]:
    return several(folder, *({"AcquisitionNumber": t + 1} for t in range(3)))


@case("volume x3 | duplicate")
def three_acquisition_times(folder: Path) -> list[VolumeTruth]:
    return several(folder, *({"AcquisitionTime": f"10111{t}"} for t in range(3)))


@case("volume x2 | duplicate")
def two_trigger_times(folder: Path) -> list[VolumeTruth]:
    return several(folder, *({"TriggerTime": f"{40 * t}", "AcquisitionNumber": t + 1} for t in range(2)))


@case("volume x2 | duplicate")
def trigger_times_of_every_slice(folder: Path) -> list[VolumeTruth]:
    """Cardiac frames whose trigger time also drifts from slice to slice."""
    times = [{"TriggerTime": [f"{40 * t + 0.5 * k:g}" for k in range(9)]} for t in range(2)]
    return several(folder, *times)


@case("volume x2 | duplicate")
def two_content_times(folder: Path) -> list[VolumeTruth]:
    return several(folder, *({"ContentTime": f"10111{t}", "AcquisitionTime": None} for t in range(2)))


@case("volume x2 | duplicate")
def volumes_one_after_the_other(folder: Path) -> list[VolumeTruth]:
    """Only the instance numbers tell, and they leave no doubt: GE's functional series."""
    parts = [make_series(seed=n).set(InstanceNumber=[n * 9 + k + 1 for k in range(9)]) for n in range(2)]
    for n, part in enumerate(parts):
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("duplicate", oracle=False)
def volumes_with_shuffled_numbers(folder: Path) -> None:
    """Only the instance numbers differ, and they follow nothing."""
    numbers = [int(n) + 1 for n in np.random.default_rng(4).permutation(18)]
    for n in range(2):
        write(make_series(seed=n).set(InstanceNumber=numbers[9 * n : 9 * n + 9]), folder / str(n))


@case("volume x2")
def two_inversion_times(folder: Path) -> list[VolumeTruth]:
    return several(folder, *({"InversionTime": f"{t}"} for t in (900, 1200)))


@case("volume x4", stacked=True)
def diffusion(folder: Path) -> list[VolumeTruth]:
    """b = 0 and three directions, in the standard tags."""
    vectors = [None, (1.0, 0, 0), (0, 1.0, 0), (0.6, 0, 0.8)]
    parts = [make_series(seed=n) for n in range(4)]
    for n, (part, vector) in enumerate(zip(parts, vectors, strict=True)):
        for k, dataset in enumerate(part.datasets):
            dataset.DiffusionBValue = 1000.0 if vector else 0.0
            dataset.DiffusionDirectionality = "DIRECTIONAL" if vector else "NONE"
            dataset.InstanceNumber = n * 9 + k + 1
            dataset.AcquisitionNumber = n + 1
            if vector:
                dataset.DiffusionGradientOrientation = [float(v) for v in vector]
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("volume x3")
def b_values_without_directions(folder: Path) -> list[VolumeTruth]:
    """Trace images, all else equal."""
    return several(folder, *({"DiffusionBValue": float(b)} for b in (0, 500, 1000)))


@case("volume x3 | duplicate", oracle=False)
def the_same_b_value_again(folder: Path) -> list[VolumeTruth]:
    """Two averages at b = 0, told apart by the acquisition only."""
    return several(
        folder, *({"DiffusionBValue": float(b), "AcquisitionNumber": n} for n, b in enumerate((0, 0, 1000), 1))
    )


@case("volume x2")
def magnitude_and_phase(folder: Path) -> list[VolumeTruth]:
    parts = [make_series(seed=n) for n in range(2)]
    for letter, part in zip("MP", parts, strict=True):
        write(alike(part, ImageType=["ORIGINAL", "PRIMARY", letter, "ND"]), folder / letter)
    return [part.truth() for part in parts]


@case("volume x2 | duplicate", oracle=False)
def water_and_fat(folder: Path) -> list[VolumeTruth]:
    """The word that tells is the fourth of ImageType."""
    parts = [make_series(seed=n) for n in range(2)]
    for word, part in zip(("WATER", "FAT"), parts, strict=True):
        write(alike(part, ImageType=["DERIVED", "PRIMARY", "DIXON", word]), folder / word)
    return [part.truth() for part in parts]


@case("volume x2 | duplicate")
def original_and_filtered(folder: Path) -> list[VolumeTruth]:
    """Only ImageType's first value differs."""
    parts = [make_series(seed=n) for n in range(2)]
    for word, part in zip(("ORIGINAL", "DERIVED"), parts, strict=True):
        write(alike(part, ImageType=[word, "PRIMARY", "M"]), folder / word)
    return [part.truth() for part in parts]


@case("volume x2")
def two_orientations(folder: Path) -> list[VolumeTruth]:
    parts = [make_series(Grid(directions=d), seed=n) for n, d in enumerate((CORONAL, SAGITTAL))]
    for n, part in enumerate(parts):
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("volume x2")
def two_stations(folder: Path) -> list[VolumeTruth]:
    """Spine in two parts, five degrees apart."""
    turned = np.deg2rad(5)
    tipped = (np.array([0, np.cos(turned), np.sin(turned)]), np.array([0, np.sin(turned), -np.cos(turned)]))
    grids = Grid(directions=SAGITTAL), Grid(directions=tipped, origin_lps_mm=(-31.25, 17.5, -400.0))
    parts = [make_series(grid, seed=n) for n, grid in enumerate(grids)]
    for n, part in enumerate(parts):
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("volume x2")
def two_matrices(folder: Path) -> list[VolumeTruth]:
    grids = Grid(), Grid(columns=20, rows=10, origin_lps_mm=(-31.25, 17.5, 200.0))
    parts = [make_series(grid, seed=n) for n, grid in enumerate(grids)]
    for n, part in enumerate(parts):
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("volume x2", oracle=False)
def two_pixel_spacings(folder: Path) -> list[VolumeTruth]:
    """Same size, other field of view, at places that would fit between."""
    grids = Grid(), Grid(row_spacing_mm=0.9, origin_lps_mm=(-31.25, 17.5, -102.4 + 9 * 2.5))
    parts = [make_series(grid, seed=n) for n, grid in enumerate(grids)]
    for n, part in enumerate(parts):
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("mixed-patients", oracle=False)
def one_series_uid_two_patients(folder: Path) -> None:
    """Slices of two people in one volume: what one folder and a careless anonymiser make."""
    series = make_series()
    for k, dataset in enumerate(series.datasets):
        dataset.PatientID = "HOSP-48151623" if k % 2 else "HOSP-999"
    write(series, folder)


@case("mixed-patients", oracle=False)
def one_series_uid_two_whole_patients(folder: Path) -> None:
    for n in range(2):
        write(make_series(seed=n).set(PatientID=f"HOSP-{n}"), folder / str(n))


@case("volume x2")
def two_patients(folder: Path) -> list[VolumeTruth]:
    """Two series of two people with the same series number in one folder, files interleaved."""
    parts = [make_series(seed=n, series=f"of {n}").set(PatientID=f"HOSP-{n}") for n in range(2)]
    for n, part in enumerate(parts):
        part.set(StudyInstanceUID=make_uid("study", n))
        write(part, folder, pattern=f"{{:04d}}_{n}.dcm")
    return [part.truth() for part in parts]


@case("volume x2")
def two_series_one_number(folder: Path) -> list[VolumeTruth]:
    parts = [make_series(seed=n, series=f"of {n}") for n in range(2)]
    for n, part in enumerate(parts):
        write(part, folder, pattern=f"{{:04d}}_{n}.dcm")
    return [part.truth() for part in parts]


@case("volume")
def series_number_missing(folder: Path) -> VolumeTruth:
    return plain_and(folder, SeriesNumber=None)


@case("volume | refused")
def series_uid_missing(folder: Path) -> VolumeTruth:
    return plain_and(folder, SeriesInstanceUID=None)


@case("volume")
def patient_missing(folder: Path) -> VolumeTruth:
    return plain_and(folder, PatientID=None, PatientName=None, StudyInstanceUID=None, FrameOfReferenceUID=None)


@case("mixed-patients", oracle=False)
def one_series_uid_two_names(folder: Path) -> None:
    """No patient number at all, two names."""
    series = make_series().set(PatientID=None)
    for k, dataset in enumerate(series.datasets):
        dataset.PatientName = "Quinquaille^Zebedee" if k % 2 else "Zebedee^Somebodyelse"
    write(series, folder)


@case("volume")
def one_patient_several_spellings(folder: Path) -> VolumeTruth:
    names = ["Quinquaille^Zebedee", "QUINQUAILLE^ZEBEDEE", "Quinquaille^Zebedee^^^"]
    return plain_and(folder, PatientName=[names[k % 3] for k in range(9)])


@case("volume x2", oracle=False)
def two_frames_of_reference(folder: Path) -> list[VolumeTruth]:
    """The patient was moved in between: positions of one cannot continue those of the other."""
    grids = Grid(slices=5), Grid(slices=4, origin_lps_mm=(-31.25, 17.5, -102.4 + 5 * 2.5))
    parts = [make_series(grid, seed=n).set(FrameOfReferenceUID=make_uid("frame", n)) for n, grid in enumerate(grids)]
    for n, part in enumerate(parts):
        write(part, folder / str(n))
    return [part.truth() for part in parts]


@case("volume")
def frame_of_reference_of_every_slice(folder: Path) -> VolumeTruth:
    """What an anonymiser leaves that replaces each UID by a random one."""
    return plain_and(folder, FrameOfReferenceUID=[make_uid("frame", k) for k in range(9)])


@case("volume x2 | duplicate")
def one_series_uid_two_studies(folder: Path) -> list[VolumeTruth]:
    return several(folder, *({"StudyInstanceUID": make_uid("study", t), "StudyDate": f"2025010{t}"} for t in (1, 2)))


@case("volume, gap", oracle=False)
def two_times_one_incomplete(folder: Path) -> VolumeTruth:
    parts = [make_series(seed=n).set(TemporalPositionIdentifier=n + 1) for n in range(2)]
    write(parts[0], folder / "0")
    write(parts[1].without(4), folder / "1")
    return parts[0].truth()


@case("volume x2 | duplicate")
def acquisition_times_over_midnight(folder: Path) -> list[VolumeTruth]:
    """Two volumes, slice by slice, one second a slice; the day changes within the first."""
    times = [[(86395 + 9 * t + k) % 86400 for k in range(9)] for t in range(2)]
    return several(
        folder,
        *(
            {
                "AcquisitionTime": [f"{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}" for s in one],
                "AcquisitionDate": ["20250102" if s > 80000 else "20250103" for s in one],
            }
            for one in times
        ),
    )


@case("volume x2 | duplicate")
def acquisition_times_over_midnight_undated(folder: Path) -> list[VolumeTruth]:
    times = [[(86395 + 9 * t + k) % 86400 for k in range(9)] for t in range(2)]
    return several(
        folder,
        *(
            {
                "AcquisitionTime": [f"{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}" for s in one],
                "AcquisitionDate": None,
            }
            for one in times
        ),
    )


# One volume, whatever the headers say -----------------------------------------------------------------------------


@case("volume")
def acquisition_number_of_every_slice(folder: Path) -> VolumeTruth:
    return plain_and(folder, AcquisitionNumber=list(range(1, 10)))


@case("volume")
def acquisition_number_in_blocks(folder: Path) -> VolumeTruth:
    """A CT in several breath holds."""
    series = make_series(form=CT).set(AcquisitionNumber=[1, 1, 1, 2, 2, 2, 3, 3, 3])
    write(series, folder)
    return series.truth()


@case("volume")
def acquisition_times_vary(folder: Path) -> VolumeTruth:
    times = [f"1011{10 + 2 * k}.5" for k in range(9)]
    return plain_and(folder, AcquisitionTime=times, ContentTime=times)


@case("volume")
def trigger_time_of_every_slice(folder: Path) -> VolumeTruth:
    return plain_and(folder, TriggerTime=[f"{37.5 * k:g}" for k in range(9)])


@case("volume")
def temporal_position_of_every_slice(folder: Path) -> VolumeTruth:
    return plain_and(folder, TemporalPositionIdentifier=1, NumberOfTemporalPositions=1)


@case("volume")
def echo_time_printed_differently(folder: Path) -> VolumeTruth:
    return plain_and(folder, EchoTime=["4.76" if k % 2 else "4.7600002" for k in range(9)])


@case("volume")
def window_and_tube_current_vary(folder: Path) -> VolumeTruth:
    series = make_series(form=CT)
    for k, dataset in enumerate(series.datasets):
        dataset.WindowCenter, dataset.WindowWidth = ds(40 + k, 400 - k)
        dataset.XRayTubeCurrent, dataset.Exposure = 100 + 7 * k, 50 + k
    write(series, folder)
    return series.truth()


@case("volume")
def image_type_in_one_slice_longer(folder: Path) -> VolumeTruth:
    """A word more on some slices, as exports through a PACS leave it."""
    series = make_series(form=CT)
    for k, dataset in enumerate(series.datasets):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] + (["CT_SOM5 SPI"] if k % 2 else [])
    write(series, folder)
    return series.truth()


@case("volume")
def sop_class_and_syntax_vary(folder: Path) -> VolumeTruth:
    """Half of the files implicit VR, half explicit."""
    series = make_series()
    for parity, syntax in enumerate(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")):
        write(Series(series.datasets[parity::2], []), folder / str(parity), syntax)
    return series.truth()
