"""Every generated folder of DICOM: the right value at the right place in the world, or refused as documented."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks._dcm2niix import convert, find_dcm2niix
from benchmarks._dicom_corpus import CASES, Case, match
from benchmarks._dicom_corpus.judge import judge
from benchmarks._dicom_corpus.series import Form, Grid, Series, make_series, rotation, write
from medidiff.io.dicom.read import read_candidate
from medidiff.io.dicom.scan import scan_dicom


def parameters(cases: list[Case]) -> list:
    return [pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.slow else []) for case in cases]


@pytest.mark.parametrize("case", parameters(CASES))
def test_right_or_refused(case: Case, tmp_path: Path) -> None:
    verdict = judge(case, tmp_path)
    assert not verdict.problems, f"{verdict.outcome}: {'; '.join(verdict.problems)}"


@pytest.mark.skipif(find_dcm2niix() is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("case", parameters([case for case in CASES if case.oracle and "volume" in case.expect]))
def test_dcm2niix_agrees_with_the_truth(case: Case, tmp_path: Path) -> None:
    """Not a test of medidiff: it shows that the corpus is what it says."""
    truths = case.truths(tmp_path)
    found = [volume for second in convert(tmp_path) for volume in second.volumes]
    assert match(found, truths) == []


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacings=st.tuples(st.floats(0.1, 9), st.floats(0.1, 9), st.floats(0.1, 12)),
    size=st.tuples(st.integers(2, 7), st.integers(2, 7), st.integers(2, 6)),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    backwards=st.booleans(),
    form=st.builds(
        Form,
        modality=st.sampled_from(["MR", "CT", "PT"]),
        allocated=st.just(16),
        stored=st.integers(9, 16),
        signed=st.booleans(),
        slope=st.floats(1e-4, 1e3) | st.floats(-1e3, -1e-4),
        intercept=st.floats(-2000, 2000),
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_any_grid_and_number_type(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, float, float],
    spacings: tuple[float, float, float],
    size: tuple[int, int, int],
    origin: tuple[float, float, float],
    backwards: bool,
    form: Form,
    seed: int,
) -> None:
    rows_mm, columns_mm, step_mm = spacings
    columns, rows, slices = size
    step_mm = -step_mm if backwards else step_mm
    grid = Grid(columns, rows, slices, rows_mm, columns_mm, step_mm, rotation(*angles), origin)
    series = make_series(grid, form, seed=seed)
    order = np.random.default_rng(seed).permutation(slices)
    series.set(InstanceNumber=[int(n) for n in order])
    folder = tmp_path_factory.mktemp("grid")
    write(series, folder)
    (candidate,) = scan_dicom(folder).candidates
    assert candidate.refusal is None, candidate.refusal
    assert match([read_candidate(candidate).volume], (series.truth(),)) == []


def linear_mm(lps_mm: np.ndarray) -> np.ndarray:
    """A field that linear interpolation reproduces, and that no two directions share."""
    return lps_mm @ np.array([3.0, -5.0, 7.0]) + 900.0


def linear_series(grid: Grid) -> Series:
    """A CT that holds `linear_mm`, to half a step of 0.05."""
    k, r, c = np.mgrid[: grid.slices, : grid.rows, : grid.columns]
    row, column = grid.directions
    first = np.array([grid.position(n) for n in range(grid.slices)])
    at = first[k] + row * (c * grid.column_spacing_mm)[..., None] + column * (r * grid.row_spacing_mm)[..., None]
    stored = np.rint(linear_mm(at) / 0.05).astype(int)
    return make_series(grid, Form("CT", 16, 16, True, 0.05, 0.0), stored=stored)


@pytest.mark.parametrize("shear", [0.36, -0.2])
def test_a_resampled_tilt_keeps_values_in_place(shear: float, tmp_path: Path) -> None:
    """Away from the border, a linear field is what it was: each value at its place, on an orthogonal grid."""
    grid = Grid(columns=16, rows=40, slices=9, directions=rotation(0, 0, 20), shear=shear)
    write(linear_series(grid), tmp_path)
    (candidate,) = scan_dicom(tmp_path).candidates
    assert candidate.refusal is not None
    assert candidate.refusal.code == "tilt"
    volume = read_candidate(candidate, resample_tilt=True).volume
    axes = volume.affine_ras[:3, :3] / np.linalg.norm(volume.affine_ras[:3, :3], axis=0)
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-6
    index = np.stack(np.unravel_index(np.arange(volume.data.size), volume.shape), axis=1)
    lps = (index @ volume.affine_ras[:3, :3].T + volume.affine_ras[:3, 3]) * (-1, -1, 1)
    normal = grid.normal
    height_mm = (lps - grid.position(0)) @ normal
    aside_mm = (lps - grid.position(0)) @ grid.directions[1] - shear * height_mm
    inside = (aside_mm > 2) & (aside_mm < 39 * grid.row_spacing_mm - 2) & (height_mm > -1e-6)
    inside &= height_mm < 8 * grid.step_mm + 1e-6
    assert inside.mean() > 0.5
    error = np.abs(volume.data.ravel() - linear_mm(lps))[inside]
    assert error.max() < 0.026 + 0.01  # half a step of 0.05, and float32


def test_a_filled_gap_leaves_the_rest_in_place(tmp_path: Path) -> None:
    """The grid is the complete one, the missing slices are named, and every measured voxel is right."""
    whole = make_series(Grid(directions=rotation(10, 20, 30)))
    write(whole.without(3, 4, 7), tmp_path)
    (candidate,) = scan_dicom(tmp_path).candidates
    assembled = read_candidate(candidate, fill_gaps=True)
    volume, missing = assembled.volume, assembled.missing
    assert volume.shape[2] == 9
    assert set(missing) in ({3, 4, 7}, {1, 4, 5})  # along the normal or against it
    assert not volume.data[:, :, list(missing)].any()
    for k in (3, 4, 7):
        whole.planes[k].values[:] = 0
    assert match([volume], (whole.truth(),)) == []
