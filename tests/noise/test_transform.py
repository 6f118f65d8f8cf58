"""The transform of magnitude scans of any number of coils: even noise, an unbiased inverse, little memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.special import gammaln, hyp1f1
from scipy.stats import ncx2

from medidiff.errors import NoiseError
from medidiff.noise import add_noncentral_chi, stabilise, transform, unstabilise
from medidiff.noise.transform import stabilised_std


def column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1, 1)


def koay_xi(v: float, coils: int) -> tuple[float, float]:
    """Mean and variance of the magnitude at signal v (Koay and Basser 2006), both in closed form."""
    beta = np.sqrt(2) * np.exp(gammaln(coils + 0.5) - gammaln(coils))
    mean = float(beta * hyp1f1(-0.5, coils, -(v**2) / 2))
    return mean, 2 * coils + v**2 - mean**2


def moments(v: float, coils: int) -> tuple[np.ndarray, ...]:
    """z, its density given v from scipy's noncentral chi-square, f(z), by a fine grid; independent of the tables."""
    middle = np.sqrt(v**2 + 2 * coils - 1)
    z = np.linspace(max(0.0, middle - 9), middle + 9, 8001)
    density = 2 * z * ncx2.pdf(z**2, 2 * coils, v**2)
    return z, density / simpson(density, x=z), stabilise(column(z), 1.0, coils)[:, 0, 0]


@pytest.mark.parametrize("coils", [1, 2, 8, 32])
def test_even_noise_and_an_inverse_without_bias(coils: int) -> None:
    for v in (0.0, 0.2, 0.7, 1.3, 2.5, 5.0, 8.0, 11.9, 12.1, 20.0, 40.0):
        z, density, f = moments(v, coils)
        mean, xi = koay_xi(v, coils)
        assert simpson(z * density, x=z) == pytest.approx(mean, rel=1e-6)  # the density is the one meant
        assert simpson((z - mean) ** 2 * density, x=z) == pytest.approx(xi, rel=1e-4)
        even = float(simpson(f * density, x=z))
        assert unstabilise(column(np.array(even)), 1.0, coils).item() == pytest.approx(v, abs=1e-3)
        std = np.sqrt(simpson((f - even) ** 2 * density, x=z))
        # No function of z makes it exactly 1: 3.0% at v = 1.3 for Rician, 1.8% for 2 coils, 0.3% for 32.
        assert std == pytest.approx(1, abs=0.032)
        if v < 12:
            assert std == pytest.approx(stabilised_std(np.array(v), coils).item(), abs=2e-3)


def steepest(coils: int) -> float:
    """Bound on the slope g of f below the mean m of pure noise, where it is constant; above it is at least 1.

    With the magnitude z of pure noise cut at m, f = g min(z, m) + more than max(z - m, 0), so that
    g^2 Var(min) + 2 g Cov(min, max) + Var(max) <= Var(f | v = 0) <= 1.032^2: 2.29 for Rician noise.
    """
    z = np.linspace(1e-6, np.sqrt(2 * coils) + 9, 200_001)
    density = np.exp((2 * coils - 1) * np.log(z) - z**2 / 2 - (coils - 0.5) * np.log(coils))
    density /= density.sum()
    m = float(density @ z)
    (a, b), (_, c) = np.cov(np.stack([np.minimum(z, m), np.maximum(z - m, 0)]), aweights=density, ddof=0)
    return float((-b + np.sqrt(b * b + a * (1.032**2 - c))) / a)


@pytest.mark.parametrize("coils", [1, 3, 64])
def test_both_ways_rise_without_a_step(coils: int) -> None:
    grid = np.arange(0, 60, 1e-3)
    for function in (stabilise, unstabilise):
        values = function(column(grid), 1.0, coils)[:, 0, 0]
        assert np.diff(values).min() >= 0
        if function is stabilise:
            assert np.diff(values).max() < 1e-3 * steepest(coils)


@pytest.mark.parametrize("coils", [4, 64])
def test_simulated_noise_becomes_even_and_comes_back(coils: int) -> None:
    rng = np.random.default_rng(coils)
    signal = np.repeat(np.array([0.0, 2.0, 6.0, 20.0], np.float32), 40_000).reshape(4, 200, 200)
    noisy = add_noncentral_chi(5 * signal, 5.0, coils, rng)
    even = stabilise(noisy, 5.0, coils)
    assert even.dtype == np.float32
    # 40 000 values: standard error of a deviation 0.35%, of a mean 0.005; four of them, and 1.1% of the tables.
    np.testing.assert_allclose(even.std(axis=(1, 2)) / 5, 1, atol=0.026)
    back = unstabilise(even.mean(axis=(1, 2), keepdims=True), 5.0, coils)[:, 0, 0] / 5
    np.testing.assert_allclose(back[1:], signal[1:, 0, 0], atol=0.12)
    assert back[0] < 1  # at no signal the mean is flat in v: an error e of it is one of about 2 sqrt(e)


def test_blocks_layout_and_maps_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 300, (7, 30, 11)).astype(np.float32)
    level = rng.uniform(2, 20, z.shape).astype(np.float32)
    whole = stabilise(z, level, 2)
    one = stabilise(z[3:4, 5:6, 6:7], float(level[3, 5, 6]), 2)
    assert one.item() == whole[3, 5, 6]
    monkeypatch.setattr(transform, "_BLOCK", 100)
    np.testing.assert_array_equal(stabilise(np.asfortranarray(z), np.asfortranarray(level), 2), whole)
    np.testing.assert_allclose(unstabilise(whole, level, 2)[z > 100], z[z > 100], rtol=0.1)
    np.testing.assert_array_equal(stabilise(z, np.full_like(z, 4.0), 2), stabilise(z, 4.0, 2))


def test_no_copy_of_the_scan_in_double_precision() -> None:
    z = np.random.default_rng(0).uniform(0, 300, (160, 160, 120)).astype(np.float32)
    stabilise(z[:2], 10.0)  # makes the tables
    for function, level in ((stabilise, 10.0), (unstabilise, np.full_like(z, 10.0))):
        tracemalloc.start()
        function(z, level)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The result, a mask of the map, and a dozen float64 blocks of a megabyte; a float64 copy would be 25 MB more.
        assert peak < z.nbytes + 0.25 * z.nbytes + 14e6


def test_arguments_that_make_no_sense() -> None:
    z = np.ones((2, 2, 2), np.float32)
    for function in (stabilise, unstabilise):
        for coils in (0, 65):
            with pytest.raises(NoiseError, match=f"coils {coils}: must be a whole number from 1"):
                function(z, 1.0, coils)
        for level in (0.0, float("nan"), np.zeros_like(z)):
            with pytest.raises(NoiseError, match="must be positive and finite"):
                function(z, level)
    assert np.isnan(stabilise(np.full((1, 1, 1), np.nan), 1.0)).all()
