"""The contrastive encoder: its loss by hand, its views, and that it learns."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from medidiff.errors import InputError, UsageError
from medidiff.privacy.encoder import Encoder, nt_xent, phantom_references, train_encoder
from medidiff.privacy.transforms import planted_copies
from medidiff.privacy.views import bent, smoothed, view

SHAPE = (16, 16, 16)


@pytest.fixture(scope="module")
def phantoms() -> np.ndarray:
    return phantom_references(SHAPE, 10, 0)


@pytest.fixture(scope="module")
def trained(phantoms: np.ndarray) -> Encoder:
    return train_encoder(phantoms, np.arange(10), seed=1, steps=25)


def test_the_loss_by_hand() -> None:
    rows = torch.nn.functional.normalize(torch.randn((8, 5), generator=torch.Generator().manual_seed(0)), dim=1)
    scans, patients = torch.tensor([0, 1, 2, 3] * 2), torch.tensor([0, 0, 1, 2] * 2)  # 0 and 1 are of one patient
    total = 0.0
    for i in range(8):
        partner, others = (i + 4) % 8, []
        for j in range(8):
            other_scan_of_his = patients[i] == patients[j] and scans[i] != scans[j]
            if j != i and not other_scan_of_his:
                others.append(math.exp(float(rows[i] @ rows[j]) / 0.1))
        total -= math.log(math.exp(float(rows[i] @ rows[partner]) / 0.1) / sum(others)) / 8
    assert float(nt_xent(rows, scans, patients, 0.1)) == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("voxels", [0.8, 3.0])
def test_smoothing_agrees_with_scipy(voxels: float) -> None:
    image = np.random.default_rng(0).standard_normal((2, 1, 12, 9, 20)).astype(np.float32)
    wanted = ndimage.gaussian_filter(
        image, (0, 0, voxels, voxels, voxels), mode="nearest", radius=math.ceil(4 * voxels)
    )
    np.testing.assert_allclose(smoothed(torch.from_numpy(image), voxels).numpy(), wanted, atol=1e-5)


def test_views_are_seeded_and_differ(phantoms: np.ndarray) -> None:
    scans = torch.from_numpy(phantoms[:4])[:, None]
    for make in (view, bent):
        first, again = (make(scans, torch.Generator().manual_seed(3)) for _ in range(2))
        torch.testing.assert_close(first, again, atol=0, rtol=0)
        assert first.shape == scans.shape
        assert torch.isfinite(first).all()
        assert (first - scans).abs().mean() > 0.05
        assert (make(scans, torch.Generator().manual_seed(4)) - first).abs().mean() > 0.05


def test_features_are_of_unit_norm_and_blind_to_mirror_and_contrast(phantoms: np.ndarray, trained: Encoder) -> None:
    rows = trained.embed(phantoms)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(trained.embed(phantoms[:, ::-1]), rows, atol=1e-4)
    np.testing.assert_allclose(trained.embed(300 * phantoms - 40), rows, atol=1e-3)
    np.testing.assert_allclose(trained.embed(phantoms[3:4]), rows[3:4], atol=1e-5)


def test_training_is_seeded_and_blind_to_the_order_of_files(phantoms: np.ndarray) -> None:
    patients, order = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8]), np.random.default_rng(0).permutation(10)
    rows = train_encoder(phantoms, patients, seed=2, steps=2).embed(phantoms)
    shuffled = train_encoder(phantoms[order], 20 - patients[order], seed=2, steps=2).embed(phantoms)
    np.testing.assert_array_equal(rows, shuffled)
    assert (train_encoder(phantoms, patients, seed=3, steps=2).embed(phantoms) != rows).any()


def test_it_learns_to_know_a_copy_again(phantoms: np.ndarray, trained: Encoder) -> None:
    # Bent forms of two phantoms that it has not seen, so that it is the shape of the bend that counts.
    base = torch.from_numpy(phantom_references(SHAPE, 2, 50).repeat(12, axis=0))[:, None]
    people = bent(base, torch.Generator().manual_seed(5))[:, 0].numpy()
    copies = planted_copies(people, np.arange(24), "combined", 24, 1)

    def margin(encoder: Encoder) -> float:
        sim = encoder.embed(copies.images) @ encoder.embed(people).T
        return float((sim[range(24), copies.sources] - sim.mean(axis=1)).mean())

    assert margin(trained) > 1.4 * margin(train_encoder(phantoms, np.arange(10), seed=1, steps=0))  # 1.8 measured


def test_phantoms_are_normalised_and_seeded(phantoms: np.ndarray) -> None:
    np.testing.assert_allclose(phantoms.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(phantoms.std((1, 2, 3)), 1, atol=1e-4)
    np.testing.assert_array_equal(phantom_references(SHAPE, 3, 0), phantoms[:3])
    assert (phantom_references(SHAPE, 1, 99) != phantoms[:1]).any()


def test_bad_input_is_refused(phantoms: np.ndarray, trained: Encoder) -> None:
    with pytest.raises(InputError, match="2 patients"):
        train_encoder(phantoms, np.zeros(10), seed=0, steps=1)
    with pytest.raises(UsageError, match="steps -1"):
        train_encoder(phantoms, np.arange(10), seed=0, steps=-1)
    with pytest.raises(UsageError, match="count 0"):
        phantom_references(SHAPE, 0, 0)
    with pytest.raises(InputError, match="NaN"):
        trained.embed(phantoms * np.nan)
