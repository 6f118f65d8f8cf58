"""Bent patches: masks bend as their image does, no seam opens, and the dataset says that the image teaches nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.cohort.augment import PLAIN
from medidiff.cohort.bend import AFFINE, DISPLACEMENT_VOXELS, bend
from medidiff.cohort.conditions import trained_conditions
from medidiff.cohort.patches import PatchDataset
from medidiff.cohort.store import Store
from medidiff.cohort.store_source import StoreSource, store_cases

SHAPE = (30, 24, 36)


def _index() -> np.ndarray:
    """Voxel indices about the middle, (3, x, y, z)."""
    lines = [np.arange(n) - (n - 1) / 2 for n in SHAPE]
    return np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float32)


def _bent(images: np.ndarray, masks: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Several images bent alike."""
    everywhere = np.ones(SHAPE, dtype=bool)
    found = [bend(image, masks, everywhere, np.random.default_rng(seed)) for image in images]
    return np.stack([image for image, _, _ in found]), found[0][1], found[0][2]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_masks_lie_where_the_bent_image_says(seed: int) -> None:
    """An ellipsoid in three parts, and its distance as image: whole without a seam, the parts on their sides."""
    place = _index()
    inside = 1 - np.sqrt(((place / np.array([9, 7, 12]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    x, y, _ = place
    parts = [(inside > 0) & side for side in (x <= 0, (x > 0) & (y <= 0), (x > 0) & (y > 0))]
    masks = np.where(np.stack(parts), 1, -1).astype(np.float32)
    (bent, bent_x), found, _ = _bent(np.stack([inside, x]), masks, seed)
    assert set(np.unique(found)) == {-1, 1}
    both = (found > 0).sum(axis=0)
    assert both.max() == 1
    assert (both[bent > 0.15] == 1).all()  # also where the three meet
    assert (both[bent < -0.15] == 0).all()
    assert (found[0][(bent > 0.15) & (bent_x < -1)] == 1).all()
    assert (found[0][bent_x > 2] == -1).all()


def test_how_far_it_moves() -> None:
    """Affine entries of AFFINE times the distance, and DISPLACEMENT_VOXELS at the knots, less between them."""
    place = _index()
    moves = []
    for seed in range(40):
        bent, _, there = _bent(place, -np.ones((1, *SHAPE), dtype=np.float32), seed)
        moves.append(np.where(there, bent - place, np.nan))
    moved = np.nanstd(np.stack(moves), axis=0)
    middle = moved[:, 13:17, 10:14, 16:20]
    assert 0.4 * DISPLACEMENT_VOXELS < middle.mean() < DISPLACEMENT_VOXELS
    end = float(np.hypot(AFFINE * 12, 0.7 * DISPLACEMENT_VOXELS))
    assert moved[0, 3, 12, 18] == pytest.approx(end, rel=0.35)


def test_what_lies_beyond_is_not_inside() -> None:
    everywhere = np.ones(SHAPE, dtype=bool)
    masks = np.full((1, *SHAPE), -1, dtype=np.float32)
    there = np.stack([bend(_index()[0], masks, everywhere, np.random.default_rng(s))[2] for s in range(20)])
    assert there[:, 10:20, 8:16, 12:24].all()
    assert 0.05 < 1 - there.mean() < 0.4
    assert not bend(_index()[0], masks, ~everywhere, np.random.default_rng(0))[2].any()


def test_patches_say_what_teaches(make_store: Callable[..., Store]) -> None:
    """Those with masks are bent as often as is said, and are told no conditions; others never are."""
    patients = [(f"p{i}", "train", 40.0 + i, "F" if i % 2 else "M") for i in range(6)]
    store = make_store(patients, shape=(16, 16, 16))
    cases = store_cases(StoreSource(name="s", url=str(store.url), masks=("mask",), label_patients=3), "train")
    slots = trained_conditions(("age", "sex"), [cases], None)

    def patches(share: float) -> PatchDataset:
        how = PLAIN.model_copy(update={"bend": share})
        options = {"augmentation": how, "seed": 0, "conditions": slots, "masks": ("mask",)}
        return PatchDataset([(1.0, cases)], ("s",), (16, 16, 16), 200, **options)

    bent = 0
    for plain, item in ((patches(0)[i], patches(0.6)[i]) for i in range(200)):
        assert "taught" not in plain
        labelled = bool(plain["observed"][1].any())
        image, mask = item["taught"].flatten().tolist()
        assert mask == 1
        assert labelled or image == 1
        bent += image == 0
        assert torch.equal(item["target"], plain["target"]) == (image == 1)
        assert bool(torch.isnan(item["cond"]["age"])) == (image == 0)
        assert (int(item["cond"]["sex"]) == 0) == (image == 0)
        assert torch.equal(item["target"][0], plain["target"][0]) or labelled
    assert 40 < bent < 80  # 0.6 of half of 200
