"""Every generated folder of DICOM: the right value at the right place in the world, or refused as documented."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks._dcm2niix import convert, find_dcm2niix
from benchmarks._dicom_corpus import CASES, Case, match
from benchmarks._dicom_corpus.judge import judge
from benchmarks._dicom_corpus.series import Form, Grid, make_series, rotation, write
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
