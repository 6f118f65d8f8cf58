"""Noncentral chi noise is that of coils combined by the root of the sum of squares."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, ncx2

from medidiff.errors import NoiseError
from medidiff.noise import add_noncentral_chi, add_rician
from medidiff.noise.gaussian import check_level


@pytest.mark.parametrize("coils", [2, 12])
def test_the_same_distribution_as_coils_written_out(coils: int) -> None:
    rng = np.random.default_rng(coils)
    share = rng.uniform(0.2, 1, coils) * np.exp(2j * np.pi * rng.uniform(size=coils))
    share /= np.linalg.norm(share)  # any spread over the coils, with any phase
    for v in (0.0, 30.0, 100.0):
        noise = rng.standard_normal((20_000, coils)) + 1j * rng.standard_normal((20_000, coils))
        written_out = np.sqrt((np.abs(v * share + 10 * noise) ** 2).sum(axis=1))
        z = add_noncentral_chi(np.full((20, 20, 50), v, np.float32), 10.0, coils, rng)
        assert z.dtype == np.float32
        assert float(np.asarray(ks_2samp(z.ravel(), written_out))[1]) > 1e-3
        assert np.mean((z / 10.0) ** 2) == pytest.approx(ncx2.mean(2 * coils, (v / 10) ** 2), rel=0.02)


def test_one_coil_is_rician() -> None:
    clean = np.random.default_rng(0).uniform(0, 100, (9, 8, 7)).astype(np.float32)
    one = add_noncentral_chi(clean, 7.0, 1, np.random.default_rng(1))
    np.testing.assert_array_equal(one, add_rician(clean, 7.0, np.random.default_rng(1)))


def test_a_map_a_seed_and_whole_numbers() -> None:
    clean = np.full((30, 30, 30), 200, np.int16)
    level = np.linspace(1, 40, 30)[:, None, None] * np.ones(clean.shape)
    noisy = add_noncentral_chi(clean, level, 4, np.random.default_rng(0))
    assert noisy.dtype == np.int16
    np.testing.assert_array_equal(noisy, add_noncentral_chi(clean, level, 4, np.random.default_rng(0)))
    expected = np.sqrt(200.0**2 + 8 * level[:, 0, 0] ** 2)  # root mean square: no bias of rounding towards zero
    rms = np.sqrt((noisy.astype(float) ** 2).mean(axis=(1, 2)))
    np.testing.assert_allclose(rms, expected, atol=0.05 + 4.5 * 40 / 30)
    assert rms[0] == pytest.approx(expected[0], abs=0.2)  # cutting off would give -0.5


def test_arguments_that_make_no_sense() -> None:
    clean, rng = np.ones((2, 2, 2)), np.random.default_rng(0)
    with pytest.raises(NoiseError, match="coils 65"):
        add_noncentral_chi(clean, 1.0, 65, rng)
    with pytest.raises(NoiseError, match="zero or more"):
        add_noncentral_chi(clean, -1.0, 2, rng)
    with pytest.raises(NoiseError, match=r"\(1, 2, 2\).*scan's grid \(2, 2, 2\)"):
        check_level(np.ones((1, 2, 2)), clean.shape)  # as all that add noise do; the tests' shape checks come first
