"""Scans on another grid: where every value belongs, what noise becomes, labels, and the axes turned to RAS."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import resize_local_mean

from medidiff.cohort.resample import plan_resampling, to_ras
from medidiff.volume import Volume


def ramp(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Linear in world coordinates, so that every voxel says where it lies: R + 2 A - 3 S, in mm."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return (world @ [1.0, 2.0, -3.0]).astype(np.float32)


def oblique(spacing: tuple[float, float, float], angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = (-30, 12, 55)
    return affine


axis_mm = st.floats(0.4, 4.0)
spacings = st.tuples(axis_mm, axis_mm, axis_mm)


@settings(max_examples=60, deadline=None)
@given(old=spacings, new=spacings, angle=st.floats(-0.6, 0.6))
def test_a_ramp_in_space_stays_where_it_is(
    old: tuple[float, float, float], new: tuple[float, float, float], angle: float
) -> None:
    affine = oblique(old, angle)
    volume = Volume(ramp((17, 14, 20), affine), affine)
    grid = plan_resampling(volume, new)
    if grid is None:
        return
    out = grid.apply(volume.data)
    expected = ramp(out.shape, grid.affine_ras)  # type: ignore[arg-type]
    # At the rim the scan goes on with its outermost value, so up to a voxel there may differ: leave it out.
    rim = tuple(slice(n // 4, n - n // 4) for n in out.shape)
    inside = [(n * a - 2 * max(a, b) - b) > 0 for n, a, b in zip(volume.shape, old, new, strict=True)]
    if all(inside) and min(out.shape) >= 5:
        # float32 of values up to about 400
        np.testing.assert_allclose(out[rim], expected[rim], atol=2e-3)
    for axis, matrix in enumerate(grid.matrices):
        if matrix is None:
            assert np.isclose(Volume(out, grid.affine_ras).spacing_mm[axis], old[axis])
        else:
            assert np.isclose(Volume(out, grid.affine_ras).spacing_mm[axis], new[axis], rtol=1.1e-3)
            np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
            assert (matrix.data >= 0).all()
    # nothing outside the old field of view
    corners = np.array([[x, y, z, 1] for x in (-0.5, 1) for y in (-0.5, 1) for z in (-0.5, 1)], dtype=float)
    corners[:, :3] = np.where(corners[:, :3] > 0, np.array(out.shape) - 0.5, -0.5)
    back = corners @ (np.linalg.inv(affine) @ grid.affine_ras).T
    assert (back[:, :3] >= -0.51).all()
    assert (back[:, :3] <= np.array(volume.shape) - 0.49).all()


def test_by_whole_factors_it_is_the_mean_over_blocks() -> None:
    data = np.random.default_rng(0).normal(size=(12, 9, 8)).astype(np.float32)
    volume = Volume.from_array(data, (1.0, 1.0, 2.0))
    grid = plan_resampling(volume, (2.0, 3.0, 2.0))
    assert grid is not None
    out = grid.apply(data)
    np.testing.assert_allclose(out, data.reshape(6, 2, 3, 3, 8).mean(axis=(1, 3)), atol=1e-6)
    np.testing.assert_allclose(out, resize_local_mean(data, (6, 3, 8)), atol=1e-5)  # scikit-image agrees
    np.testing.assert_allclose(grid.affine_ras[:3, 3], [0.5, 1.0, 0.0])
    assert grid.noise_gain == pytest.approx(1 / np.sqrt(6), abs=1e-12)


def test_a_block_that_is_not_whole_is_left_out_and_the_grid_stays_aligned() -> None:
    data = np.arange(11 * 8 * 8, dtype=np.float32).reshape(11, 8, 8)
    grid = plan_resampling(Volume.from_array(data), (2.0, 1.0, 1.0))
    assert grid is not None
    np.testing.assert_array_equal(grid.apply(data), data[:10].reshape(5, 2, 8, 8).mean(axis=1))


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.3, 1.3, 2.6), (0.7, 0.7, 0.7), (1.0, 1.0, 3.3)])
def test_the_gain_of_white_noise_is_that_of_the_weights(spacing: tuple[float, float, float]) -> None:
    data = np.random.default_rng(1).normal(0, 5, (60, 60, 60)).astype(np.float32)
    grid = plan_resampling(Volume.from_array(data), spacing)
    assert grid is not None
    out = grid.apply(data)
    # A standard deviation of n values is known to 1/sqrt(2n); where neighbours are correlated, a few times that.
    assert out.std() / 5 == pytest.approx(grid.noise_gain, rel=4 / np.sqrt(2 * min(out.size, data.size)))


def test_within_one_percent_nothing_is_interpolated() -> None:
    volume = Volume.from_array(np.zeros((8, 8, 8)), (0.995, 1.0, 1.005))
    assert plan_resampling(volume, (1.0, 1.0, 1.0)) is None
    assert plan_resampling(volume, "native") is None


@settings(max_examples=20, deadline=None)
@given(new=spacings)
def test_labels_keep_their_values_and_go_with_the_scan(new: tuple[float, float, float]) -> None:
    labels = np.zeros((20, 16, 18), dtype=np.uint8)
    labels[6:14, 5:12, 4:15] = 3
    volume = Volume.from_array(labels, (1.0, 1.3, 2.0))
    grid = plan_resampling(volume, new)
    if grid is None:
        return
    out = grid.nearest(labels)
    smooth = grid.apply(labels.astype(np.float32))
    assert out.dtype == np.uint8
    assert set(np.unique(out)) <= {0, 3}
    assert out.shape == smooth.shape
    assert (out[smooth > 2.999] == 3).all()
    assert (out[smooth < 0.001] == 0).all()


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (3.0, 2.0, 4.0), (2.0, 1.0, 1.7), (1.5, 1.5, 1.5)])
def test_labels_do_not_move(spacing: tuple[float, float, float]) -> None:
    """A grid of 24 is cut in whole voxels: what is symmetric stays so, and the labels of the mirror image are the
    mirror image of the labels."""
    rng = np.random.default_rng(0)
    labels = np.zeros((24, 24, 24), dtype=np.uint8)
    labels[5:19, 7:17, 3:21] = 2  # symmetric, with odd edges: every block at its rim is half in it
    grid = plan_resampling(Volume.from_array(labels), spacing)
    assert grid is not None
    out = grid.nearest(labels)
    assert (out == 2).any()
    noise = rng.integers(0, 4, labels.shape).astype(np.uint8)
    for axis in range(3):
        np.testing.assert_array_equal(out, np.flip(out, axis))
        np.testing.assert_array_equal(grid.nearest(np.flip(noise, axis)), np.flip(grid.nearest(noise), axis))


def test_a_label_that_lies_in_no_new_voxel_is_none() -> None:
    labels = np.zeros((9, 9, 9), dtype=np.uint8)
    labels[8, 8, 8] = 5  # in the rest that fills no block
    grid = plan_resampling(Volume.from_array(labels), (2.0, 2.0, 2.0))
    assert grid is not None
    np.testing.assert_array_equal(grid.nearest(labels), np.zeros((4, 4, 4)))


def test_labels_of_blocks_are_their_majority() -> None:
    labels = np.random.default_rng(1).integers(0, 3, (12, 8, 9)).astype(np.uint8)
    grid = plan_resampling(Volume.from_array(labels), (2.0, 2.0, 3.0))
    assert grid is not None
    blocks = labels.reshape(6, 2, 4, 2, 3, 3).transpose(0, 2, 4, 1, 3, 5).reshape(6, 4, 3, 12)
    votes = np.stack([(blocks == label).sum(-1) for label in range(3)], -1)
    most = votes.shape[-1] - 1 - votes[..., ::-1].argmax(-1)  # of a tie the largest
    np.testing.assert_array_equal(grid.nearest(labels), most)


@pytest.mark.parametrize("codes", ["LPS", "PSR", "IRA", "RAS"])
def test_axes_turn_to_ras_without_touching_a_value(codes: str) -> None:
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff

    shape = (5, 6, 7)
    affine = oblique((1.0, 1.5, 2.0), 0.2) @ inv_ornt_aff(axcodes2ornt(codes), shape)
    volume = Volume(ramp(shape, affine), affine)
    turned = to_ras(volume)
    assert turned.axcodes == "RAS"
    np.testing.assert_allclose(turned.data, ramp(turned.shape, turned.affine_ras), atol=1e-4)  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.sort(turned.data, axis=None), np.sort(volume.data, axis=None))
