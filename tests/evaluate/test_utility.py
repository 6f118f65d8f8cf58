"""Nets trained on synthetic scans and judged on real ones: figures by hand, and worlds where the answer is known."""

import numpy as np
import pytest
import torch

from medidiff.errors import InputError
from medidiff.evaluate.cross_fit import halves, shrunk, shrunk_masks
from medidiff.evaluate.shortcut import shortcut
from medidiff.evaluate.small_nets import SegmentationNet, train_score
from medidiff.evaluate.utility import attribute, dice, segmentation, shared_attributes
from medidiff.significance import auc

SIDE = 16


def balls(count: int, seed: int, texture: float = 0.3, tilt: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy balls of different size and place, their masks and radii; `tilt` brightens one end."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1)
    radius = rng.uniform(3, 6, count)
    places = rng.uniform(6, 10, (count, 3))
    masks = np.stack([((grid - c) ** 2).sum(axis=-1) < r**2 for c, r in zip(places, radius, strict=True)])
    images = masks + texture * rng.standard_normal(masks.shape) + tilt * grid[..., 0] / SIDE
    images = (images - images.mean(axis=(1, 2, 3), keepdims=True)) / images.std(axis=(1, 2, 3), keepdims=True)
    return images.astype(np.float32), masks.astype(np.uint8), radius


def people(count: int) -> list[str]:
    return [f"p{i // 2}" for i in range(count)]


def test_dice_and_auc_by_hand() -> None:
    truth = np.zeros((2, 2, 2, 2), np.uint8)
    found = truth.copy()
    truth[0, 0], found[0, 0, 0] = 1, 1  # 4 voxels, 2 of them found: 2 * 2 / 6
    truth[1], found[1] = 2, 2
    assert dice(found, truth, 2) == pytest.approx([2 / 3, 1.0])
    assert auc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == pytest.approx(3.5 / 4)


def test_halves_are_of_patients_and_do_not_depend_on_the_order() -> None:
    names = people(40)
    deal = halves(names, 1)
    assert all(len({deal[i] for i in range(40) if names[i] == one}) == 1 for one in set(names))
    assert deal.sum() == 20
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(halves([names[i] for i in order], 1), deal[order])
    with pytest.raises(InputError, match="7 real patients"):
        halves(people(14), 1)


def test_large_scans_and_masks_are_halved_alike() -> None:
    images = np.arange(2 * 70 * 66 * 10, dtype=np.float32).reshape(2, 70, 66, 10)
    masks = (images % 7).astype(np.uint8)
    assert shrunk(images).shape == shrunk_masks(masks).shape == (2, 35, 33, 5)
    assert shrunk(images)[0, 0, 0, 0] == images[0, :2, :2, :2].mean()
    assert np.array_equal(shrunk_masks(masks), masks[:, ::2, ::2, ::2])


def test_the_net_takes_any_size_and_coarse_voxels_tell_the_fine_ones_in_order() -> None:
    net = SegmentationNet(2)
    assert net(torch.zeros(1, 1, 13, 10, 17)).shape == (1, 3, 13, 10, 17)
    from medidiff.evaluate.small_nets import _spread

    x = torch.arange(8.0).reshape(1, 8, 1, 1, 1)
    assert torch.equal(_spread(x)[0, 0], torch.arange(8.0).reshape(2, 2, 2))


def test_a_net_depends_on_its_seed_alone_and_leaves_others_random_numbers() -> None:
    images, _, radius = balls(8, 0)
    state = torch.random.get_rng_state()
    nets = [train_score(images, radius, False, 3, seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), state)
    first, again, other = (next(net.parameters()) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_good_synthetic_pairs_are_as_good_as_real_ones_and_wrong_masks_are_not() -> None:
    real, masks, _ = balls(16, 1)
    made, made_masks, _ = balls(16, 2)
    good = segmentation((made, made_masks), (real, masks), people(16), steps=30)
    assert good.trained_on == 8
    assert good.patients == 8
    assert good.synthetic.mean > 0.8
    assert abs(good.difference.mean) < 0.15
    assert good.per_scan.mean() == pytest.approx(good.synthetic.mean)
    assert good.to_dict()["difference"]["mean"] == pytest.approx(good.synthetic.mean - good.real.mean)
    wrong = segmentation((made, np.roll(made_masks, 8, axis=1)), (real, masks), people(16), steps=30)
    assert wrong.real == good.real
    assert wrong.difference.high < 0
    with pytest.raises(InputError, match="empty"):
        segmentation((made, made_masks), (real, 0 * masks), people(16), steps=1)


def slopes(count: int, seed: int) -> tuple[np.ndarray, list[dict]]:
    """Noise with a slope along x, which is the attribute."""
    rng = np.random.default_rng(seed)
    slope = rng.uniform(-2, 2, count)
    along = np.linspace(-1, 1, SIDE)[:, None, None]
    images = slope[:, None, None, None] * along + 0.5 * rng.standard_normal((count, SIDE, SIDE, SIDE))
    return images.astype(np.float32), [{"slope": float(value)} for value in slope]


def test_an_attribute_is_learned_where_the_scans_show_it_and_not_where_labels_are_shuffled() -> None:
    (real, rows), (made, made_rows) = slopes(24, 3), slopes(24, 4)
    rows[3] = {"slope": None}
    found = attribute("slope", (made, made_rows), (real, rows), people(24), steps=40)
    assert (found.figure, found.higher) == ("absolute error", False)
    assert found.chance is not None
    assert found.synthetic.mean < 0.6 * found.chance
    assert np.isnan(found.per_scan[3])
    assert np.isfinite(np.delete(found.per_scan, 3)).all()
    shuffled = [made_rows[i] for i in np.random.default_rng(0).permutation(24)]
    none = attribute("slope", (made, shuffled), (real, rows), people(24), steps=40)
    assert none.real == found.real
    assert none.synthetic.mean > 1.5 * found.synthetic.mean


def test_which_attributes_can_be_asked_for() -> None:
    real = [
        {"sex": "FM"[i % 2], "age": 20.0 + i, "site": "one", "three": "abc"[i % 3], "rare": None} for i in range(20)
    ]
    made = [{"sex": "FM"[i % 2], "age": 30.0 + i, "site": "one", "three": "abc"[i % 3], "rare": 1.0} for i in range(20)]
    assert shared_attributes(made, real) == ["sex", "age"]
    assert shared_attributes([{} for _ in made], real) == []
    with pytest.raises(InputError, match="three: must be a number"):
        attribute("three", (balls(20, 0)[0], made), (balls(20, 0)[0], real), people(20))


def test_the_shortcut_is_found_where_there_is_one() -> None:
    real, made, tilted = balls(40, 5)[0], balls(40, 6)[0], balls(40, 7, tilt=2.0)[0]
    same = shortcut(made, real, people(40), steps=25)
    assert same.auc.low < 0.5 < same.auc.high or abs(same.auc.mean - 0.5) < 0.2
    seen = shortcut(tilted, real, people(40), steps=25)
    assert seen.auc.mean > 0.95
    assert (seen.patients, seen.trained_on) == (20, 20)
