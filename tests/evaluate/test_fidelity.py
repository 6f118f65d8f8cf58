"""PSNR, SSIM and the foreground, on images whose figures are known by hand."""

import math

import numpy as np
import pytest

from medidiff.errors import InputError, UsageError
from medidiff.evaluate import foreground_mask, psnr, rmse, ssim3d

SHAPE = (12, 13, 14)
RNG = np.random.default_rng(0)


def test_constant_error_has_the_exact_psnr() -> None:
    reference = np.zeros(SHAPE)
    assert rmse(reference, reference + 0.1) == pytest.approx(0.1, rel=1e-12)
    assert psnr(reference, reference + 0.1, 1.0) == pytest.approx(20.0, abs=1e-12)  # 20 log10(1 / 0.1)
    assert psnr(reference, reference - 5, 500.0) == pytest.approx(40.0, abs=1e-12)


def test_identical_images_have_infinite_psnr_and_ssim_one() -> None:
    reference = RNG.random(SHAPE)
    assert psnr(reference, reference.copy(), 1.0) == math.inf
    assert ssim3d(reference, reference.copy(), 1.0) == pytest.approx(1.0, abs=1e-12)


def test_mask_selects_the_voxels() -> None:
    reference, image = np.zeros(SHAPE), np.zeros(SHAPE)
    image[:3] = 0.01
    image[3:] = 1.0
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:3] = True
    assert psnr(reference, image, 1.0, mask) == pytest.approx(40.0, abs=1e-10)
    # A quarter of the voxels (3 of 12 planes) is off by 0.01, the rest by 1.
    assert psnr(reference, image, 1.0) == pytest.approx(-10 * math.log10(0.25e-4 + 0.75), abs=1e-10)


def test_integers_do_not_wrap_around() -> None:
    reference, image = np.zeros(SHAPE, np.uint8), np.full(SHAPE, 255, np.uint8)
    assert rmse(image, reference) == rmse(reference, image) == 255.0


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e6])
def test_psnr_and_ssim_do_not_depend_on_the_unit(factor: float) -> None:
    reference = RNG.random(SHAPE)
    image = reference + 0.05 * RNG.standard_normal(SHAPE)
    assert psnr(factor * reference, factor * image, factor) == pytest.approx(psnr(reference, image, 1.0), abs=1e-9)
    assert ssim3d(factor * reference, factor * image, factor) == pytest.approx(ssim3d(reference, image, 1.0), abs=1e-9)


def test_white_noise_has_the_psnr_of_its_level() -> None:
    reference = np.zeros((40, 40, 40))
    noise = np.random.default_rng(1).standard_normal(reference.shape)
    # Relative spread of the mean square of N normals is sqrt(2/N); in dB 4.34 times that: 0.024. Four of those.
    assert psnr(reference, 0.09 * noise, 1.0) == pytest.approx(-20 * math.log10(0.09), abs=0.1)


def test_ssim_of_a_shift_in_brightness_is_the_luminance_term() -> None:
    reference, image = np.full(SHAPE, 0.5), np.full(SHAPE, 0.7)
    c1 = 0.01**2  # Wang et al. 2004, Eq. 13 with L = 1; contrast and structure are 1 for constant images
    assert ssim3d(reference, image, 1.0) == pytest.approx((2 * 0.35 + c1) / (0.25 + 0.49 + c1), abs=1e-9)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[5:7, 6, 6] = True
    assert ssim3d(reference, image, 1.0, mask) == pytest.approx((2 * 0.35 + c1) / (0.25 + 0.49 + c1), abs=1e-9)


def test_foreground_is_over_ten_of_255_levels() -> None:
    reference = np.full(SHAPE, 10.0)
    reference[0, 0, 0] = 255.0
    reference[1, 1, 1] = 10.1
    mask = foreground_mask(reference)
    assert mask.sum() == 2
    assert mask[0, 0, 0]
    assert mask[1, 1, 1]


def test_ct_foreground_is_the_body_with_its_lungs_and_without_the_table() -> None:
    scan = np.full((20, 20, 12), -1000.0)
    scan[4:16, 4:16] = 40.0
    scan[8:12, 8:12] = -850.0  # a lung, closed in every slice
    scan[2:18, 18] = 100.0  # the table, a separate and smaller piece
    mask = foreground_mask(scan, "ct")
    expected = np.zeros(scan.shape, dtype=bool)
    expected[4:16, 4:16] = True
    np.testing.assert_array_equal(mask, expected)


def test_bad_input_is_refused() -> None:
    reference = np.ones(SHAPE)
    with pytest.raises(InputError, match="against a reference"):
        psnr(reference, reference[1:], 1.0)
    with pytest.raises(InputError, match="empty"):
        psnr(reference, reference, 1.0, np.zeros(SHAPE, bool))
    with pytest.raises(InputError, match="must be the same"):
        psnr(reference, reference, 1.0, np.ones((2, 2, 2), bool))
    with pytest.raises(InputError, match="finite"):
        psnr(reference, np.full(SHAPE, np.nan), 1.0)
    for data_range in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="data_range"):
            psnr(reference, reference, data_range)
    with pytest.raises(InputError, match="11 voxels"):
        ssim3d(reference[:10], reference[:10], 1.0)
    with pytest.raises(InputError, match="foreground"):
        foreground_mask(np.zeros(SHAPE))
    with pytest.raises(UsageError, match="'mr' or 'ct'"):
        foreground_mask(reference, "pet")
