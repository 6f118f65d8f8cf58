"""DICOM to NIfTI and back, NIfTI to NIfTI: every voxel keeps its place to 1e-4 mm and its value to the stated step."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks._dcm2niix import convert, find_dcm2niix
from benchmarks._dicom_compare import compare
from benchmarks._dicom_corpus.geometry_cases import CORONAL, OBLIQUE, SAGITTAL
from benchmarks._dicom_corpus.series import CT, MR, Form, Grid, make_series, rotation, write
from medidiff.io.dicom.model import Candidate
from medidiff.io.dicom.read import read_candidate
from medidiff.io.dicom.scan import scan_dicom
from medidiff.io.dicom_out import Derivation, Standalone, write_derived, write_standalone
from medidiff.io.nifti import read_nifti, write_nifti
from medidiff.volume import Volume

MAX_MM = 1e-4
STEPS = 60_000
"""How many steps the range of values gets where 16 bits must do: the error is at most half of one."""
GRIDS = {
    "axial": Grid(),
    "axial, downwards": Grid(step_mm=-2.5),
    "oblique": Grid(directions=OBLIQUE),
    "sagittal": Grid(directions=SAGITTAL, step_mm=-1.3),
    "coronal": Grid(directions=CORONAL),
    "far away": Grid(directions=OBLIQUE, origin_lps_mm=(812.3, -700.1, 1500.7)),
}
DONE = Derivation(what="Nothing was done", settings={"test": True})


def only(folder: Path) -> Candidate:
    (candidate,) = scan_dicom(folder).candidates
    assert candidate.refusal is None, candidate.refusal
    return candidate


def assert_same(found: Volume, expected: Volume, step: float = 0.0, max_mm: float = MAX_MM) -> None:
    """Same voxels at the same places, axes in any order; values to half a step, and to float32's rounding."""
    difference = compare(found, expected)
    assert difference is not None, "not the same grid"
    assert difference.mm <= max_mm
    assert difference.value <= 0.5 * step * (1 + 1e-3) + 4e-7 * float(np.abs(expected.data).max())


@pytest.mark.parametrize("form", [MR, CT], ids=["MR", "CT"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_dicom_nifti_dicom(grid: Grid, form: Form, tmp_path: Path) -> None:
    """Integers stay the same integers, and the slices the source's own."""
    write(make_series(grid, form), tmp_path / "in")
    source = only(tmp_path / "in")
    volume = read_candidate(source).volume
    write_nifti(volume, tmp_path / "scan.nii.gz")
    through = read_nifti(tmp_path / "scan.nii.gz")
    assert_same(through, volume)
    write_derived(through, source, tmp_path / "out", DONE)
    assert_same(read_candidate(only(tmp_path / "out")).volume, volume, max_mm=1e-9)
    _assert_dcm2niix_agrees(tmp_path / "out", volume)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_nifti_dicom_nifti(grid: Grid, tmp_path: Path) -> None:
    """Floats, through DICOM of their own: half a step of a 60 000th of the range."""
    write(make_series(grid), tmp_path / "in")
    volume = read_candidate(only(tmp_path / "in")).volume
    floats = np.random.default_rng(1).normal(100, 30, volume.shape).astype(np.float32)
    write_nifti(volume.with_data(floats), tmp_path / "scan.nii.gz")
    scan = read_nifti(tmp_path / "scan.nii.gz")
    write_standalone(scan, tmp_path / "out", Standalone("P1", "MR", DONE, "0" * 64, "HEAD"))
    back = read_candidate(only(tmp_path / "out")).volume
    step = float(np.ptp(floats)) / STEPS
    assert_same(back, scan, step)
    write_nifti(back, tmp_path / "back.nii.gz")
    assert_same(read_nifti(tmp_path / "back.nii.gz"), scan, step)
    _assert_dcm2niix_agrees(tmp_path / "out", scan, step)


def _assert_dcm2niix_agrees(folder: Path, volume: Volume, step: float = 0.0) -> None:
    """A third opinion, where it is installed; its NIfTI holds float32 in millimetres, up to thousands of them."""
    if find_dcm2niix() is None:
        return
    (second,) = convert(folder)
    assert_same(second.volumes[0], volume, step, max_mm=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img"])
def test_nifti_nifti(dtype: str, suffix: str, tmp_path: Path) -> None:
    """Twice through the disk is once through it: values, affine, codes and kind of number."""
    rng = np.random.default_rng(2)
    data = rng.integers(0, 200, (5, 6, 7)).astype(dtype)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = (np.array(d) * s for d, s in zip(rotation(10, -20, 70), (0.7, 1.3), strict=True))
    affine[:3, 2] = -2.1 * np.cross(*rotation(10, -20, 70))
    affine[:3, 3] = (-90.5, 126.25, -72.125)
    first, again = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_nifti(Volume(data, affine), first, dtype=dtype)
    one = read_nifti(first)
    write_nifti(one, again)
    two = read_nifti(again)
    assert np.array_equal(one.data, data)
    assert np.array_equal(two.data, one.data)
    assert_same(one, Volume(data, affine))
    assert np.array_equal(two.affine_ras, one.affine_ras)
    assert one.header is not None
    assert two.header is not None
    kept = "float32" if dtype == "float64" else dtype  # what is read is float32, and so is what is written of floats
    assert (two.header.dtype, two.header.sform_code, two.header.qform_code) == (
        kept,
        one.header.sform_code,
        one.header.qform_code,
    )


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacings=st.tuples(st.floats(0.2, 6), st.floats(0.2, 6), st.floats(0.2, 9)),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    size=st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(2, 5)),
    mirrored=st.booleans(),
    low=st.floats(-3000, 3000),
    span=st.floats(1e-2, 1e5),
    modality=st.sampled_from(["MR", "CT"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_any_volume_through_dicom(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, float, float],
    spacings: tuple[float, float, float],
    origin: tuple[float, float, float],
    size: tuple[int, int, int],
    mirrored: bool,
    low: float,
    span: float,
    modality: str,
) -> None:
    row, column = rotation(*angles)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row, column, np.cross(row, column) * (-1 if mirrored else 1)], axis=1) * spacings
    affine[:3, 3] = origin
    data = (low + span * np.random.default_rng(3).uniform(size=size)).astype(np.float32)
    folder = tmp_path_factory.mktemp("any")
    write_standalone(Volume(data, affine), folder, Standalone("P1", modality, DONE, "0" * 64))
    step = float(np.ptp(data.astype(np.float64))) / STEPS
    assert_same(read_candidate(only(folder)).volume, Volume(data, affine), step)
