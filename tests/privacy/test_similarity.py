"""The pose-searched similarity: 1 for the same picture, and the same whatever else is in the gallery or the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from medidiff.errors import InputError
from medidiff.privacy.high_pass import band_pass
from medidiff.privacy.similarity import InvariantSimilarity, PoseSearch
from medidiff.privacy.thresholds import TRANSFORMS
from medidiff.privacy.transforms import planted_copies

SHAPE = (24, 20, 22)
STORE = Path(__file__).resolve().parents[2] / "runs" / "stores" / "hippocampus"
ROUNDING = 2e-4
"""Of a correlation near 1: trilinear interpolation at whole voxels is wrong by about 1e-6 of a voxel, sums by less; a
tenth of a thousandth leaves room for another order of summation in the search."""


def scans(n: int, seed: int = 0) -> np.ndarray:
    """Common anatomy, and as much of each one's own, in air: nothing is cut off at the ends."""
    rng = np.random.default_rng(seed)
    textures = ndimage.gaussian_filter(rng.standard_normal((n + 1, *SHAPE)), (0, 1.6, 1.6, 1.6))
    textures /= textures.std(axis=(1, 2, 3), keepdims=True)
    axes = [(np.arange(size) - (size - 1) / 2) / (size / 2 - 3) for size in SHAPE]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    body = 1 / (1 + np.exp(12 * (radius - 0.9)))
    return (body * (3 + textures[0] + textures[1:])).astype(np.float32)


@pytest.fixture(scope="module")
def gallery() -> np.ndarray:
    return scans(12)


@pytest.fixture(scope="module")
def similarity() -> InvariantSimilarity:
    return InvariantSimilarity()


def test_the_same_scan_scores_one_and_strangers_less(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    sim = similarity.matrix(gallery[:4], gallery)
    assert sim.shape == (4, 12)
    assert sim.dtype == np.float32
    np.testing.assert_allclose(sim[range(4), range(4)], 1, atol=ROUNDING)
    assert np.sort(sim, axis=1)[:, -2].max() < 0.95
    assert (np.abs(sim) <= 1).all()


def test_flip_and_whole_shift_are_exact(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    queries = np.stack(
        [gallery[0][::-1], np.roll(gallery[1], (2, -2, 0), axis=(0, 1, 2)), np.roll(gallery[2], 1, axis=1)]
    )
    sim = similarity.matrix(queries, gallery)
    assert sim[0, 0] == pytest.approx(1, abs=ROUNDING)
    # Rolled through air, so only what the window's end cuts off the smoothing differs; an odd shift is between the
    # voxels of the coarse search and has to be found by the fine one.
    assert sim[1, 1] > 0.99
    assert sim[2, 2] > 0.99


def test_intensity_scale_and_offset_do_not_matter(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    scale = np.array([0.01, 40], np.float32)[:, None, None, None]
    np.testing.assert_allclose(
        similarity.matrix(scale * gallery[:2] + 7 * scale, gallery), similarity.matrix(gallery[:2], gallery), atol=1e-3
    )


def test_a_query_does_not_see_the_others(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    queries = scans(5, seed=3)
    together = similarity.matrix(queries, gallery)
    alone = np.concatenate([similarity.matrix(query[None], gallery) for query in queries[::-1]])[::-1]
    np.testing.assert_array_equal(together, alone)


def test_the_number_of_threads_does_not_matter(gallery: np.ndarray) -> None:
    before, rows = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            rows.append(InvariantSimilarity().matrix(gallery[:4], gallery))
            assert torch.get_num_threads() == threads, "it is put back"
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*rows)


def test_the_order_of_the_gallery_does_not_matter(gallery: np.ndarray) -> None:
    queries, order = scans(4, seed=4), np.random.default_rng(5).permutation(len(gallery))
    there = InvariantSimilarity().matrix(queries, gallery)
    # a product of matrices may add up a column in another order: float32 rounding, through five steps
    np.testing.assert_allclose(InvariantSimilarity().matrix(queries, gallery[order]), there[:, order], atol=1e-4)


def test_of_a_pair_it_does_not_matter_which_is_moved(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    copies = planted_copies(gallery, np.arange(12), "rotation", 4, 1)
    there = similarity.matrix(copies.images, gallery)[range(4), copies.sources]
    back = similarity.matrix(gallery, copies.images)[copies.sources, range(4)]
    np.testing.assert_allclose(there, back, atol=0.02)  # one interpolation of a band of 0.7 to 3 voxels


def test_the_nearest_of_every_planted_copy_is_its_source(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    for name in TRANSFORMS:
        copies = planted_copies(gallery, np.arange(12), name, 3, 2)
        sim = similarity.matrix(copies.images, gallery)
        np.testing.assert_array_equal(sim.argmax(axis=1), copies.sources, err_msg=name)


def test_only_the_nearest_are_made_better_and_stay_the_nearest(gallery: np.ndarray) -> None:
    few = InvariantSimilarity(PoseSearch(candidates=3)).matrix(gallery[:3], gallery)
    everyone = InvariantSimilarity(PoseSearch(candidates=12)).matrix(gallery[:3], gallery)
    refined = np.isclose(few, everyone, atol=1e-6)
    assert (refined.sum(axis=1) >= 3).all()
    for row, better in zip(few, refined, strict=True):
        assert row[~better].max() <= row[better].min() + 1e-6


def test_a_scan_without_contrast_is_like_nothing(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    sim = similarity.matrix(np.full((1, *SHAPE), 5.0), gallery[:3])
    np.testing.assert_array_equal(sim, 0)


def test_progress_is_told(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    told: list[tuple[int, int]] = []
    similarity.matrix(gallery[:2], gallery, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_small_and_odd_scans() -> None:
    images = np.random.default_rng(0).standard_normal((3, 9, 16, 11)).astype(np.float32)
    sim = InvariantSimilarity(PoseSearch(most_shift=2)).matrix(images, images)
    np.testing.assert_allclose(np.diag(sim), 1, atol=ROUNDING)


@pytest.mark.parametrize(("shape", "factor"), [((16,) * 3, 1), ((32, 48, 40), 2), ((64,) * 3, 3), ((160, 192, 160), 7)])
def test_the_coarse_search_has_about_as_many_voxels_whatever_the_size(shape: tuple[int, ...], factor: int) -> None:
    assert PoseSearch().factor(shape) == factor


def test_the_band_holds_neither_noise_nor_shading() -> None:
    # Cosines that are their own mirror image at the ends (type II), so that a Gaussian only scales them.
    grid = (np.arange(64) + 0.5) / 64

    def wave(halves: int) -> np.ndarray:
        return np.cos(np.pi * halves * grid)

    def gain(halves: int) -> float:
        frequency = np.pi * halves / 64
        return float(np.exp(-((0.7 * frequency) ** 2) / 2) - np.exp(-((3 * frequency) ** 2) / 2))

    for halves in (2, 8, 40, 60):  # periods of 64, 16, 3.2 and 2.1 voxels, beside one of 8 voxels along the other axis
        image = np.broadcast_to((wave(halves)[:, None] + wave(16))[:, :, None], (64, 64, 8))
        found = band_pass(image, 0.7, 3.0, 1000.0)[:, :, 0]  # the contrast is made equal over the whole scan only
        ratio = (found.mean(axis=1) @ wave(halves)) / (found.mean(axis=0) @ wave(16))
        # a sampled Gaussian of 0.7 voxel passes up to exp(-(0.7 (2 pi - w))^2 / 2) too much, 0.02 at the shortest wave
        assert ratio == pytest.approx(gain(halves) / gain(16), abs=0.1)
    assert gain(2) < 0.1 * gain(16)
    assert gain(60) < 0.2 * gain(16)


def test_bad_input_is_refused(gallery: np.ndarray, similarity: InvariantSimilarity) -> None:
    with pytest.raises(InputError, match="one grid"):
        similarity.matrix(gallery[:1, 1:], gallery)
    with pytest.raises(InputError, match="n at least 1"):
        similarity.matrix(gallery[:0], gallery)
    with pytest.raises(InputError, match="NaN"):
        similarity.matrix(gallery[:1] * np.nan, gallery)


@pytest.mark.skipif(not STORE.exists(), reason="the hippocampus store is not here (runs/stores/hippocampus)")
def test_on_real_scans_copies_stand_out() -> None:
    from benchmarks._synthesis_data import real_pairs

    pairs = real_pairs(STORE, "train").take(slice(0, 24))
    patients = np.unique(np.array(pairs.patients), return_inverse=True)[1]
    similarity = InvariantSimilarity()
    for name in ("shift", "combined"):
        copies = planted_copies(pairs.images, patients, name, 3, 1)
        sim = similarity.matrix(copies.images, pairs.images)
        own = sim[range(3), copies.sources]
        strangers = np.where(patients[None] == patients[copies.sources][:, None], -1, sim).max(axis=1)
        gap = np.log(np.sqrt(2 - 2 * strangers) / np.sqrt(2 - 2 * own))
        assert gap.min() > 0.5  # 1.3 and more measured; strangers' own gaps are below 0.1


@pytest.mark.parametrize("side", [32, 34])
def test_a_mirror_image_is_found_whatever_the_sides(side: int) -> None:
    rng = np.random.default_rng(0)
    images = np.stack([ndimage.gaussian_filter(rng.normal(size=(side, 32, 32)), 1.2) for _ in range(3)])
    images = images.astype(np.float32)
    settings = PoseSearch(most_degrees=0, candidates=3, starts=1)
    assert settings.factor(images.shape[1:]) > 1
    own = np.diag(InvariantSimilarity(settings).matrix(images[:, ::-1].copy(), images))
    assert own.min() > 0.99
