"""Patches: the same number gives the same patch, noise follows intensity, small scans are mirrored."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.cohort.augment import Augmentation, random_patch
from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.sources import Case, ProceduralSource

PLAIN = Augmentation(flip=False, axes=False, contrast=0, invert=0, scale=1, offset=0, coarser=0)


def _noise_case(shape: tuple[int, int, int], tau: float) -> Case:
    data = (tau * np.random.default_rng(0).standard_normal(shape)).astype(np.float16)
    return Case("noise", data, (1.0, 2.0, 3.0), tau, "noise")


def _data_module(cache: Path, first_step: int = 0) -> PatchDataModule:
    source = ProceduralSource(volumes=2, size=24, seed=1)
    data = PatchDataModule((source,), cache, cache, (16, 16, 16), 2, 10, Augmentation(), seed=7, val_patches=2)
    data.setup()
    data.first_step = first_step
    return data


def test_a_resumed_loader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = [batch["target"] for batch in _data_module(tmp_path).train_dataloader()]
    rest = [batch["target"] for batch in _data_module(tmp_path, first_step=3).train_dataloader()]
    assert all(bool((a == b).all()) for a, b in zip(whole[3:], rest, strict=False))
    assert not bool((whole[0] == rest[0]).all())


def test_val_patches_never_change(tmp_path: Path) -> None:
    one, two = (next(iter(_data_module(tmp_path).val_dataloader())) for _ in range(2))
    assert bool((one["target"] == two["target"]).all())


def test_plain_patch_is_the_scan() -> None:
    case = _noise_case((16, 16, 16), 0.5)
    patch, spacing, tau = random_patch(case, (16, 16, 16), PLAIN, np.random.default_rng(0))
    assert np.array_equal(patch, case.data.astype(np.float32))
    assert (spacing, tau) == ((1.0, 2.0, 3.0), 0.5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([(48, 40, 36), (20, 50, 33), (70, 64, 80)]))
def test_tau_follows_every_augmentation(seed: int, size: tuple[int, int, int]) -> None:
    """White noise stays white noise of the level stated, whatever was done to the patch."""
    patch, spacing, tau = random_patch(
        _noise_case(size, 0.3), (24, 24, 24), Augmentation(), np.random.default_rng(seed)
    )
    assert patch.shape == (24, 24, 24)
    assert np.isfinite(spacing).all()
    # mirrored voxels repeat: at least 16*16*20 are independent, so 5 standard errors are 5%
    assert patch.std() == pytest.approx(tau, rel=0.05)


def test_small_scan_is_mirrored_not_padded_with_zeros() -> None:
    case = Case("ramp", np.full((8, 30, 30), 5, dtype=np.float16), (1.0, 1.0, 1.0), 0.0, "x")
    patch, _, _ = random_patch(case, (16, 16, 16), PLAIN, np.random.default_rng(0))
    assert (patch == 5).all()
