"""Enhanced multi-frame files: geometry and timing in functional groups, decoys where classic files have theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.geometry_cases import CORONAL, OBLIQUE
from benchmarks._dicom_corpus.series import (
    CT,
    EXPLICIT,
    MR,
    Form,
    Grid,
    Series,
    ds,
    header,
    make_uid,
    plane_truth,
    random_stored,
    set_pixels,
    write_file,
)
from benchmarks._dicom_corpus.truth import VolumeTruth

ENHANCED = {"CT": uid.EnhancedCTImageStorage, "MR": uid.EnhancedMRImageStorage}
TIME, ECHO = (0x00209128, 0x00209111), (0x00189082, 0x00189114)
B_VALUE, KIND = (0x00189087, 0x00189117), (0x00089208, 0x00189226)
Groups = Callable[[int, int, Dataset], None]


def group(**attributes: object) -> list[Dataset]:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return [item]


def make_enhanced(
    grids: list[Grid],
    form: Form = MR,
    *,
    seed: int = 0,
    groups: Groups | None = None,
    shuffle: bool = False,
    slopes: Callable[[int, int], tuple[float, float]] | None = None,
    shared: tuple[str, ...] = ("measures", "orientation"),
    apart: tuple[int, int] = TIME,
) -> tuple[Dataset, list[Series]]:
    """One file of several volumes.

    Args:
        grids: One a volume, all of one matrix.
        form: Number type.
        seed: Of the pixels.
        groups: Called with volume, slice and the frame's item, to say what sets the volume apart.
        shuffle: Frames in random order.
        slopes: Slope and intercept of a volume's slice.
        shared: What stands in the shared groups, and not in each frame's own.
        apart: Tag of what sets the volumes apart, and of its functional group.

    Returns:
        The dataset, and the truth of each volume.
    """
    volumes = [Series([], []) for _ in grids]
    frames = []
    for v, grid in enumerate(grids):
        stored = random_stored(grid, form, 100 * seed + v)
        for k in range(grid.slices):
            slope, intercept = slopes(v, k) if slopes else (1.0, 0.0)
            item = _frame_item(grid, v, k, slope, intercept, shared)
            if groups:
                groups(v, k, item)
            frames.append((item, stored[k]))
            volumes[v].planes.append(plane_truth(grid, grid.position(k), stored[k] * slope + intercept))
    order = np.random.default_rng(2).permutation(len(frames)) if shuffle else range(len(frames))
    frames = [frames[n] for n in order]
    dataset = header(form, f"enhanced {seed}", "study", 1, f"enhanced {seed}")
    for keyword in ("EchoTime", "RepetitionTime", "FlipAngle", "EchoNumbers", "KVP", "AcquisitionNumber"):
        dataset.pop(keyword, None)
    dataset.SOPClassUID = ENHANCED[form.modality]
    dataset.NumberOfFrames = len(frames)
    set_pixels(dataset, np.stack([pixels for _, pixels in frames]), form)
    dataset.SharedFunctionalGroupsSequence = [_shared_item(grids[0], shared)]
    dataset.PerFrameFunctionalGroupsSequence = [item for item, _ in frames]
    dataset.DimensionOrganizationSequence = group(DimensionOrganizationUID=make_uid("dimensions", seed))
    # Stack, slice in it, and what sets volumes apart.
    dataset.DimensionIndexSequence = [
        group(DimensionIndexPointer=tag, FunctionalGroupPointer=where, DimensionOrganizationUID=make_uid("dimensions"))[
            0
        ]
        for tag, where in ((0x00209056, 0x00209111), (0x00209057, 0x00209111), apart)
    ]
    return dataset, volumes


def _frame_item(grid: Grid, v: int, k: int, slope: float, intercept: float, shared: tuple[str, ...]) -> Dataset:
    item = Dataset()
    item.FrameContentSequence = group(
        StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1, v + 1], FrameAcquisitionNumber=1
    )
    item.PlanePositionSequence = group(ImagePositionPatient=ds(*grid.position(k)))
    item.PixelValueTransformationSequence = group(
        RescaleSlope=ds(slope)[0], RescaleIntercept=ds(intercept)[0], RescaleType="US"
    )
    if "measures" not in shared:
        item.PixelMeasuresSequence = _measures(grid)
    if "orientation" not in shared:
        item.PlaneOrientationSequence = _orientation(grid)
    return item


def _shared_item(grid: Grid, shared: tuple[str, ...]) -> Dataset:
    item = Dataset()
    if "measures" in shared:
        item.PixelMeasuresSequence = _measures(grid)
    if "orientation" in shared:
        item.PlaneOrientationSequence = _orientation(grid)
    return item


def _measures(grid: Grid) -> list[Dataset]:
    return group(
        PixelSpacing=ds(grid.row_spacing_mm, grid.column_spacing_mm), SliceThickness=ds(abs(grid.step_mm) * 0.8)[0]
    )


def _orientation(grid: Grid) -> list[Dataset]:
    return group(ImageOrientationPatient=ds(*grid.directions[0], *grid.directions[1]))


def one_enhanced(path: Path, **options: object) -> VolumeTruth:
    """A file with one volume."""
    dataset, (volume,) = make_enhanced([Grid(directions=OBLIQUE)], **options)  # type: ignore[arg-type]
    write_file(dataset, path)
    return volume.truth()


@case("volume")
def enhanced_ct(folder: Path) -> VolumeTruth:
    return one_enhanced(folder / "1.dcm", form=CT)


@case("volume")
def enhanced_mr(folder: Path) -> VolumeTruth:
    return one_enhanced(folder / "1.dcm")


@case("volume")
def enhanced_frames_shuffled(folder: Path) -> VolumeTruth:
    return one_enhanced(folder / "1.dcm", shuffle=True)


@case("volume")
def enhanced_nothing_shared(folder: Path) -> VolumeTruth:
    return one_enhanced(folder / "1.dcm", shared=())


@case("volume")
def enhanced_slope_of_every_frame(folder: Path) -> VolumeTruth:
    return one_enhanced(folder / "1.dcm", slopes=lambda v, k: (0.5 + k, 10.0 * k - 3))


@case("volume", oracle=False)
def enhanced_with_decoys(folder: Path) -> VolumeTruth:
    """Top-level geometry and slope that contradict the functional groups, which alone count."""
    dataset, (volume,) = make_enhanced([Grid(directions=OBLIQUE)], slopes=lambda v, k: (2.0, 5.0))
    dataset.PixelSpacing, dataset.SliceThickness = ds(9, 9), "9"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = ds(1, 2, 3), ds(0, 1, 0, 0, 0, 1)
    dataset.RescaleSlope, dataset.RescaleIntercept = ds(17, -1000)
    write_file(dataset, folder / "1.dcm")
    return volume.truth()


@case("volume")
def enhanced_shared_slope(folder: Path) -> VolumeTruth:
    """The slope stands in the shared groups only."""
    dataset, (volume,) = make_enhanced([Grid(directions=OBLIQUE)], slopes=lambda v, k: (2.5, -7.0))
    dataset.SharedFunctionalGroupsSequence[
        0
    ].PixelValueTransformationSequence = dataset.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence
    for item in dataset.PerFrameFunctionalGroupsSequence:
        del item.PixelValueTransformationSequence
    write_file(dataset, folder / "1.dcm")
    return volume.truth()


@case("volume x2")
def enhanced_two_echoes(folder: Path) -> list[VolumeTruth]:
    def echo(v: int, k: int, item: Dataset) -> None:
        item.MREchoSequence = group(EffectiveEchoTime=[4.9, 9.8][v])

    return _several(folder, 2, echo, apart=ECHO)


@case("volume x3", stacked=True)
def enhanced_three_times(folder: Path) -> list[VolumeTruth]:
    def time(v: int, k: int, item: Dataset) -> None:
        item.FrameContentSequence[0].TemporalPositionIndex = v + 1

    return _several(folder, 3, time, shuffle=True)


@case("volume x4", stacked=True)
def enhanced_diffusion(folder: Path) -> list[VolumeTruth]:
    vectors = [None, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.6, 0.0, 0.8)]

    def weighting(v: int, k: int, item: Dataset) -> None:
        diffusion = group(DiffusionBValue=1000.0 if v else 0.0, DiffusionDirectionality="DIRECTIONAL" if v else "NONE")
        if v:
            diffusion[0].DiffusionGradientDirectionSequence = group(DiffusionGradientOrientation=list(vectors[v] or ()))
        item.MRDiffusionSequence = diffusion

    return _several(folder, 4, weighting, apart=B_VALUE)


@case("volume x2")
def enhanced_magnitude_and_phase(folder: Path) -> list[VolumeTruth]:
    def kind(v: int, k: int, item: Dataset) -> None:
        item.MRImageFrameTypeSequence = group(
            FrameType=["ORIGINAL", "PRIMARY", "M" if v == 0 else "P", "NONE"],
            ComplexImageComponent="MAGNITUDE" if v == 0 else "PHASE",
        )

    return _several(folder, 2, kind, apart=KIND)


@case("duplicate", oracle=False)
def enhanced_twice_the_same_place(folder: Path) -> None:
    _several(folder, 2, None)


def _several(
    folder: Path, count: int, groups: Groups | None, shuffle: bool = False, apart: tuple[int, int] = TIME
) -> list[VolumeTruth]:
    dataset, volumes = make_enhanced([Grid(directions=OBLIQUE)] * count, groups=groups, shuffle=shuffle, apart=apart)
    write_file(dataset, folder / "1.dcm")
    return [volume.truth() for volume in volumes]


@case("volume x2", oracle=False)
def enhanced_two_stacks(folder: Path) -> list[VolumeTruth]:
    """Two orientations in one file."""

    def stack(v: int, k: int, item: Dataset) -> None:
        item.FrameContentSequence[0].StackID = str(v + 1)

    dataset, volumes = make_enhanced([Grid(), Grid(directions=CORONAL)], groups=stack, shared=("measures",))
    write_file(dataset, folder / "1.dcm")
    return [volume.truth() for volume in volumes]


@case("volume x2 | gap | uneven", oracle=False)
def enhanced_two_stacks_parallel(folder: Path) -> list[VolumeTruth]:
    """Two slabs with a space between, which their stack numbers tell apart."""

    def stack(v: int, k: int, item: Dataset) -> None:
        item.FrameContentSequence[0].StackID = str(v + 1)

    grids = [Grid(), Grid(origin_lps_mm=(-31.25, 17.5, -22.4))]
    dataset, volumes = make_enhanced(grids, groups=stack)
    write_file(dataset, folder / "1.dcm")
    return [volume.truth() for volume in volumes]


@case("volume", oracle=False)
def enhanced_in_two_files(folder: Path) -> VolumeTruth:
    """A concatenation: one series, its slices in two multi-frame files."""
    grids = [Grid(slices=5), Grid(slices=4, origin_lps_mm=(-31.25, 17.5, -102.4 + 5 * 2.5))]
    planes = []
    for n, grid in enumerate(grids):
        dataset, (volume,) = make_enhanced([grid], seed=n)
        dataset.SeriesInstanceUID, dataset.InConcatenationNumber = make_uid("series", "both"), n + 1
        dataset.ConcatenationUID = make_uid("concatenation")
        write_file(dataset, folder / f"{n}.dcm")
        planes += volume.planes
    return VolumeTruth(tuple(planes))


@case("volume x2", stacked=True)
def enhanced_file_a_time(folder: Path) -> list[VolumeTruth]:
    """Siemens XA: each file one whole volume, the time in TemporalPositionIndex."""
    truths = []
    for n in range(2):

        def time(v: int, k: int, item: Dataset, n: int = n) -> None:
            item.FrameContentSequence[0].TemporalPositionIndex = n + 1

        dataset, (volume,) = make_enhanced([Grid(directions=OBLIQUE)], seed=n, groups=time)
        dataset.SeriesInstanceUID, dataset.InstanceNumber = make_uid("series", "times"), n + 1
        write_file(dataset, folder / f"{n}.dcm")
        truths.append(volume.truth())
    return truths


@case("gap", oracle=False)
def enhanced_gap(folder: Path) -> None:
    dataset, _ = make_enhanced([Grid()])
    _drop_frame(dataset, 4)
    write_file(dataset, folder / "1.dcm")


def _drop_frame(dataset: Dataset, frame: int) -> None:
    size = dataset.Rows * dataset.Columns * 2
    raw = dataset.PixelData
    dataset.PixelData = raw[: frame * size] + raw[(frame + 1) * size :]
    items = list(dataset.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = items[:frame] + items[frame + 1 :]
    dataset.NumberOfFrames -= 1


@case("no-position", oracle=False)
def enhanced_position_missing(folder: Path) -> None:
    dataset, _ = make_enhanced([Grid()])
    del dataset.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    write_file(dataset, folder / "1.dcm")


@case("damaged", oracle=False)
def enhanced_frames_do_not_count(folder: Path) -> None:
    """NumberOfFrames 9, eight items, nine frames of pixels."""
    dataset, _ = make_enhanced([Grid()])
    dataset.PerFrameFunctionalGroupsSequence = list(dataset.PerFrameFunctionalGroupsSequence)[:8]
    write_file(dataset, folder / "1.dcm")


@case("damaged", oracle=False)
def enhanced_pixels_truncated(folder: Path) -> None:
    dataset, _ = make_enhanced([Grid()])
    path = write_file(dataset, folder / "1.dcm")
    path.write_bytes(path.read_bytes()[:-100])


@case("tilt", oracle=False)
def enhanced_tilted(folder: Path) -> None:
    dataset, _ = make_enhanced([Grid(shear=0.3)], CT)
    write_file(dataset, folder / "1.dcm")


@case("one-slice", oracle=False)
def enhanced_of_one_frame(folder: Path) -> None:
    dataset, _ = make_enhanced([Grid(slices=1)])
    write_file(dataset, folder / "1.dcm")


@case("volume")
def enhanced_of_one_frame_each(folder: Path) -> VolumeTruth:
    """A series of single-frame enhanced files, one a slice."""
    planes = []
    for k in range(9):
        grid = Grid(slices=1, origin_lps_mm=(-31.25, 17.5, -102.4 + 2.5 * k))
        dataset, (volume,) = make_enhanced([grid], seed=k)
        dataset.SeriesInstanceUID = make_uid("series", "frames")
        write_file(dataset, folder / f"{k}.dcm")
        planes += volume.planes
    return VolumeTruth(tuple(planes))


@case("volume")
def legacy_converted_ct(folder: Path) -> VolumeTruth:
    dataset, (volume,) = make_enhanced([Grid(directions=OBLIQUE)], CT)
    dataset.SOPClassUID = uid.LegacyConvertedEnhancedCTImageStorage
    write_file(dataset, folder / "1.dcm")
    return volume.truth()


@case("volume", oracle=False)
def enhanced_compressed(folder: Path) -> VolumeTruth:
    return _compressed(folder, uid.RLELossless)


@case("volume", oracle=False)
def enhanced_compressed_jpeg_2000(folder: Path) -> VolumeTruth:
    return _compressed(folder, uid.JPEG2000Lossless)


def _compressed(folder: Path, syntax: uid.UID) -> VolumeTruth:
    dataset, (volume,) = make_enhanced([Grid(columns=40, rows=36, directions=OBLIQUE)], shuffle=True)
    path = write_file(dataset, folder / "1.dcm", EXPLICIT)
    dataset.compress(syntax, generate_instance_uid=False)
    write_file(dataset, path, syntax)
    return volume.truth()
