"""The distance between sets of patches: known values, no bias, and what it reacts to."""

import numpy as np
import pytest
from scipy import ndimage

from medidiff.errors import InputError
from medidiff.evaluate.texture import _mean_distance, texture_distance, texture_statistics


def patches(n: int, seed: int, blur: float = 1.0, scale: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n, 16, 16, 16))
    return scale * np.stack([ndimage.gaussian_filter(volume, blur) for volume in noise])


def test_the_same_patches_have_no_distance() -> None:
    """With p_i = r_i the three means are the same sum: exactly 0."""
    assert texture_distance(patches(8, 0), patches(8, 0)) == 0


def test_energy_distance_of_two_normals() -> None:
    """E|X - Y| for X of N(0, 1), Y of N(m, 1): 2 phi(m / sqrt 2) sqrt 2 / 2 + m (2 Phi(m / sqrt 2) - 1)."""
    from scipy.stats import norm

    rng, shift = np.random.default_rng(0), 1.5
    x, y = rng.standard_normal((3000, 1)), rng.standard_normal((3000, 1)) + shift
    z = shift / np.sqrt(2)
    expected = np.sqrt(2) * (2 * norm.pdf(z) + z * (2 * norm.cdf(z) - 1))
    # standard error about sqrt(2) / sqrt(3000) = 0.026: three of them
    assert _mean_distance(x, y) == pytest.approx(expected, abs=0.08)


def test_no_bias_for_sets_of_one_source_even_in_pairs() -> None:
    """Independent sets, and sets whose patch i is made from reference i: the mean over draws is within noise of 0."""
    for paired in (False, True):
        found = []
        for seed in range(20):
            reference = patches(8, 2 * seed)
            other = patches(8, 2 * seed + 1)
            # the same law as the reference: 0.6^2 + 0.8^2 = 1
            found.append(texture_distance(0.6 * reference + 0.8 * other if paired else other, reference))
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found)) < 3 * error + 0.02


@pytest.mark.parametrize(("blur", "scale"), [(1.3, 1.0), (0.8, 1.0), (1.0, 1.5), (1.0, 0.7)])
def test_blur_sharpness_and_contrast_are_seen(blur: float, scale: float) -> None:
    assert texture_distance(patches(16, 1, blur, scale), patches(16, 2)) > 0.3
    assert texture_distance(patches(16, 1), patches(16, 2)) < 0.15


def test_own_noise_left_out_is_seen() -> None:
    """What a denoiser's samples lack if the scans' own noise is not added to them."""
    clean, noise = patches(16, 1), 0.03 * np.random.default_rng(9).standard_normal((16, 16, 16, 16))
    reference = patches(16, 2) + 0.03 * np.random.default_rng(8).standard_normal((16, 16, 16, 16))
    assert texture_distance(clean, reference) > 2 * abs(texture_distance(clean + noise, reference))


def test_statistics_of_white_noise() -> None:
    """Haar is orthonormal: white noise has the same root mean square, sigma, in every band at every scale."""
    found = texture_statistics(0.5 * np.random.default_rng(0).standard_normal((4, 32, 32, 32)))
    assert found.shape == (4, 14)
    bands = found[:, [2, 3, 4, 6, 7, 8, 10, 11, 12]]
    # fewest values: the third scale's corner band, 4^3 = 64 of them: 1 / sqrt(128) = 9%, four standard errors
    assert np.abs(bands - np.log(0.5)).max() < 0.4


def test_constant_and_odd_patches_are_taken() -> None:
    assert np.isfinite(texture_distance(np.zeros((4, 7, 9, 5)), np.zeros((4, 7, 9, 5))))


@pytest.mark.parametrize("shape", [(4, 16, 16), (4, 16, 16, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="patches of shape"):
        texture_statistics(np.zeros(shape))


@pytest.mark.parametrize(("n", "m"), [(8, 7), (3, 3)])
def test_numbers_must_fit(n: int, m: int) -> None:
    with pytest.raises(InputError, match="at least 4"):
        texture_distance(np.zeros((n, 8, 8, 8)), np.zeros((m, 8, 8, 8)))
