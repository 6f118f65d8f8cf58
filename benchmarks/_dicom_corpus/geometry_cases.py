"""Where slices lie: every orientation and order, gaps, doubles, tilts, and rounding that is not to matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.series import CT, Grid, Series, ds, make_series, rotation, write
from benchmarks._dicom_corpus.truth import VolumeTruth

SAGITTAL = (np.array([0, 1.0, 0]), np.array([0, 0, -1.0]))
CORONAL = (np.array([1.0, 0, 0]), np.array([0, 0, -1.0]))
OBLIQUE = rotation(17.0, -32.0, 9.0)


def plain_and(folder: Path, grid: Grid | None = None, tolerance_mm: float = 1e-3, **attributes: object) -> VolumeTruth:
    """A good MR series with some attributes set."""
    series = make_series(grid or Grid()).set(**attributes)
    write(series, folder)
    return series.truth(tolerance_mm)


@case("volume")
def plain_mr(folder: Path) -> VolumeTruth:
    return plain_and(folder)


@case("volume")
def plain_ct(folder: Path) -> VolumeTruth:
    series = make_series(form=CT)
    write(series, folder)
    return series.truth()


@case("volume")
def reversed_order(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(step_mm=-2.5))


@case("volume")
def negative_z(folder: Path) -> VolumeTruth:
    """Head first prone: rows and columns point backwards, slices downwards."""
    directions = (np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]))
    return plain_and(folder, Grid(directions=directions, origin_lps_mm=(10.0, 20.0, 30.0), step_mm=3.0))


@case("volume")
def oblique(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(directions=OBLIQUE))


@case("volume")
def oblique_reversed(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(directions=OBLIQUE, step_mm=-1.7))


@case("volume")
def sagittal(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(directions=SAGITTAL))


@case("volume")
def coronal(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(directions=CORONAL, step_mm=-2.0))


@case("volume")
def two_slices(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(slices=2, directions=OBLIQUE))


@case("volume")
def instance_number_shuffled(folder: Path) -> VolumeTruth:
    return plain_and(folder, InstanceNumber=[4, 8, 1, 9, 2, 7, 3, 6, 5])


@case("volume")
def instance_number_constant(folder: Path) -> VolumeTruth:
    return plain_and(folder, InstanceNumber=1)


@case("volume")
def instance_number_missing(folder: Path) -> VolumeTruth:
    return plain_and(folder, InstanceNumber=None)


@case("volume")
def slice_location_wrong(folder: Path) -> VolumeTruth:
    return plain_and(folder, SliceLocation=[str(v) for v in (5, 1, 9, 2, 8, 3, 7, 4, 6)])


@case("volume")
def slice_thickness_unlike_spacing(folder: Path) -> VolumeTruth:
    return plain_and(folder, SliceThickness="5", SpacingBetweenSlices="7.5")


@case("volume")
def slice_thickness_missing(folder: Path) -> VolumeTruth:
    return plain_and(folder, SliceThickness=None)


@case("volume")
def overlapping_slices(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(step_mm=0.4), SliceThickness="3")


@case("gap")
def missing_slice(folder: Path) -> VolumeTruth:
    return _lacking(folder, 4)


@case("gap")
def missing_two_slices(folder: Path) -> VolumeTruth:
    return _lacking(folder, 3, 4)


@case("gap")
def missing_slice_next_to_the_last(folder: Path) -> VolumeTruth:
    return _lacking(folder, 7)


@case("gap")
def missing_slices_here_and_there(folder: Path) -> VolumeTruth:
    return _lacking(folder, 2, 5)


def _lacking(folder: Path, *slices: int) -> VolumeTruth:
    series = make_series(Grid(directions=OBLIQUE)).without(*slices)
    write(series, folder)
    return series.truth()


@case("duplicate")
def duplicate_position(folder: Path) -> VolumeTruth:
    """Another slice, with its own UID and pixels, at a place that is taken."""
    series, other = make_series(), make_series(seed=1)
    write(series, folder)
    other.datasets[4].InstanceNumber = 10
    write(Series(other.datasets[4:5], []), folder / "more")
    return series.truth()


@case("duplicate")
def every_position_twice(folder: Path) -> None:
    """Two volumes and nothing that tells which slice belongs to which."""
    for seed in (0, 1):
        write(make_series(seed=seed), folder / str(seed))


@case("duplicate")
def duplicate_uid_other_pixels(folder: Path) -> VolumeTruth:
    series, other = make_series(), make_series(seed=1)
    write(series, folder)
    other.datasets[4].SOPInstanceUID = series.datasets[4].SOPInstanceUID
    write(Series(other.datasets[4:5], []), folder / "more")
    return series.truth()


@case("volume | duplicate")
def identical_copies(folder: Path) -> VolumeTruth:
    """The same export twice."""
    series = make_series()
    write(series, folder / "a")
    write(series, folder / "b")
    return series.truth()


@case("volume | duplicate")
def one_identical_copy(folder: Path) -> VolumeTruth:
    series = make_series()
    write(series, folder)
    write(Series(series.datasets[4:5], []), folder / "copy")
    return series.truth()


@case("volume, localizer", oracle=False)
def localizer_mixed_in(folder: Path) -> VolumeTruth:
    """One image of another orientation and size in the series, said to be a localizer."""
    series = make_series(form=CT)
    write(series, folder)
    scout = make_series(Grid(columns=20, rows=24, slices=1, directions=CORONAL), CT, seed=3)
    scout.set(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    alike(scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(scout, folder / "scout")
    return series.truth()


@case("localizer")
def three_plane_localizer(folder: Path) -> None:
    """A series of its own: three slices in each of three planes."""
    for n, directions in enumerate([Grid().directions, SAGITTAL, CORONAL]):
        scout = make_series(Grid(slices=3, step_mm=20, directions=directions), seed=n)
        write(alike(scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), folder / str(n))


def alike(series: Series, **attributes: object) -> Series:
    """Set attributes that are lists themselves."""
    for dataset in series.datasets:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
    return series


@case("tilt")
def gantry_tilt(folder: Path) -> VolumeTruth:
    """Planes tilted by 20 degrees, the table moving along the scanner's axis."""
    series = make_series(Grid(directions=rotation(20, 0, 0), shear=float(np.tan(np.deg2rad(20)))), CT)
    write(series, folder)
    return series.truth()


@case("tilt")
def gantry_tilt_untagged_negative(folder: Path) -> VolumeTruth:
    series = make_series(Grid(shear=-0.3, step_mm=-2.5), CT)
    write(series, folder)
    return series.truth()


@case("volume")
def gantry_tag_without_shear(folder: Path) -> VolumeTruth:
    """GantryDetectorTilt 20, but the slices are stacked along their normal: where they lie counts, not the tag."""
    series = make_series(Grid(directions=rotation(20, 0, 0)), CT).set(GantryDetectorTilt="20")
    write(series, folder)
    return series.truth()


@case("refused")
def lateral_jump(folder: Path) -> None:
    """Evenly spaced along the normal, but from the sixth slice on 4 mm aside: no grid fits."""
    series = make_series()
    for k in range(5, 9):
        series.datasets[k].ImagePositionPatient = ds(*np.add(Grid().position(k), (4.0, 0, 0)))
    write(series, folder)


@case("refused")
def lateral_wobble_of_one(folder: Path) -> None:
    series = make_series()
    series.datasets[4].ImagePositionPatient = ds(*np.add(Grid().position(4), (0, 1.0, 0)))
    write(series, folder)


@case("refused")
def slices_on_an_arc(folder: Path) -> None:
    """Each slice turned a little more than the last."""
    series = make_series()
    for k, dataset in enumerate(series.datasets):
        row, column = rotation(2.0 * k, 0, 0)
        dataset.ImageOrientationPatient = ds(*row, *column)
    write(series, folder)


@case("refused", oracle=False)
def slow_fan(folder: Path) -> None:
    """Sixty slices, each turned by 0.05 degrees against the last: neighbours agree, the first and the last do not."""
    series = make_series(Grid(slices=60))
    for k, dataset in enumerate(series.datasets):
        row, column = rotation(0.05 * (k - 29.5), 0, 0)
        dataset.ImageOrientationPatient = ds(*row, *column)
    write(series, folder)


@case("refused", oracle=False)
def pixel_spacing_creeps(folder: Path) -> None:
    """Each slice is magnified by half a percent more than the last."""
    series = make_series(Grid(columns=64, rows=48, slices=20))
    series.set(PixelSpacing=[ds(0.85 * 1.005**k, 1.2 * 1.005**k) for k in range(20)])
    write(series, folder)


@case("refused | volume x2", oracle=False)
def pixel_spacing_alternates(folder: Path) -> list[VolumeTruth]:
    """0.8% between odd and even slices of 400 columns: 4 mm at the far edge."""
    parts = []
    for parity in (0, 1):
        factor = 1 + 0.008 * parity
        origin = (-31.25, 17.5, -102.4 + 2.5 * parity)
        grid = Grid(400, 4, 5, 0.85 * factor, 1.2 * factor, 5.0, origin_lps_mm=origin)
        parts.append(make_series(grid, seed=parity))
        write(parts[-1], folder / str(parity))
    return [part.truth() for part in parts]


@case("refused")
def radial_slices(folder: Path) -> None:
    """A fan: all through one line, each at its own angle."""
    for k in range(6):
        grid = Grid(slices=1, directions=rotation(0, 0, 30.0 * k), origin_lps_mm=(0, 0, 0))
        write(make_series(grid, seed=k), folder / str(k))


@case("volume", oracle=False)
def spacing_jitter_a_thousandth(folder: Path) -> VolumeTruth:
    return _jittered(folder, 0.001)


@case("volume", oracle=False)
def spacing_jitter_half_a_percent(folder: Path) -> VolumeTruth:
    return _jittered(folder, 0.005)


@case("uneven")
def spacing_jitter_three_percent(folder: Path) -> None:
    _jittered(folder, 0.03)


@case("uneven | gap")
def spacing_changes_halfway(folder: Path) -> None:
    """2.5 mm, then 4 mm."""
    series = make_series()
    for k, dataset in enumerate(series.datasets):
        dataset.ImagePositionPatient = ds(*Grid().position(k if k < 5 else 4 + 1.6 * (k - 4)))
    write(series, folder)


def _jittered(folder: Path, part: float) -> VolumeTruth:
    """Every second slice is `part` of a step away from where it should be."""
    series = make_series()
    for k, dataset in enumerate(series.datasets):
        dataset.ImagePositionPatient = ds(*Grid().position(k + (part if k % 2 else 0.0)))
    write(series, folder)
    return series.truth(2.5 * part * 1.5)


@case("volume", oracle=False)
def positions_rounded(folder: Path) -> VolumeTruth:
    """Two decimals, as some vendors print."""
    series = make_series(Grid(directions=OBLIQUE))
    for dataset in series.datasets:
        dataset.ImagePositionPatient = ds(*np.round(np.array(dataset.ImagePositionPatient, float), 2))
    write(series, folder)
    return series.truth(0.02)


@case("volume")
def orientation_jitter(folder: Path) -> VolumeTruth:
    """The last printed digit differs from slice to slice."""
    series = make_series(Grid(directions=OBLIQUE))
    rng = np.random.default_rng(5)
    for dataset in series.datasets:
        jittered = np.array(dataset.ImageOrientationPatient, float) + rng.uniform(-1e-5, 1e-5, 6)
        dataset.ImageOrientationPatient = ds(*np.round(jittered, 6))
    write(series, folder)
    return series.truth(2e-3)


@case("volume")
def spacing_print_jitter(folder: Path) -> VolumeTruth:
    grid = Grid(row_spacing_mm=0.9, column_spacing_mm=0.8333333)
    spacings = [ds(0.9, 0.8333333 if k % 2 else 0.83333331) for k in range(9)]
    return plain_and(folder, grid, PixelSpacing=spacings)


@case("volume", oracle=False)
def far_from_the_origin(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(origin_lps_mm=(12345.678, -9876.5, 4321.0), directions=OBLIQUE))


@case("no-position")
def position_missing(folder: Path) -> None:
    plain_and(folder, ImagePositionPatient=None)


@case("no-position")
def position_missing_in_one(folder: Path) -> None:
    plain_and(folder, ImagePositionPatient=[ds(*Grid().position(k)) if k != 4 else None for k in range(9)])


@case("no-position")
def orientation_missing(folder: Path) -> None:
    plain_and(folder, ImageOrientationPatient=None)


@case("no-position")
def orientation_of_zeros(folder: Path) -> None:
    series = make_series()
    write(alike(series, ImageOrientationPatient=ds(0, 0, 0, 0, 0, 0)), folder)


@case("no-position")
def orientation_not_perpendicular(folder: Path) -> None:
    series = make_series()
    write(alike(series, ImageOrientationPatient=ds(1, 0, 0, 0.6, 0.8, 0)), folder)


@case("spacing")
def spacing_missing(folder: Path) -> None:
    """Only ImagerPixelSpacing, which is measured at the detector."""
    series = make_series(form=CT).set(PixelSpacing=None)
    write(alike(series, ImagerPixelSpacing=ds(0.85, 1.2)), folder)


@case("spacing")
def spacing_zero(folder: Path) -> None:
    write(alike(make_series(), PixelSpacing=ds(0, 0)), folder)


@case("spacing")
def spacing_negative(folder: Path) -> None:
    write(alike(make_series(), PixelSpacing=ds(-0.85, 1.2)), folder)


@case("one-slice")
def one_slice(folder: Path) -> None:
    plain_and(folder, Grid(slices=1))


@case("volume", oracle=False, slow=True)
def two_thousand_files(folder: Path) -> VolumeTruth:
    return plain_and(folder, Grid(columns=4, rows=3, slices=2000, step_mm=0.5))
