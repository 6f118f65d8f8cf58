"""Procedural volumes: seeded, finite, of any shape, with edges and dark backgrounds, and free of noise."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.errors import UsageError
from medidiff.phantoms.dead_leaves import SMALLEST_RADIUS, dead_leaves, power_law_sizes
from medidiff.phantoms.fields import band_field, smooth_field
from medidiff.phantoms.labels import random_labels
from medidiff.phantoms.procedural import leaves_on_labels, procedural_volume

Generator = Callable[[tuple[int, int, int], int], np.ndarray]
GENERATORS = [dead_leaves, random_labels, leaves_on_labels, procedural_volume]
sides = st.integers(16, 40)


def digest(volume: np.ndarray) -> str:
    return hashlib.sha256(volume.tobytes()).hexdigest()


@pytest.mark.parametrize("make", GENERATORS)
def test_same_seed_same_bits_and_other_seed_other_volume(make: Generator) -> None:
    shape = (24, 20, 28)
    volumes = [make(shape, seed) for seed in range(4)]
    assert [digest(v) for v in volumes] == [digest(make(shape, seed)) for seed in range(4)]
    assert len({digest(v) for v in volumes}) == 4


def test_same_bits_in_another_process_with_another_number_of_threads() -> None:
    code = (
        "import hashlib; from medidiff.phantoms.procedural import procedural_volume as p;"
        "print(hashlib.sha256(b''.join(p((48, 40, 44), s).tobytes() for s in range(6))).hexdigest())"
    )
    threads = {name: "2" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | threads)
    assert run.returncode == 0, run.stderr
    there = run.stdout.strip()
    here = hashlib.sha256(b"".join(procedural_volume((48, 40, 44), s).tobytes() for s in range(6))).hexdigest()
    assert there == here


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(sides, sides, sides), seed=st.integers(0, 2**40))
def test_any_shape_is_finite_in_range_and_not_constant(shape: tuple[int, int, int], seed: int) -> None:
    volume = procedural_volume(shape, seed)
    assert volume.shape == shape
    assert volume.dtype == np.float32
    assert volume.flags.c_contiguous
    assert np.isfinite(volume).all()
    assert volume.min() >= 0
    assert volume.max() <= 1.2
    assert volume.std() > 0.005


@pytest.mark.parametrize("shape", [(15, 32, 32), (32, 32), (8, 8, 8)])
def test_small_or_flat_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="at least 16"):
        procedural_volume(shape, 0)  # pyright: ignore[reportArgumentType]


def share_of_one_value(volume: np.ndarray) -> float:
    """Share of voxels on the outer faces that hold exactly the corner's value, or nearly."""
    faces = np.concatenate([volume[[0, -1]].ravel(), volume[:, [0, -1]].ravel()])
    return float(np.mean(np.abs(faces - volume[0, 0, 0]) < 1e-6))


def test_three_in_ten_leaves_volumes_have_a_dark_constant_background() -> None:
    shares = [share_of_one_value(dead_leaves((32, 32, 32), seed)) for seed in range(120)]
    dark = np.mean(np.array(shares) > 0.6)
    assert 0.17 < dark < 0.45  # binomial(120, 0.3) has a standard deviation of 0.042: three of them


def test_sizes_follow_the_power_law() -> None:
    sizes = power_law_sizes(200_000, 1e6, 3.0, np.random.default_rng(0))
    assert sizes.min() >= SMALLEST_RADIUS
    # Maximum likelihood (Clauset et al. 2009, Eq. 3.1); its standard error is (3 - 1) / sqrt(200000) = 0.0045.
    assert 1 + len(sizes) / np.log(sizes / SMALLEST_RADIUS).sum() == pytest.approx(3.0, abs=0.02)
    assert power_law_sizes(10_000, 20.0, 2.5, np.random.default_rng(1)).max() <= 20.0


def third_difference(volume: np.ndarray) -> np.ndarray:
    """|third difference| along the first axis over sqrt(20): white noise gives its own standard deviation."""
    return np.abs(np.diff(volume, n=3, axis=0)) / np.sqrt(20)


def test_volumes_are_free_of_noise() -> None:
    """White noise of level s makes the lower quartile of the scaled third difference 0.32 s. Noise-free volumes have
    large smooth parts, so their quartile lies under that of noise at 0.5% of the range, in all but textured volumes."""
    quartiles = [np.percentile(third_difference(procedural_volume((48, 48, 48), s)), 25) for s in range(40)]
    assert np.mean(np.array(quartiles) < 0.32 * 0.005) > 0.75


def test_edges_exist_at_every_scale() -> None:
    """Steps between neighbours of a tenth of the range, in most volumes."""
    steps = [np.abs(np.diff(procedural_volume((48, 48, 48), seed), axis=0)).max() for seed in range(20)]
    assert np.mean(np.array(steps) > 0.1) > 0.85


def test_smooth_field_has_unit_variance_and_its_scale() -> None:
    rng = np.random.default_rng(0)
    field = smooth_field((96, 80, 64), 4.0, rng)
    assert field.std() == pytest.approx(1.0, abs=0.05)  # about 8000 independent values
    assert np.abs(np.diff(field, axis=0)).std() < 0.5


def test_band_field_has_no_wave_shorter_than_its_limit() -> None:
    field = band_field((32, 32, 32), 3.0, np.random.default_rng(0), octaves=1.0)
    power = np.abs(np.fft.fftn(field)) ** 2
    f = np.fft.fftfreq(32)
    radius = np.sqrt(f[:, None, None] ** 2 + f[:, None] ** 2 + f**2)
    assert power[radius > 1 / 2.6].sum() < 1e-9 * power.sum()  # float32 rounding only
