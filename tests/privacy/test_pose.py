"""Poses, the coarse search against a plain loop, and the fine search on known motions."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medidiff.privacy.pose import Pose, angles_of, centred_grid, posed, rotation_ball, rotations_of
from medidiff.privacy.pose_refine import pair_correlation, refined
from medidiff.privacy.pose_search import CoarseSearch, shift_lattice

SHAPE = (12, 10, 8)
BIG = (20, 18, 16)


def texture(seed: int, shape: tuple[int, ...] = BIG, smooth: float = 1.2) -> torch.Tensor:
    noise = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(ndimage.gaussian_filter(noise, smooth)).float()


def cut(volume: torch.Tensor, shift: tuple[int, ...] = (0, 0, 0)) -> torch.Tensor:
    """A window of a large volume: laid over the unshifted one it lies right when it is moved by `shift`."""
    a, b, c = (4 + s for s in shift)
    return volume[a : a + SHAPE[0], b : b + SHAPE[1], c : c + SHAPE[2]]


def one(rotation: torch.Tensor | None = None, shift: tuple[float, ...] = (0, 0, 0), flip: bool = False) -> Pose:
    turn = torch.eye(3) if rotation is None else rotation
    return Pose(turn[None], torch.tensor([shift], dtype=torch.float32), torch.tensor([flip]))


def test_rotations_agree_with_scipy() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 3))
    matrices = rotations_of(torch.from_numpy(vectors))
    np.testing.assert_allclose(matrices.numpy(), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(angles_of(matrices), np.minimum(lengths, 2 * np.pi - lengths), atol=1e-7)


@pytest.mark.parametrize("step", [5.0, 7.5, 10.0])
def test_the_ball_of_rotations_is_covered(step: float) -> None:
    ball = Rotation.from_matrix(rotation_ball(10, step).numpy())
    assert ball[0].magnitude() == 0
    rng = np.random.default_rng(1)
    axes = rng.standard_normal((500, 3))
    vectors = axes / np.linalg.norm(axes, axis=1, keepdims=True) * np.deg2rad(10) * rng.random((500, 1)) ** (1 / 3)
    nearest = [(ball * Rotation.from_rotvec(vector).inv()).magnitude().min() for vector in vectors]
    assert np.rad2deg(max(nearest)) <= 0.75 * step


@pytest.mark.parametrize("most", [0, 1, 2, 4])
def test_every_whole_shift_is_within_one_voxel_of_the_lattice(most: int) -> None:
    lattice = shift_lattice(most)
    whole = torch.tensor(list(itertools.product(range(-most, most + 1), repeat=3)), dtype=torch.float32)
    assert torch.cdist(whole, lattice).min(dim=1).values.max() <= 1
    assert abs(2 * len(lattice) - len(whole)) == 1
    assert not lattice[0].any()


def test_poses_that_need_no_interpolation_are_exact() -> None:
    image, grid = texture(0, SHAPE), centred_grid(SHAPE)
    still, known = posed(image[None], one(), grid)
    torch.testing.assert_close(still.reshape(SHAPE), image, atol=1e-5, rtol=0)
    assert known.all()
    mirrored, _ = posed(image[None], one(flip=True), grid)
    torch.testing.assert_close(mirrored.reshape(SHAPE), image.flip(0), atol=1e-5, rtol=0)
    shifted, known = posed(image[None], one(shift=(2, 0, -1)), grid)
    torch.testing.assert_close(shifted.reshape(SHAPE)[2:, :, :-1], image[:-2, :, 1:], atol=1e-5, rtol=0)
    assert int(known.sum()) == 10 * 10 * 7
    assert not shifted.reshape(SHAPE)[:2].any()


def test_a_pose_turns_as_the_transform_of_a_copy_does() -> None:
    from medidiff.privacy.transforms import moved

    turn, shift = Rotation.from_rotvec([0.1, -0.08, 0.05]).as_matrix(), np.array([0.7, -0.4, 1.2])
    image = texture(2, (24, 24, 24), 2.5)
    expected = moved(image.double().numpy(), turn, shift)[6:-6, 6:-6, 6:-6]
    found, _ = posed(image[None], one(torch.from_numpy(turn).float(), tuple(shift)), centred_grid((24, 24, 24)))
    inner = found.reshape(24, 24, 24).numpy()[6:-6, 6:-6, 6:-6]
    # linear interpolation takes at most 3/8 of the second derivative, 1/2.5^2 of the value: 6% of the spread
    assert np.abs(inner - expected).std() < 0.06 * expected.std()


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, -1, 0), (-2, 1, 1), (2, 2, -2)])
def test_a_shifted_copy_scores_one_and_its_shift_is_found(shift: tuple[int, int, int]) -> None:
    volume, other = texture(3), texture(4)
    search = CoarseSearch(torch.stack([cut(other), cut(volume)]), 10, 10, 2)
    found = search(cut(volume, shift), keep=1)
    assert found.correlation[1, 0] == pytest.approx(1, abs=1e-5)
    assert found.correlation[0, 0] < 0.8
    assert tuple(found.pose.shift[1].int().tolist()) == shift
    assert not found.pose.flip[1]


def test_a_mirrored_copy_scores_one_and_only_if_mirrors_are_searched() -> None:
    gallery = cut(texture(3))[None]
    assert CoarseSearch(gallery, 10, 10, 1)(gallery[0].flip(0), 1).correlation[0, 0] == pytest.approx(1, abs=1e-5)
    assert CoarseSearch(gallery, 10, 10, 1, flips=False)(gallery[0].flip(0), 1).correlation[0, 0] < 0.8


def test_the_coarse_search_against_a_plain_loop() -> None:
    query, gallery = cut(texture(5)), torch.stack([cut(texture(s)) for s in (6, 7, 8)])
    found = CoarseSearch(gallery, 0, 10, 1)(query, keep=2)
    best = np.full((3, 2), -2.0)
    for flip, shift in itertools.product((0, 1), shift_lattice(1).int().tolist()):
        moved = query.flip(0) if flip else query
        own = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, SHAPE, strict=True))
        over = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shift, SHAPE, strict=True))
        a = moved[own].double().flatten()
        for j, scan in enumerate(gallery):
            b = scan[over].double().flatten()
            best[j, flip] = max(best[j, flip], float(a @ b / (a.norm() * b.norm())))
    np.testing.assert_allclose(found.correlation, -np.sort(-best, axis=1), atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_a_small_motion_is_found_again(flip: bool) -> None:
    big = texture(9, (28, 28, 28), 2.0)
    turn = rotations_of(torch.tensor([[0.05, -0.04, 0.03]]))[0]
    moved, _ = posed(big[None], one(turn, (0.6, -0.7, 0.4)), centred_grid((28, 28, 28)))
    query, target = big[6:-6, 6:-6, 6:-6], moved.reshape(28, 28, 28)[6:-6, 6:-6, 6:-6]
    query = query.flip(0) if flip else query
    grid = centred_grid((16, 16, 16))
    start = one(flip=flip)
    before = pair_correlation(query[None], target[None], start, grid)
    score, pose = refined(query[None], target[None], start, grid, steps=8, most_degrees=15, most_shift=4)
    assert before < 0.92
    assert score > 0.985  # both were interpolated
    assert torch.rad2deg(angles_of(pose.rotation[0] @ turn.T)) < 1
    torch.testing.assert_close(pose.shift[0], torch.tensor([0.6, -0.7, 0.4]), atol=0.15, rtol=0)
    torch.testing.assert_close(score, pair_correlation(query[None], target[None], pose, grid), atol=1e-5, rtol=0)


def test_the_fine_search_never_makes_it_worse_and_keeps_its_bounds() -> None:
    queries, gallery = (torch.stack([texture(s, SHAPE) for s in seeds]) for seeds in (range(10, 16), range(20, 26)))
    start = Pose(torch.eye(3).expand(6, 3, 3), torch.zeros(6, 3), torch.zeros(6, dtype=torch.bool))
    grid = centred_grid(SHAPE)
    before = pair_correlation(queries, gallery, start, grid)
    score, pose = refined(queries, gallery, start, grid, steps=6, most_degrees=5, most_shift=1)
    assert (score >= before - 1e-6).all()
    assert (score > before + 0.01).any()
    assert torch.rad2deg(angles_of(pose.rotation)).max() <= 5.01
    assert pose.shift.abs().max() <= 1
