"""Patches: the same number gives the same patch, noise follows intensity, small scans are mirrored."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.cohort.augment import Augmentation, random_patch
from medidiff.cohort.cases import Case
from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.sources import ProceduralSource

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
    one, two = (next(iter(_data_module(tmp_path).val_dataloader()[0])) for _ in range(2))
    assert bool((one["target"] == two["target"]).all())


def test_plain_patch_is_the_scan() -> None:
    case = _noise_case((16, 16, 16), 0.5)
    patch, spacing, tau, *_ = random_patch(case, (16, 16, 16), PLAIN, np.random.default_rng(0))
    assert np.array_equal(patch, case.data.astype(np.float32))
    assert (spacing, tau) == ((1.0, 2.0, 3.0), 0.5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([(48, 40, 36), (20, 50, 33), (70, 64, 80)]))
def test_tau_follows_every_augmentation(seed: int, size: tuple[int, int, int]) -> None:
    """White noise stays white noise of the level stated, whatever was done to the patch."""
    patch, spacing, tau, *_ = random_patch(
        _noise_case(size, 0.3), (24, 24, 24), Augmentation(), np.random.default_rng(seed)
    )
    assert patch.shape == (24, 24, 24)
    assert np.isfinite(spacing).all()
    # mirrored voxels repeat: at least 16*16*20 are independent, so 5 standard errors are 5%
    assert patch.std() == pytest.approx(tau, rel=0.05)


def test_small_scan_is_mirrored_not_padded_with_zeros() -> None:
    case = Case("ramp", np.full((8, 30, 30), 5, dtype=np.float16), (1.0, 1.0, 1.0), 0.0, "x")
    patch = random_patch(case, (16, 16, 16), PLAIN, np.random.default_rng(0)).data
    assert (patch == 5).all()


def test_a_centred_patch_is_the_middle_whatever_the_seed() -> None:
    """Too long along the first axis, right along the second, one voxel and three too short: mirrored at both ends."""
    data = np.random.default_rng(1).standard_normal((21, 16, 13)).astype(np.float16)
    case = Case("crop", data, (1.0, 1.0, 1.0), 0.0, "x", affine_ras=np.eye(4), body=((0, 0, 0), (21, 16, 13)))
    wanted = np.pad(data[2:18], [(0, 0), (0, 0), (1, 2)], mode="symmetric").astype(np.float32)
    for seed in range(5):
        how = PLAIN.model_copy(update={"centred": 1.0})
        patch = random_patch(case, (16, 16, 16), how, np.random.default_rng(seed), position=True)
        assert np.array_equal(patch.data, wanted)
        assert patch.position is not None
        middle = patch.position[:, :3] @ [7.5, 7.5, 7.5] + patch.position[:, 3]
        assert np.abs(middle * 100).max() <= 0.5 + 1e-4  # mm: where `Session.know_body_fills` says a sample lies


def test_some_patches_are_centred() -> None:
    case = _noise_case((40, 16, 16), 1.0)
    how = PLAIN.model_copy(update={"centred": 0.5})
    rng = np.random.default_rng(0)
    middle = case.data[12:28].astype(np.float32)
    found = [np.array_equal(random_patch(case, (16, 16, 16), how, rng).data, middle) for _ in range(200)]
    assert 80 < sum(found) < 125  # half, and one in 25 of the others


def _ramps(shape: tuple[int, int, int], low: tuple[int, ...], high: tuple[int, ...]) -> list[Case]:
    """A scan of the body coordinate along R, one along A and one along S, on an oblique grid; in steps of float32."""
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    affine = np.eye(4)
    affine[:3] = np.concatenate([turn * [1.0, 1.5, 2.5], [[30.0], [-7.0], [99.0]]], axis=1)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    centre = affine[:3, :3] @ ((np.array(low) + np.array(high) - 1) / 2) + affine[:3, 3]
    place = ((mm - centre) / 100).astype(np.float32)
    return [
        Case(f"ramp {axis}", place[..., axis], (1.0, 1.5, 2.5), 0.0, "ramp", affine, (low, high), 0.5)  # type: ignore[arg-type]
        for axis in range(3)
    ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_position_is_that_of_every_voxel(seed: int) -> None:
    """Of scans whose voxels ARE their body coordinates, a patch holds what its position says: whatever was done."""
    how = Augmentation(contrast=0, invert=0, scale=1, offset=0, coarser=0.7)
    for axis, case in enumerate(_ramps((70, 50, 64), (5, 7, 9), (60, 44, 50))):
        patch = random_patch(case, (16, 12, 20), how, np.random.default_rng(seed), position=True)
        assert patch.position is not None
        index = np.stack(np.meshgrid(*map(np.arange, patch.data.shape), indexing="ij"), axis=-1)
        said = index @ patch.position[axis, :3] + patch.position[axis, 3]
        # float32 coordinates up to 2 are 1e-7 wide; the mean over 8 of them adds a few
        assert np.abs(said - patch.data).max() < 2e-6


@pytest.mark.parametrize("flip", [False, True])
def test_a_mirrored_end_goes_on_where_it_lies(flip: bool) -> None:
    """Inside a scan shorter than the patch the position holds; the mirrored rest has the coordinates beyond the end."""
    how = PLAIN.model_copy(update={"flip": flip, "axes": flip})
    for seed in range(20):
        for axis, case in enumerate(_ramps((9, 40, 12), (0, 0, 0), (9, 40, 12))):
            patch = random_patch(case, (16, 16, 16), how, np.random.default_rng(seed), position=True)
            assert patch.position is not None
            index = np.stack(np.meshgrid(*map(np.arange, patch.data.shape), indexing="ij"), axis=-1)
            right = np.abs(index @ patch.position[axis, :3] + patch.position[axis, 3] - patch.data) < 2e-6
            assert right.sum() >= 9 * 16 * 12


def test_no_position_where_none_is_known() -> None:
    case = _noise_case((16, 16, 16), 0.5)
    assert random_patch(case, (16, 16, 16), PLAIN, np.random.default_rng(0), position=True).position is None


def test_patches_come_mostly_from_the_body() -> None:
    data = np.zeros((100, 100, 100), dtype=np.float16)
    data[60:80, 10:30, 40:60] = 1
    body = ((60, 10, 40), (80, 30, 60))
    for share, low, high in [(1.0, 1.0, 1.0), (0.5, 0.45, 0.62), (0.0, 0.0, 0.1)]:
        case = Case("x", data, (1.0, 1.0, 1.0), 0.0, "x", body=body, foreground=share)
        rng = np.random.default_rng(1)
        centres = [random_patch(case, (8, 8, 8), PLAIN, rng).data[4, 4, 4] for _ in range(400)]
        assert low <= np.mean(centres) <= high  # 0.5 plus the 0.8% of the scan that is body; 4 standard errors are 0.1
