from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.errors import InputError
from medidiff.intensity import Normalisation


def test_the_percentiles_become_minus_one_and_one() -> None:
    # 0, 1, ..., 1000: the percentiles 0.5 and 99.5 are 5 and 995 exactly.
    data = np.random.default_rng(0).permutation(np.arange(1001.0)).reshape(7, 11, 13)
    norm = Normalisation.fit(data)
    assert (norm.offset, norm.scale) == (500.0, 495.0)
    assert norm.forward(5.0) == -1
    assert norm.forward(995.0) == 1
    assert Normalisation.fit(data, low=0.0, high=1.0).forward(995.0) == 1
    assert Normalisation.fit(data, low=0.0, high=1.0).forward(5.0) == 0


def test_minimum_and_maximum_where_the_percentiles_coincide() -> None:
    data = np.zeros((20, 20, 20), dtype=np.float32)
    data[0, 0, 0] = 8
    norm = Normalisation.fit(data)
    assert (norm.forward(0.0), norm.forward(8.0)) == (-1.0, 1.0)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(0, 2**31))
def test_inverse_undoes_forward(shift: float, spread: float, seed: int) -> None:
    data = shift + spread * np.random.default_rng(seed).standard_normal((4, 5, 6))
    norm = Normalisation.fit(data)
    # Two roundings of float64 at the size of the largest term.
    size = abs(data).max() + abs(norm.offset)
    np.testing.assert_allclose(norm.inverse(norm.forward(data)), data, rtol=0, atol=4 * np.finfo(float).eps * size)
    assert norm.noise_inverse(norm.noise_forward(spread)) == pytest.approx(spread, rel=1e-14)
    again = Normalisation.from_dict(norm.to_dict())
    assert again == norm


def test_noise_scales_as_the_difference_of_two_scans() -> None:
    norm = Normalisation(offset=40.0, scale=200.0)
    assert norm.noise_forward(50.0) == norm.forward(90.0) - norm.forward(40.0) == 0.25


def test_float32_stays_float32() -> None:
    data = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    norm = Normalisation.fit(data)
    assert norm.forward(data).dtype == norm.inverse(data).dtype == np.float32


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.full((3, 3, 3), 5.0), "every voxel of the scan is 5"),
        (np.zeros((0, 3, 3)), "empty"),
        (np.array([[[0.0, np.nan, 1.0]]]), "NaN"),
        (np.array([[[0.0, np.inf, 1.0]]]), "NaN or infinite"),
    ],
)
def test_what_cannot_be_normalised_is_refused(data: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Normalisation.fit(data)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 0.0), (0.0, -1.0), (0.0, np.nan), (np.inf, 1.0), (0.0, np.inf)])
def test_impossible_figures_are_refused(offset: float, scale: float) -> None:
    with pytest.raises(InputError, match="must be"):
        Normalisation(offset, scale)
