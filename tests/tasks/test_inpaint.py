"""Filling a hole by the path of denoising, with an infinite level in the mask."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medidiff import inpaint
from medidiff.errors import GeometryError, InputError, NoiseError, UsageError
from medidiff.io import read_nifti, write_nifti
from medidiff.noise import add_gaussian
from medidiff.prior import Prior
from medidiff.volume import Volume

CPU: dict[str, Any] = {"device": "cpu", "precision": "float32", "n_steps": 4}


@pytest.fixture(scope="module")
def scan() -> Volume:
    clean = np.full((40, 36, 32), 100.0, dtype=np.float32)
    clean[8:32, 8:28, 8:24] = 400
    return Volume.from_array(add_gaussian(clean, 20.0, np.random.default_rng(0)), (2.0, 2.0, 2.0), name="scan")


@pytest.fixture(scope="module")
def mask(scan: Volume) -> Volume:
    hole = np.zeros(scan.shape, dtype=bool)
    hole[16:24, 14:22, 12:20] = True
    return scan.with_data(hole)


def test_observed_voxels_stay(tiny_prior: Prior, scan: Volume, mask: Volume) -> None:
    result = inpaint(scan, mask, tiny_prior, **CPU)
    hole = mask.data
    assert np.array_equal(result.output.data[~hole], scan.data[~hole])
    assert not np.array_equal(result.output.data[hole], scan.data[hole])
    assert np.isfinite(result.output.data).all()
    assert result.noise_map is not None
    assert np.array_equal(np.isinf(result.noise_map.data), hole)
    assert result.nfe == 4 + 1
    assert result.samples == []


def test_what_the_hole_held_does_not_matter(tiny_prior: Prior, scan: Volume, mask: Volume) -> None:
    other = scan.with_data(np.where(mask.data, 1e6, scan.data).astype(np.float32))
    a = inpaint(scan, mask, tiny_prior, seed=3, **CPU)
    b = inpaint(other, mask, tiny_prior, seed=3, **CPU)
    assert np.array_equal(a.output.data, b.output.data)


def test_with_a_given_level_all_is_sampled(tiny_prior: Prior, scan: Volume, mask: Volume) -> None:
    result = inpaint(scan, mask, tiny_prior, noise="gaussian", noise_std=20.0, samples=2, **CPU)
    assert not np.array_equal(result.output.data[~mask.data], scan.data[~mask.data])
    assert len(result.samples) == 2
    assert np.array_equal(result.samples[0].data, result.output.data)
    pasted = inpaint(scan, mask, tiny_prior, noise="gaussian", noise_std=20.0, paste=True, **CPU)
    assert np.array_equal(pasted.output.data[~mask.data], scan.data[~mask.data])
    assert np.array_equal(pasted.output.data[mask.data], result.output.data[mask.data])


def test_clean_scans_can_be_filled(tiny_prior: Prior, mask: Volume) -> None:
    ramp = np.linspace(0, 1, 40, dtype=np.float32)[:, None, None] * np.ones(mask.shape, dtype=np.float32)
    result = inpaint(mask.with_data(ramp), mask, tiny_prior, **CPU)
    assert any("taken as clean" in w for w in result.warnings)


def test_bad_masks_are_refused(tiny_prior: Prior, scan: Volume, mask: Volume) -> None:
    with pytest.raises(InputError, match="is empty"):
        inpaint(scan, mask.with_data(np.zeros(scan.shape)), tiny_prior, **CPU)
    with pytest.raises(InputError, match="covers everything"):
        inpaint(scan, mask.with_data(np.ones(scan.shape)), tiny_prior, **CPU)
    with pytest.raises(GeometryError, match="another grid"):
        inpaint(scan, Volume.from_array(mask.data, (1.0, 1.0, 1.0)), tiny_prior, **CPU)
    with pytest.raises(NoiseError, match="must be a positive"):
        inpaint(scan, mask, tiny_prior, noise_std=-1.0, **CPU)
    with pytest.raises(UsageError, match="samples 0"):
        inpaint(scan, mask, tiny_prior, samples=0, **CPU)


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_the_file_keeps_every_voxel_outside_the_mask(kind: str, tiny_prior: Prior, tmp_path: Path) -> None:
    """Through the file and back: an integer scan keeps its type, slope and numbers; only the hole is new."""
    data = np.random.default_rng(0).integers(3, 200, (16, 16, 16)).astype(np.float32)
    write_nifti(Volume.from_array(data), tmp_path / "scan.nii.gz", dtype=kind)
    scan = read_nifti(tmp_path / "scan.nii.gz")
    hole = np.zeros(scan.shape, dtype=np.uint8)
    hole[4:9, 5:10, 6:11] = 1
    result = inpaint(scan, scan.with_data(hole), tiny_prior, **CPU)
    write_nifti(result.output, tmp_path / "filled.nii.gz")
    filled = read_nifti(tmp_path / "filled.nii.gz")
    assert filled.header is not None
    assert filled.header.dtype == kind
    assert np.array_equal(filled.data[hole == 0], scan.data[hole == 0])
    assert np.array_equal(filled.data, result.output.data)
