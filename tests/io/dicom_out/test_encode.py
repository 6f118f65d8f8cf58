"""Values to 16-bit integers: never clipped, never coarser than promised."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from medidiff.errors import OutputError
from medidiff.io.dicom_out.encode import choose_scale, decimal_string

HU = (1.0, -1024.0, False)


def ramp(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 4 * 5 * 6).reshape(4, 5, 6)


def test_whole_numbers_keep_the_sources_steps_exactly() -> None:
    data = np.arange(-1024, 3071, dtype=np.float32).reshape(9, 5, 91)
    scale = choose_scale(data, "CT", None, [HU])
    assert (scale.slope, scale.intercept, scale.signed, scale.largest_error) == ("1", "-1024", False, 0.0)


@pytest.mark.parametrize(("noise", "kept"), [(2.0, True), (1.9, False), (None, False)])
def test_the_sources_steps_serve_below_a_quarter_of_the_noise(noise: float | None, kept: bool) -> None:
    scale = choose_scale(ramp(-1000, 3000.5), "CT", noise, [HU])  # the largest error is just below 0.5
    assert (scale.slope == "1") is kept


def test_planes_with_slopes_of_their_own_get_a_common_one() -> None:
    scale = choose_scale(ramp(0, 100), "CT", None, [(1.0, 0.0, True), (2.0, 0.0, True)])
    assert float(scale.slope) <= 100 / 60_000


def test_what_does_not_fit_the_source_is_not_clipped() -> None:
    data = ramp(-1024, 70_000)
    scale = choose_scale(data, "CT", 30.0, [HU])
    assert float(scale.slope) > 1
    assert scale.signed
    assert scale.levels(data).min() >= -32768
    assert scale.levels(data).max() <= 32767


def test_mr_stores_plain_numbers_where_the_noise_is_coarse() -> None:
    scale = choose_scale(ramp(0, 1743), "MR", 12.0, [(0.37, 5.0, False)])
    assert (scale.slope, scale.intercept) in {("0.37", "5"), ("1", "0")}
    scale = choose_scale(ramp(0, 1743), "MR", 12.0, [(0.37, 5.0, False), (0.39, 5.0, False)])
    assert (scale.slope, scale.intercept, scale.signed) == ("1", "0", False)


def test_ct_is_signed_with_zero_on_a_step() -> None:
    scale = choose_scale(ramp(-1000.3, 2000.7), "CT", 3.0)
    level_of_zero = -float(scale.intercept) / float(scale.slope)
    assert scale.signed
    assert level_of_zero == pytest.approx(round(level_of_zero), abs=1e-6)


def test_small_values_are_not_plain_numbers() -> None:
    # Found by hypothesis: with an absolute tolerance a scan from 0 to 1e-6 was stored as zeros.
    assert choose_scale(ramp(0, 1e-6), "MR", None).slope != "1"


def test_a_constant_is_exact() -> None:
    scale = choose_scale(np.full((2, 2, 2), 0.1), "MR", None)
    assert scale.largest_error == pytest.approx(0, abs=1e-16)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    data = ramp(0, 1)
    data[1, 1, 1] = bad
    with pytest.raises(OutputError, match="NaN or infinite"):
        choose_scale(data, "MR", None)


def test_visible_steps_are_refused() -> None:
    with pytest.raises(OutputError, match="--format nifti"):
        choose_scale(ramp(0, 1e6), "MR", 1.0)
    with pytest.raises(OutputError, match="span only"):
        choose_scale(ramp(0, 1e-30), "MR", None)


@given(
    low=st.floats(-1e9, 1e9),
    span=st.floats(1e-6, 1e9),
    modality=st.sampled_from(["CT", "MR"]),
    seed=st.integers(0, 1000),
)
def test_the_error_is_half_a_step_of_the_range(low: float, span: float, modality: str, seed: int) -> None:
    data = low + span * np.random.default_rng(seed).random((3, 4, 5))
    reached = float(data.max() - data.min())
    assume(reached > 1e-6 * abs(low))  # else a decimal string of 16 characters cannot say where the range starts
    scale = choose_scale(data, modality, None)
    assert len(scale.slope) <= 16
    assert len(scale.intercept) <= 16
    stored = scale.levels(data).astype(scale.dtype)
    error = np.abs(stored * float(scale.slope) + float(scale.intercept) - data).max()
    assert error == scale.largest_error
    assert float(scale.slope) <= reached / 60_000
    assert error <= 0.5 * reached / 60_000 * 1.001


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_decimal_strings_fit_and_are_close(value: float) -> None:
    text = decimal_string(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-12)
