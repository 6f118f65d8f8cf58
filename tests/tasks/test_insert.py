"""A condition put into a scan: what lies outside stays, what lies inside is sampled, its label comes with it."""

from typing import Any

import numpy as np
import pytest

from medidiff.errors import GeometryError, InputError, PriorError, UsageError
from medidiff.evaluate.seam import seam_ratio
from medidiff.noise import add_gaussian
from medidiff.prior import Prior
from medidiff.tasks.condition_request import parse_requests
from medidiff.tasks.guidance import Guidance
from medidiff.tasks.insert import AROUND, insert
from medidiff.tasks.known_noise import KnownNoise
from medidiff.tasks.remeasure import continued, remeasured
from medidiff.tasks.spot import ball_at
from medidiff.volume import Volume

from .random_priors import SLOTS, random_prior

CPU: dict[str, Any] = {"device": "cpu", "precision": "float32", "n_steps": 3}


@pytest.fixture(scope="module")
def scan() -> Volume:
    clean = np.full((28, 24, 20), 100.0, dtype=np.float32)
    clean[6:22, 6:18, 4:16] = 400
    affine = np.diag([-2.0, 2.0, 2.5, 1.0])
    affine[:3, 3] = (30.0, -20.0, 5.0)
    return Volume(add_gaussian(clean, 20.0, np.random.default_rng(0)), affine, name="scan")


@pytest.fixture(scope="module")
def region(scan: Volume) -> Volume:
    return ball_at(scan, 16.0, at_voxel=(14, 12, 10))


# Where ----------------------------------------------------------------------------------------------------------------


def test_a_ball_lies_where_the_affine_puts_it(scan: Volume) -> None:
    turned = np.array([[0, -1.5, 0, 10], [2, 0, 0, -5], [0, 0, 3, 2], [0, 0, 0, 1.0]])
    for affine in (scan.affine_ras, turned):
        volume = Volume(scan.data, affine)
        voxel = np.array([9.0, 11.0, 8.0])
        world = (affine @ [*voxel, 1])[:3]
        by_world, by_voxel = ball_at(volume, 12.0, at_mm=world.tolist()), ball_at(volume, 12.0, at_voxel=voxel.tolist())
        assert np.array_equal(by_world.data, by_voxel.data)
        indices = np.argwhere(by_world.data)
        away = np.linalg.norm(indices @ affine[:3, :3].T + affine[:3, 3] - world, axis=1)
        assert away.max() <= 6.0
        np.testing.assert_allclose(indices.mean(axis=0), voxel, atol=1e-9)  # symmetric about its centre
        volume_mm3 = len(indices) * abs(np.linalg.det(affine[:3, :3]))
        assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.15)  # voxels of 9 to 10 mm3 at the border


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"size_mm": 5.0}, "give one of them"),
        ({"size_mm": 5.0, "at_mm": (0.0, 0.0)}, "three numbers"),
        ({"size_mm": -1.0, "at_voxel": (3, 3, 3)}, "positive diameter"),
        ({"size_mm": 5.0, "at_mm": (500.0, 0, 0)}, r"outside the scan, which covers about \(-24, -20, 5\)"),
        ({"size_mm": 5.0, "at_voxel": (28, 3, 3)}, r"covers voxels 0 to \[27, 23, 19\]"),
        ({"size_mm": 0.5, "at_voxel": (3.5, 3.5, 3.5)}, "holds no voxel"),
    ],
)
def test_places_that_are_none(scan: Volume, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ball_at(scan, **more)


# What -----------------------------------------------------------------------------------------------------------------


def test_nothing_outside_changes_and_the_region_is_the_label(scan: Volume, region: Volume, tiny_prior: Prior) -> None:
    result = insert(scan, region, tiny_prior, **CPU)
    inside = region.data
    assert np.array_equal(result.output.data[~inside], scan.data[~inside])
    assert (result.output.data[inside] != scan.data[inside]).all()
    assert np.array_equal(result.masks[0].data, inside.astype(np.uint8))
    assert result.masks[0].data.dtype == np.uint8
    assert result.figures["rms_change_outside"] == 0
    assert result.figures["region_ml"] == pytest.approx(inside.sum() * 10 / 1000)
    assert result.noise_map is not None
    assert np.array_equal(np.isinf(result.noise_map.data), inside)
    assert result.nfe == 3 + 1
    assert result.provenance["synthetic_content"]


def test_what_the_region_held_does_not_matter(scan: Volume, region: Volume, tiny_prior: Prior) -> None:
    other = scan.with_data(np.where(region.data, 1e6, scan.data).astype(np.float32))
    a, b = (insert(volume, region, tiny_prior, seed=3, noise_std=20.0, **CPU) for volume in (scan, other))
    assert np.array_equal(a.output.data, b.output.data)


def test_without_paste_the_whole_is_a_sample(scan: Volume, region: Volume, tiny_prior: Prior) -> None:
    result = insert(scan, region, tiny_prior, paste=False, noise_std=20.0, **CPU)
    outside = ~region.data
    assert (result.output.data[outside] != scan.data[outside]).mean() > 0.99
    change = result.output.data[outside].astype(float) - scan.data[outside]
    assert result.figures["rms_change_outside"] == pytest.approx(np.sqrt(np.mean(change**2)))


def test_masks_are_sampled_with_the_image_and_cut_to_the_region(
    scan: Volume, region: Volume, joint_prior: Prior
) -> None:
    plan = parse_requests(SLOTS, ["volume_ml=p0:p5", "kind=knee"])
    result = insert(scan, region, joint_prior, conditions=plan, samples=2, **CPU)
    assert len(result.samples) == len(result.masks) == 2
    labels = result.masks[0].data
    assert set(np.unique(labels)) == {0, 1}
    assert not labels[~region.data].any()
    assert 0 < labels.sum() < region.data.sum()
    measured = [float((mask.data > 0).sum()) * 10 / 1000 for mask in result.masks]
    assert [got["volume_ml"] for got in result.figures["measured"]] == pytest.approx(measured)
    asked = result.figures["conditions"]
    wide = abs(measured[0] - float(asked[0]["volume_ml"])) > 0.1 * float(asked[0]["volume_ml"])
    assert wide == any(text.startswith("sample 1: volume_ml") for text in result.warnings)
    assert wide  # weights are random: what is asked for is not what comes
    assert asked == [plan.draw(0, 0), plan.draw(0, 1)]
    second = insert(scan, region, joint_prior, conditions=asked[0], **CPU)
    assert np.array_equal(second.output.data, result.samples[0].data), "fixed conditions give what the plan gave"
    other = insert(scan, region, joint_prior, conditions={"kind": "head"}, **CPU)
    assert not np.array_equal(other.output.data, second.output.data)
    guided = insert(scan, region, joint_prior, conditions=asked[0], guidance=Guidance(2.0), **CPU)
    assert guided.nfe == 2 * second.nfe - 1  # the last evaluation is not guided
    assert not np.array_equal(guided.output.data, second.output.data)


def test_only_what_lies_around_is_worked_on(tiny_prior: Prior) -> None:
    data = np.random.default_rng(0).normal(100, 10, (16, 16, 120)).astype(np.float32)
    volume = Volume.from_array(data)
    result = insert(volume, ball_at(volume, 6.0, at_voxel=(8, 8, 10)), tiny_prior, noise_std=10.0, **CPU)
    assert result.provenance["tile"] == [16, 16, 10 + 3 + 1 + AROUND]


def test_the_place_in_the_body_is_told(scan: Volume, region: Volume, placed_prior: Prior) -> None:
    moved = scan.affine_ras.copy()
    moved[:3, 3] += 50  # the body moves with the scan: the same place in it
    there = insert(Volume(scan.data, moved), Volume(region.data, moved), placed_prior, **CPU)
    assert np.array_equal(there.output.data, insert(scan, region, placed_prior, **CPU).output.data)


def test_the_region_gets_noise_of_the_scan_s_level_kind_and_grain() -> None:
    clean = np.full((40, 40, 40), 300.0, dtype=np.float32)
    shape = (0.5, 0.1, 0.0, 0.0, 0.0, 0.0)
    coloured = KnownNoise("gaussian", 20.0, shape)
    noise = remeasured(clean, coloured, 20.0, np.random.default_rng(0)) - clean
    assert noise.std() == pytest.approx(20, rel=0.02)  # 64000 values
    assert np.mean(noise[1:] * noise[:-1]) / noise.var() == pytest.approx(0.5, abs=0.02)
    assert np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var() == pytest.approx(0.0, abs=0.02)
    background = remeasured(0 * clean, KnownNoise("rician", 20.0), 20.0, np.random.default_rng(0))
    assert background.mean() == pytest.approx(20 * np.sqrt(np.pi / 2), rel=0.02)  # Rayleigh
    # a region of noise drawn anew, given what is around: of the same spread, not the same values, and without a seam
    i, j, k = np.meshgrid(*[np.arange(40) - 20] * 3, indexing="ij")
    inside = i**2 + j**2 + k**2 < 100
    new = continued(noise, inside, np.random.default_rng(1))
    assert not new[~inside].any()
    assert new[inside].std() == pytest.approx(20, rel=0.1)  # 4200 values, of which about every third is independent
    assert abs(np.corrcoef(new[inside], noise[inside])[0, 1]) < 0.2  # close to the border it is the same
    apart = np.where(inside, remeasured(0 * clean, coloured, 20.0, np.random.default_rng(3)), noise)
    assert seam_ratio(noise, inside) == pytest.approx(1, abs=0.05)
    assert seam_ratio(np.where(inside, new, noise), inside) == pytest.approx(1, abs=0.05)
    assert seam_ratio(apart, inside) > 1.1
    several = remeasured(0 * clean, KnownNoise("chi", 20.0, coils=4), 20.0, np.random.default_rng(0))
    assert np.mean(several**2) == pytest.approx(8 * 400, rel=0.02)  # chi-square of 8 degrees of freedom


def test_bad_requests_are_refused(scan: Volume, region: Volume, tiny_prior: Prior, joint_prior: Prior) -> None:
    with pytest.raises(UsageError, match="does not know volume_ml"):
        insert(scan, region, tiny_prior, conditions={"volume_ml": 2.0}, **CPU)
    with pytest.raises(GeometryError, match="another grid"):
        insert(scan, Volume.from_array(region.data), tiny_prior, **CPU)
    with pytest.raises(InputError, match="is empty"):
        insert(scan, region.with_data(np.zeros(scan.shape)), tiny_prior, **CPU)
    with pytest.raises(PriorError, match="--guidance-prior tiny: its channels"):
        insert(scan, region, joint_prior, guidance=Guidance(2.0, reference=tiny_prior), **CPU)
    with pytest.raises(PriorError, match="no image channel"):
        insert(scan, region, random_prior(tiny_prior, ("mask:1",)), **CPU)
