"""What copies go through: exact where there is something exact, reproducible, and blind to the order of files."""

import numpy as np
import pytest
from scipy import ndimage

from medidiff.errors import InputError, UsageError
from medidiff.privacy.thresholds import TRANSFORMS
from medidiff.privacy.transforms import NOISE_SHARE, apply_transform, moved, planted_copies

SHAPE = (18, 16, 14)


def scans(n: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n, *SHAPE))
    return ndimage.gaussian_filter(noise, (0, 1.5, 1.5, 1.5)).astype(np.float32)


def made(name: str, image: np.ndarray, seed: int = 0) -> np.ndarray:
    return apply_transform(name, image, np.random.default_rng(seed))


def test_exact_and_flip() -> None:
    image = scans(1)[0]
    np.testing.assert_array_equal(made("exact", image), image)
    np.testing.assert_array_equal(made("flip", image), image[::-1])


def test_whole_shifts_are_exact_where_nothing_moves_in() -> None:
    image = scans(1)[0].astype(np.float64)
    found = moved(image, np.eye(3), np.array([2, -1, 0]))
    # a cubic spline goes through its knots: rounding of a recursive filter alone
    np.testing.assert_allclose(found[2:, :-1], image[:-2, 1:], atol=1e-12)


def test_a_quarter_turn_is_exact() -> None:
    image = scans(1)[0][:14, :14]
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x to y
    np.testing.assert_allclose(moved(image.astype(np.float64), turn, np.zeros(3)), np.rot90(image), atol=1e-6)


def test_gamma_keeps_order_and_range() -> None:
    image = scans(1)[0]
    found = made("gamma", image)
    order = np.argsort(image, axis=None)
    assert (np.diff(found.flat[order]) >= 0).all()
    assert np.abs(found - image).max() > 0.01 * np.ptp(image)
    np.testing.assert_allclose([found.min(), found.max()], [image.min(), image.max()], rtol=1e-6)


def test_noise_is_as_strong_as_it_says() -> None:
    image = scans(1)[0]
    detail = image - ndimage.gaussian_filter(image, 2.0, mode="reflect")
    ratio = (made("noise", image) - image).std() / (NOISE_SHARE * detail.std())
    assert abs(ratio - 1) < 4 / np.sqrt(2 * image.size)  # four standard errors of a standard deviation


def test_blur_keeps_what_is_constant_and_takes_from_detail() -> None:
    image = scans(1)[0]
    np.testing.assert_allclose(made("blur", np.ones(SHAPE)), 1, rtol=1e-6)
    assert made("blur", image).std() < image.std()


def test_rotation_and_shift_stay_within_their_bounds() -> None:
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in SHAPE), indexing="ij"))
    middle = tuple(n // 2 for n in SHAPE)
    for seed in range(20):
        at = np.array([made("shift", axis, seed)[middle] for axis in grid])
        assert (np.abs(at - middle) <= 3).all()
        # 7 voxels from the middle and 10 degrees: 1.2 voxels at most, and the middle stays
        turned = np.array([made("rotation", axis, seed)[middle[0] + 5, middle[1], middle[2]] for axis in grid])
        assert np.linalg.norm(turned - np.array(middle) - [5, 0, 0]) < np.deg2rad(10) * 6


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_is_a_pure_function(name: str) -> None:
    image = scans(1)[0]
    before = image.copy()
    first = made(name, image)
    np.testing.assert_array_equal(first, made(name, image))
    np.testing.assert_array_equal(image, before)
    assert first.dtype == np.float32
    assert first.shape == SHAPE
    assert not np.shares_memory(first, image)


@pytest.mark.parametrize("name", ["rotation", "combined"])
def test_copies_do_not_depend_on_the_order_of_files(name: str) -> None:
    images, patients = scans(9), np.array([0, 0, 0, 1, 1, 2, 3, 4, 4])
    order = np.random.default_rng(3).permutation(9)
    first = planted_copies(images, patients, name, 7, 1)
    again = planted_copies(images[order], (10 - patients)[order], name, 7, 1)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.sources, order[again.sources])


def test_every_patient_is_copied_once_before_any_is_copied_twice() -> None:
    images, patients = scans(6), np.array([0, 0, 0, 0, 1, 2])
    copies = planted_copies(images, patients, "shift", 8, 5)
    assert set(patients[copies.sources[:3]]) == {0, 1, 2}
    assert set(copies.sources[:6]) == set(range(6))
    np.testing.assert_array_equal(copies.sources[6:], copies.sources[:2])
    assert (copies.images[6] != copies.images[0]).any(), "a second copy is another draw"
    assert (planted_copies(images, patients, "shift", 3, 6).images != copies.images[:3]).any()


def test_bad_input_is_refused() -> None:
    image = scans(1)[0]
    with pytest.raises(UsageError, match="must be one of exact"):
        made("twirl", image)
    with pytest.raises(InputError, match="sides of 8"):
        made("flip", image[:5])
    with pytest.raises(InputError, match="NaN"):
        made("flip", np.where(image > 0, np.nan, image))
    with pytest.raises(InputError, match="one patient for each scan"):
        planted_copies(scans(2), np.arange(3), "flip", 1, 0)
    with pytest.raises(UsageError, match="count 0"):
        planted_copies(scans(2), np.arange(2), "flip", 0, 0)
