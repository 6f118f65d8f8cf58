"""Priors of several channels or with a position, random weights."""

import pytest

from medidiff.prior import Prior

from .random_priors import random_prior


@pytest.fixture(scope="session")
def joint_prior(tiny_prior: Prior) -> Prior:
    """Image and one mask."""
    return random_prior(tiny_prior, ("image", "mask:1"))


@pytest.fixture(scope="session")
def placed_prior(tiny_prior: Prior) -> Prior:
    """An image, told where in the body it lies."""
    return random_prior(tiny_prior, ("image",), position=True)
