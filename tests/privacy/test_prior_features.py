"""Features of the prior's own network: whitening in closed form, and what they must not depend on."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from medidiff.errors import InputError
from medidiff.privacy.prior_features import prior_embedding, prior_features, whitened
from tests.synthesis.conftest import make_prior


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((6, 12, 16, 10))
    smooth = ndimage.gaussian_filter(noise, (0, 1, 1, 1))
    return (smooth / smooth.std((1, 2, 3), keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("masks", [False, True])
def test_features_of_a_scan_depend_on_it_alone(images: np.ndarray, masks: bool) -> None:
    prior = make_prior(masks=masks)
    rows = prior_features(prior, images)
    assert np.isfinite(rows).all()
    assert (rows.std(axis=0) > 0).any()
    np.testing.assert_array_equal(prior_features(prior, images[[4, 1]]), rows[[4, 1]])
    np.testing.assert_allclose(prior_features(prior, images[:, ::-1]), rows, atol=1e-6)


def test_masks_are_not_observed(images: np.ndarray) -> None:
    # whatever weights of the stem look at the unobserved masks' coefficients, they are given 0
    prior = make_prior(masks=True)
    name = "stem.weight"
    prior.weights[name] = prior.weights[name].clone()
    before = prior_features(prior, images[:2])
    prior.weights[name][:, 8:24] += 1  # Haar coefficients of masks 1 and 2, after the image's eight
    np.testing.assert_array_equal(prior_features(prior, images[:2]), before)
    prior.weights[name][:, :8] += 1
    assert (prior_features(prior, images[:2]) != before).any()


def test_whitening_makes_the_components_of_the_reference_vary_alike() -> None:
    rng = np.random.default_rng(1)
    reference = rng.standard_normal((500, 4)) @ rng.standard_normal((4, 4)) + 5
    rows = whitened(np.concatenate([reference, reference[:1]]), reference)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(rows[-1], rows[0])
    # Directions of unit vectors, nearly isotropic: each of the 4 components has a mean square of about 1/4. The share
    # added to every variance leaves the smaller ones smaller, so the bound is loose.
    spread = np.linalg.eigvalsh(np.cov(rows.T))
    assert spread[-1] / spread[0] < 20
    raw = reference - reference.mean(0)
    assert np.linalg.eigvalsh(np.cov((raw / np.linalg.norm(raw, axis=1, keepdims=True)).T))[0] < spread[0]


def test_embedding_over_a_reference_does_not_depend_on_the_batch(images: np.ndarray, tiny_prior: Any) -> None:
    rows = prior_embedding(tiny_prior, images, images)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(prior_embedding(tiny_prior, images[2:3], images), rows[2:3], atol=1e-6)
    np.testing.assert_allclose(prior_embedding(tiny_prior, images), rows, atol=1e-6)
    order = np.array([3, 1, 0, 5, 4, 2])
    there = prior_embedding(tiny_prior, images, images[order])
    np.testing.assert_allclose(there @ there.T, rows @ rows.T, atol=1e-4)  # an axis may change its sign


def test_bad_input_is_refused(images: np.ndarray, tiny_prior: Any) -> None:
    with pytest.raises(InputError, match="3 or more"):
        prior_embedding(tiny_prior, images[:2])
    with pytest.raises(InputError, match="NaN"):
        prior_embedding(tiny_prior, images * np.nan)
