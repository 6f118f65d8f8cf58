"""Masks as further channels: cut, turned, mirrored and padded with the image; not observed where they are not known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.cohort.augment import PLAIN, Augmentation, random_patch
from medidiff.cohort.cases import Box, Case
from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.patches import PatchDataset
from medidiff.cohort.store import Store
from medidiff.cohort.store_source import StoreSource, store_cases
from medidiff.errors import ConfigError, InputError

PATIENTS = [(f"p{i}", "train" if i < 6 else "val", 40.0 + i, "F" if i % 2 else "M") for i in range(8)]


class Shaped(Case):
    """A scan whose only mask is where its image is 1."""

    masks = ("mask",)  # type: ignore[assignment]

    def read_masks(self, box: Box) -> list[np.ndarray]:
        return [self.data[box]]


def _shaped(shape: tuple[int, int, int]) -> Shaped:
    data = np.where(np.random.default_rng(1).random(shape) < 0.3, 1, -1).astype(np.float16)
    affine = np.diag([1.0, 1.5, 2.0, 1.0])
    return Shaped("shaped", data, (1.0, 1.5, 2.0), 0.0, "x", affine, ((0, 0, 0), shape), 0.5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), side=st.integers(9, 40))
def test_a_mask_lies_where_the_image_does(seed: int, side: int) -> None:
    how = Augmentation(contrast=0, invert=0, scale=1, offset=0, coarser=0.5, mirror=True)
    patch = random_patch(_shaped((side, 24, 20)), (16, 16, 24), how, np.random.default_rng(seed))
    assert patch.masks is not None
    assert patch.inside is not None
    assert (patch.masks[0] == patch.data)[patch.inside].all()
    assert (patch.masks[0] == -1)[~patch.inside].all()
    assert patch.inside.any()
    assert (not patch.inside.all()) == ((patch.inside == 0).any())


def test_what_lies_beyond_a_small_scan_is_not_inside() -> None:
    patch = random_patch(_shaped((9, 40, 40)), (16, 16, 16), PLAIN, np.random.default_rng(0))
    assert patch.inside is not None
    assert patch.inside.sum() == 9 * 16 * 16


def test_a_mirrored_body_has_its_left_at_the_right() -> None:
    """Of scans whose voxels are their body coordinates: R is what is told or its opposite, A and S are what is told."""
    shape = (20, 24, 28)
    affine = np.diag([1.0, 1.5, 2.0, 1.0])
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    place = (index - (np.array(shape) - 1) / 2) * [1.0, 1.5, 2.0] / 100
    how = PLAIN.model_copy(update={"mirror": True, "axes": True, "flip": True})
    signs = set()
    for seed in range(40):
        for axis in range(3):
            case = Case("r", place[..., axis], (1.0, 1.5, 2.0), 0.0, "r", affine, ((0, 0, 0), shape), 0.5)
            patch = random_patch(case, (16, 16, 16), how, np.random.default_rng(seed), position=True)
            assert patch.position is not None
            told = (
                np.stack(np.meshgrid(*map(np.arange, (16, 16, 16)), indexing="ij"), axis=-1) @ patch.position[axis, :3]
            )
            told = told + patch.position[axis, 3]
            close = [sign for sign in (1, -1) if np.abs(sign * told - patch.data).max() < 2e-6]
            assert close == [1] if axis else len(close) == 1
            signs |= set(close) if axis == 0 else set()
    assert signs == {1, -1}


def _source(store: Store, **more: Any) -> StoreSource:
    return StoreSource(name="s", url=str(store.url), masks=("mask", "mask:1"), **more)


def test_masks_of_some_patients_only(make_store: Callable[..., Store]) -> None:
    store = make_store(PATIENTS, shape=(16, 16, 16))
    cases = store_cases(_source(store, label_patients=2), "train")
    labelled = {case.patient for case in cases if len(case.read_masks((slice(None), slice(None), slice(None))))}
    assert len(labelled) == 2
    assert labelled == cases.labelled
    assert labelled == store_cases(_source(store, label_patients=2), "train").labelled
    assert store_cases(_source(store, label_patients=1), "val").labelled == {"p6", "p7"}
    for item, case in ((_dataset(cases[i : i + 1])[0], cases[i]) for i in range(len(cases))):
        known = case.patient in labelled
        assert item["target"].shape == (3, 16, 16, 16)
        assert item["tau"].flatten().tolist() == [
            pytest.approx(0.1),
            0,
            0,
        ]
        assert item["observed"].flatten(1).mean(dim=1).tolist() == [1, known, known]
        assert (item["target"][1:] == 0).all() != known


def test_patients_with_labels_are_drawn_as_often_as_is_said(make_store: Callable[..., Store]) -> None:
    store = make_store(PATIENTS, shape=(16, 16, 16))
    cases = store_cases(_source(store, label_patients=1, label_share=0.7), "train")
    rng = np.random.default_rng(0)
    drawn = [cases.draw(rng) for _ in range(600)]
    with_labels = [case.patient for case in drawn if case.labelled]
    assert {case.patient for case in drawn} == cases.patients
    assert set(with_labels) == cases.labelled
    assert len(with_labels) / 600 == pytest.approx(0.7, abs=0.06)
    everyone = store_cases(_source(store, label_patients=99, label_share=0.7), "train")
    assert {everyone.draw(rng).patient for _ in range(200)} == everyone.patients
    with pytest.raises(ValueError, match="give label_patients too"):
        _source(store, label_share=0.5)


def _dataset(cases: Any) -> PatchDataset:
    return PatchDataset([(1.0, cases)], ("s",), (16, 16, 16), 4, augmentation=PLAIN, seed=0, masks=("mask", "mask:1"))


def test_own_noise_kept_is_no_noise(make_store: Callable[..., Store]) -> None:
    store = make_store(PATIENTS, shape=(16, 16, 16))
    assert {round(case.tau, 6) for case in store_cases(_source(store), "train")} == {0.1}
    assert {case.tau for case in store_cases(_source(store, own_noise="kept"), "train")} == {0.0}


def _module(*sources: StoreSource, **more: Any) -> PatchDataModule:
    return PatchDataModule(sources, Path(), Path(), (16, 16, 16), 2, 4, PLAIN, 0, **more)


def test_statistics_of_every_channel(make_store: Callable[..., Store]) -> None:
    """The masks of noise above 1 hold a share p of the voxels: mean 2 p - 1, deviation 2 sqrt(p (1 - p))."""
    store = make_store(PATIENTS, shape=(16, 16, 16))
    data = _module(_source(store, label_patients=1))
    data.setup()
    p = 0.1587  # of a standard normal
    spread = pytest.approx(2 * (p * (1 - p)) ** 0.5, rel=0.05)
    assert data.sigma_data() == (pytest.approx(1, rel=0.03), spread, spread)
    assert data.mean_data() == (0, pytest.approx(2 * p - 1, abs=0.02), pytest.approx(2 * p - 1, abs=0.02))


def test_a_label_that_nowhere_stands_is_refused(make_store: Callable[..., Store]) -> None:
    """It would train, and a sample's mask would always be empty."""
    store = make_store(PATIENTS, shape=(16, 16, 16))
    data = _module(StoreSource(name="s", url=str(store.url), masks=("mask", "mask:7")))
    data.setup()
    with pytest.raises(InputError, match="masks mask:7: no voxel of it in 16 training patches"):
        data.mean_data(2)
    data.had_masks = ("mask", "mask:7")  # a prior's masks may be missing in the cohort it is adapted to
    assert data.mean_data(2)[2] == -1


def test_other_masks_are_refused(make_store: Callable[..., Store]) -> None:
    store = make_store(PATIENTS, shape=(16, 16, 16))
    data = _module(_source(store), had_masks=("mask:1",))
    with pytest.raises(ConfigError, match=r"masks of s are .*, of the prior"):
        _ = data.masks
    assert _module(StoreSource(name="s", url="x"), had_masks=("mask:1",)).masks == ("mask:1",)
    assert _module(_source(store), had_masks=("mask", "mask:1")).masks == ("mask", "mask:1")


@pytest.mark.parametrize("name", ["image", "mask:0", "mask:", "masks"])
def test_unknown_masks(name: str) -> None:
    with pytest.raises(ValueError, match="masks"):
        StoreSource(name="s", url="x", masks=(name,))


def test_collates(make_store: Callable[..., Store]) -> None:
    store = make_store(PATIENTS, shape=(16, 16, 16))
    cases = store_cases(_source(store, label_patients=2), "train")
    batch = torch.utils.data.default_collate([_dataset(cases)[i] for i in range(3)])
    assert batch["target"].shape == batch["observed"].shape == (3, 3, 16, 16, 16)
