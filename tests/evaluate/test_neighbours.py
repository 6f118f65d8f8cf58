"""Precision, recall, density and coverage on points whose neighbourhoods are known by hand."""

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.evaluate.neighbours import neighbourhood

RNG = np.random.default_rng(0)


def test_by_hand_on_a_line() -> None:
    # Radii to the first neighbour: real 1, 1, 2, 7; made 0.5, 0.5, 10, 30.
    real = np.array([[0.0], [1.0], [3.0], [10.0]])
    made = np.array([[0.4], [0.9], [10.9], [40.9]])
    found = neighbourhood(made, real, k=1)
    # made 0.4 lies with real 0 and 1; 0.9 with 0 and 1; 10.9 with 10; 40.9 with none.
    assert found.precision == 0.75
    assert found.density == 5 / 4
    assert found.coverage == 0.75  # real 3 (radius 2) holds none: 0.9 is 2.1 away
    assert found.recall == 1.0  # real 0 by 0.4, 1 by 0.9, 3 and 10 by 10.9 (radius 10)


def test_the_set_itself_reaches_everything() -> None:
    real = RNG.standard_normal((50, 3))
    found = neighbourhood(real, real)
    assert found.precision == found.recall == found.coverage == 1.0
    # Each point lies in its own neighbourhood and in those that it is one of the 5 nearest of: 5 + 1 over 5.
    assert found.density == pytest.approx(6 / 5)


def test_the_same_source_has_density_one_and_coverage_as_derived() -> None:
    values = [neighbourhood(RNG.standard_normal((100, 2)), RNG.standard_normal((100, 2))) for _ in range(60)]
    density = [v.density for v in values]
    assert np.mean(density) == pytest.approx(1.0, abs=4 * np.std(density) / np.sqrt(60))
    # Naeem et al. 2020, Eq. 9: 1 - prod over i of (N-i-1)... = 1 - (N-1)...(N-k) / ((2N-1)...(2N-k)) at N = M.
    expected = 1 - np.prod([(100 - i) / (200 - i) for i in range(1, 6)])
    coverage = [v.coverage for v in values]
    assert np.mean(coverage) == pytest.approx(expected, abs=4 * np.std(coverage) / np.sqrt(60))


def test_copies_of_one_scan_are_precise_and_reach_nothing() -> None:
    real = RNG.standard_normal((60, 4))
    made = real[:1] + 1e-3 * RNG.standard_normal((60, 4))
    found = neighbourhood(made, real)
    assert found.precision == 1.0
    assert found.recall <= 1 / 60
    assert found.coverage < 0.3


def test_something_else_is_not_precise() -> None:
    real = RNG.standard_normal((60, 4))
    found = neighbourhood(real + 50, real)
    assert found.precision == found.density == found.coverage == 0.0


def test_order_does_not_matter() -> None:
    real, made = RNG.standard_normal((30, 3)), RNG.standard_normal((30, 3)) + 0.5
    assert neighbourhood(made[::-1], RNG.permutation(real)) == neighbourhood(made, real)


def test_bad_input_is_refused() -> None:
    real = RNG.standard_normal((10, 3))
    with pytest.raises(InputError, match="equal numbers"):
        neighbourhood(real[:8], real)
    for k in (0, 10):
        with pytest.raises(InputError, match=f"k = {k}"):
            neighbourhood(real, real, k)
