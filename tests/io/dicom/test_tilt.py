"""Gantry tilt: a ramp in space stays what it is."""

import numpy as np
import pytest

from medidiff.io.dicom.tilt import straighten
from medidiff.volume import Volume

DIRECTIONS = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]


def sheared(shear_mm: tuple[float, float], step_mm: float, shape: tuple[int, int, int] = (9, 11, 7)) -> np.ndarray:
    """Axes of 0.7 and 1.3 mm in the plane, stacked with `shear_mm` along each for every slice."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = 0.7 * DIRECTIONS[0], 1.3 * DIRECTIONS[1]
    affine[:3, 2] = step_mm * DIRECTIONS[2] + shear_mm[0] * DIRECTIONS[0] + shear_mm[1] * DIRECTIONS[1]
    affine[:3, 3] = (5.0, -70.0, 30.0)
    return affine


def positions(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return grid @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("shear_mm", [(0.0, 0.9), (0.0, -0.9), (0.4, -1.7), (-2.0, 0.0), (0.7, 1.3)])
@pytest.mark.parametrize("step_mm", [2.4, -2.4])
def test_ramp_is_exact_and_nothing_is_cut_off(shear_mm: tuple[float, float], step_mm: float) -> None:
    affine, slope = sheared(shear_mm, step_mm), np.array([0.3, -1.1, 0.7])
    ramp = positions((9, 11, 7), affine) @ slope
    out = straighten(Volume(ramp, affine), background=-4000.0)
    axes = out.affine_ras[:3, :3] / out.spacing_mm
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-12
    assert out.spacing_mm == pytest.approx((0.7, 1.3, 2.4))
    inside = out.data != -4000.0
    expected = positions(out.shape, out.affine_ras) @ slope
    # float32 of values up to 200: half a step is 8e-6
    assert np.abs(out.data - expected)[inside].max() < 2e-5
    # A slice moved by a fraction of a pixel loses at most one row and one column of samples.
    assert (inside.sum(axis=(0, 1)) >= 8 * 10).all()
    assert out.header is None


def test_shift_of_whole_pixels_moves_values_unchanged() -> None:
    affine = sheared((0.0, 2 * 1.3), 2.0)
    data = np.random.default_rng(1).normal(size=(9, 11, 7)).astype(np.float32)
    out = straighten(Volume(data, affine), background=0.0)
    assert out.shape == (9, 11 + 12, 7)
    for k in range(7):
        assert np.array_equal(out.data[:, 2 * k : 2 * k + 11, k], data[..., k])
        assert np.count_nonzero(out.data[..., k]) == 9 * 11


def test_straight_volume_stays_as_it_is() -> None:
    affine = sheared((0.0, 0.0), 3.0)
    data = np.random.default_rng(2).normal(size=(4, 5, 6)).astype(np.float32)
    out = straighten(Volume(data, affine), background=0.0)
    assert np.array_equal(out.data, data)
    assert np.allclose(out.affine_ras, affine, atol=1e-12)
