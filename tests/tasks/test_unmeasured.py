"""Voxels where nothing was measured (DICOM's pixel padding): no tissue to a task, and untouched by it."""

from dataclasses import replace

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.prior import Prior
from medidiff.tasks import denoise, inpaint
from medidiff.tasks.gaps import Gaps
from medidiff.tasks.slices import insert_slices
from medidiff.volume import Volume

PADDING = -3024.0


@pytest.fixture
def corners() -> np.ndarray:
    """What lies outside a cylinder, as a CT's circle of reconstruction leaves it."""
    x, y = np.meshgrid(*2 * [np.arange(32) - 15.5], indexing="ij")
    return np.repeat((np.hypot(x, y) > 15)[..., None], 24, axis=2)


@pytest.fixture
def scan(corners: np.ndarray) -> Volume:
    rng = np.random.default_rng(0)
    data = (40 + 100 * rng.random((8, 8, 6)).repeat(4, 0).repeat(4, 1).repeat(4, 2)).astype(np.float32)
    data += rng.normal(0, 10, data.shape).astype(np.float32)
    data[corners] = PADDING
    return replace(Volume.from_array(data, name="ct"), unmeasured=corners)


def test_unmeasured_voxels_keep_their_values_in_every_output(
    scan: Volume, corners: np.ndarray, tiny_prior: Prior
) -> None:
    result = denoise(scan, tiny_prior, noise="gaussian", samples=1, n_steps=2)
    assert result.residual is not None
    assert result.noise_map is not None
    for volume in (result.output, result.samples[0]):
        np.testing.assert_array_equal(volume.data[corners], PADDING)
        assert not np.array_equal(volume.data[~corners], scan.data[~corners])
    assert np.all(result.residual.data[corners] == 0)
    assert np.all(np.isinf(result.noise_map.data[corners]))
    assert np.isfinite(result.figures["residual_over_noise"])


def test_the_padding_value_makes_no_difference(scan: Volume, corners: np.ndarray, tiny_prior: Prior) -> None:
    other = scan.with_data(np.where(corners, np.float32(31000), scan.data))
    ours, theirs = (denoise(volume, tiny_prior, noise="gaussian") for volume in (scan, other))
    assert ours.figures["noise_std"] == theirs.figures["noise_std"]
    np.testing.assert_array_equal(ours.output.data[~corners], theirs.output.data[~corners])


def test_without_the_mask_padding_is_tissue(scan: Volume, corners: np.ndarray, tiny_prior: Prior) -> None:
    """What the mask is for: the same scan without it loses its padding value."""
    result = denoise(replace(scan, unmeasured=None), tiny_prior, noise="gaussian", noise_std=10.0)
    assert not np.all(result.output.data[corners] == PADDING)


def test_inpaint_leaves_them_too(scan: Volume, corners: np.ndarray, tiny_prior: Prior) -> None:
    hole = np.zeros(scan.shape, dtype=np.uint8)
    hole[12:20, 12:20, 8:16] = 1
    result = inpaint(scan, Volume.from_array(hole), tiny_prior, noise="gaussian", noise_std=10.0, n_steps=2)
    np.testing.assert_array_equal(result.output.data[corners], PADDING)


def test_a_scan_of_padding_alone_is_refused(scan: Volume, tiny_prior: Prior) -> None:
    with pytest.raises(InputError, match="every voxel is padding"):
        denoise(replace(scan, unmeasured=np.ones(scan.shape, dtype=bool)), tiny_prior)


def test_the_mask_follows_its_slices(scan: Volume, corners: np.ndarray) -> None:
    measured = Gaps.of(scan, [3, 4]).without(scan)
    assert measured.unmeasured is not None
    assert measured.unmeasured.shape == measured.shape == (32, 32, 22)
    thick = replace(scan, affine_ras=np.diag([1.0, 1.0, 2.0, 1.0]))
    finer, _ = insert_slices(thick, 1.0)
    assert finer.unmeasured is not None
    np.testing.assert_array_equal(finer.unmeasured, np.repeat(corners[..., :1], 47, axis=2))


def test_a_mask_of_another_shape_is_refused(scan: Volume) -> None:
    with pytest.raises(InputError, match="does not fit"):
        replace(scan, data=scan.data[..., 1:])
