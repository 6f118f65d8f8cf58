"""The Rician transform has constant variance and its inverse no bias, by quadrature and by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import i0e

from medidiff.errors import NoiseError
from medidiff.noise import add_gaussian, add_rician, stabilise, unstabilise
from medidiff.noise.rician import stabilised_std


def rice_mean(v: float, of: Callable[[np.ndarray], np.ndarray]) -> float:
    """E[of(z) | v] by a fine trapezoid sum, independent of the tables: the integrand is smooth, its step 1e-4."""
    z = np.linspace(max(0.0, v - 10), v + 10, 200_001)
    density = z * np.exp(-((z - v) ** 2) / 2) * i0e(z * v)
    return float(np.trapezoid(of(z) * density, z) / np.trapezoid(density, z))


def f(z: np.ndarray) -> np.ndarray:
    return stabilise(z[:, None, None], 1.0)[:, 0, 0]


@pytest.mark.parametrize("v", [0.0, 0.3, 1.0, 2.0, 3.7, 7.0, 11.9, 14.0, 30.0])
def test_the_inverse_is_unbiased(v: float) -> None:
    mean = rice_mean(v, f)
    back = unstabilise(np.full((1, 1, 1), mean), 1.0)[0, 0, 0]
    # Linear interpolation in tables of step 0.01 and 0.02, and a series whose next term is of the order of v^-3 < 6e-4.
    # At v = 0 the mean is flat in v^2, so an error of 1e-5 in it is one of several 1e-3 in v.
    assert back == pytest.approx(v, abs=2e-3 if v > 0.2 else 2e-2)


@pytest.mark.parametrize("v", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 6.0, 13.0, 50.0])
def test_the_variance_is_constant(v: float) -> None:
    mean = rice_mean(v, f)
    std = np.sqrt(rice_mean(v, lambda z: (f(z) - mean) ** 2))
    # No function of z makes it exactly constant; 3% at v = 1 is what the solution reaches.
    assert std == pytest.approx(1.0, abs=0.035)
    if v < 12:
        assert std == pytest.approx(float(stabilised_std(np.array(v))), abs=2e-3)


def test_a_map_scales_voxel_by_voxel() -> None:
    rng = np.random.default_rng(0)
    clean = np.full((40, 40, 40), 100.0, dtype=np.float32)
    level = np.linspace(5, 60, 40, dtype=np.float32)[:, None, None] * np.ones_like(clean)
    noisy = add_rician(clean, level, rng)
    w = stabilise(noisy, level)
    # 1600 values a plane: standard error of a std 1.8%, of a mean level/40; both at 4.5 standard errors, plus 3%.
    np.testing.assert_allclose(w.std(axis=(1, 2)) / level[:, 0, 0], 1, atol=0.11)
    back = unstabilise(w.mean(axis=(1, 2))[:, None, None], level[:, :1, :1])[:, 0, 0]
    np.testing.assert_allclose(back, 100, atol=4.5 * 60 / 40)


def test_unit_of_the_scan_does_not_matter() -> None:
    z = np.random.default_rng(0).uniform(0, 50, (8, 8, 8))
    np.testing.assert_allclose(stabilise(1000 * z, 3000.0), 1000 * stabilise(z, 3.0), rtol=1e-5)
    assert np.all(np.diff(stabilise(np.linspace(0, 30, 3000)[:, None, None], 1.0)[:, 0, 0]) > 0)


def test_high_signal_is_left_alone() -> None:
    # f = z (1 - 1 / (4 z^2) ...): at a ratio of 100 that is 0.0025 levels.
    assert f(np.array([100.0]))[0] == pytest.approx(100.0, abs=3e-3)
    assert unstabilise(np.full((1, 1, 1), -5.0), 1.0)[0, 0, 0] == 0


def test_levels_that_make_no_sense() -> None:
    scan, rng = np.ones((2, 2, 2)), np.random.default_rng(0)
    for add in (add_gaussian, add_rician):
        with pytest.raises(NoiseError, match="zero or more"):
            add(scan, -1.0, rng)
        with pytest.raises(NoiseError, match="zero or more"):
            add(scan, np.full_like(scan, np.nan), rng)


def test_gaussian_noise_has_its_level() -> None:
    noisy = add_gaussian(np.zeros((50, 50, 50), dtype=np.float32), 7.0, np.random.default_rng(1))
    assert noisy.std() == pytest.approx(7.0, rel=0.01)  # standard error 0.2%
