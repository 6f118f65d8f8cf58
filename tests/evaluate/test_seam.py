"""A border that can be seen has a ratio above 1, one that cannot has 1."""

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.evaluate.seam import seam_ratio


def ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")
    return x**2 + y**2 + z**2 < radius**2


REGION = ball((40, 40, 40), 10)


def test_a_ramp_has_no_seam_and_a_step_has_one() -> None:
    x, y, z = np.meshgrid(*[np.arange(40.0)] * 3, indexing="ij")
    ramp = x + y + z
    assert seam_ratio(ramp, REGION) == 1  # every step is 1
    assert seam_ratio(ramp + 1000 * REGION, REGION) == pytest.approx(1000, rel=0.01)  # steps of 999 and 1001


def test_white_noise_has_no_seam_whatever_the_level() -> None:
    noise = np.random.default_rng(0).normal(0, 7, REGION.shape)
    # 1900 steps across, 3600 beside them: their means are within 2% of each other
    assert seam_ratio(noise, REGION) == pytest.approx(1, abs=0.06)


def test_a_smooth_filling_in_a_noisy_scan_is_seen() -> None:
    noise = np.random.default_rng(0).normal(0, 7, REGION.shape)
    # across: |n| of mean 0.80 s; inside 0, outside |n - n'| of mean 1.13 s, together 0.56 s
    assert seam_ratio(np.where(REGION, 0, noise), REGION) == pytest.approx(2**0.5, rel=0.06)


def test_regions_without_a_border_are_refused() -> None:
    for region in (np.zeros((8, 8, 8), dtype=bool), np.ones((8, 8, 8), dtype=bool)):
        with pytest.raises(InputError, match="no border"):
            seam_ratio(np.zeros((8, 8, 8)), region)
    alone = np.zeros((8, 8, 8), dtype=bool)
    alone[4, 4, 4] = True
    with pytest.raises(InputError, match="too thin"):
        seam_ratio(np.random.default_rng(0).normal(size=(8, 8, 8)), alone)
