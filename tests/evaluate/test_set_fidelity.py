"""A set against real patients: figures by hand, what equal sources give, copies and shifts found."""

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.evaluate.band import patient_halves
from medidiff.evaluate.features import balanced, random_features
from medidiff.evaluate.mmd import Kernel, median_bandwidth, mmd2
from medidiff.evaluate.set_fidelity import compare_diversity, compare_features


def people(count: int, each: int = 2) -> list[str]:
    return [f"p{i // each}" for i in range(count * each)]


def test_the_figures_are_those_of_the_parts_at_equal_sizes() -> None:
    rng = np.random.default_rng(0)
    made, real, patients = rng.standard_normal((12, 5)) + 0.3, rng.standard_normal((40, 5)), people(20)
    found = compare_features(made, real, patients, draws=7, seed=3)
    assert found.size == 12, "as many as there are of the smaller side"
    made_unit, unit = balanced(made, real)
    kernel = Kernel("rbf", bandwidth=median_bandwidth(unit))
    halves = list(patient_halves(patients, 12, 7, 3))
    ours = [mmd2(unit[a], made_unit, kernel) for a, _ in halves]
    theirs = [mmd2(unit[a], unit[b], kernel) for a, b in halves]
    rbf = found.distances["rbf"]
    assert rbf.value.mean == pytest.approx(np.mean(ours), abs=1e-12)
    assert (rbf.band.low, rbf.band.high) == pytest.approx(np.quantile(theirs, [0.025, 0.975]), abs=1e-12)
    assert rbf.to_dict()["inside"] == (np.mean(ours) <= rbf.band.high)
    half = compare_features(np.tile(made, (9, 1)) + rng.standard_normal((108, 5)), real, patients, draws=7)
    assert half.size == 19, "halves of 40 scans, two of each patient: a patient may not be cut in two"


def test_scans_of_the_same_source_are_inside_and_others_are_not() -> None:
    """The mean over draws is steadier than a single draw, so false alarms are below the band's 2.5%: 40 worlds."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        real, made = (rng.standard_normal((60, 6)) for _ in range(2))
        found = compare_features(made, real, people(30), draws=100, seed=seed)
        alarms += not found.inside
        assert 0.5 < found.neighbourhood["precision"].mean
    assert alarms <= 4  # two kernels of 2.5% each: 2 of 40, and 3 standard deviations would be 6
    rng = np.random.default_rng(1)
    real = rng.standard_normal((60, 6))
    far = compare_features(rng.standard_normal((60, 6)) + 1.5, real, people(30), draws=100)
    assert not far.inside
    assert far.distances["rbf"].to_dict()["excess_sd"] > 5
    one = compare_features(np.repeat(real[:1], 60, axis=0) + 1e-3 * rng.standard_normal((60, 6)), real, people(30))
    assert not one.inside, "copies of one scan are no cohort"
    assert one.neighbourhood["recall"].mean < 0.1 < one.real["recall"].mean
    assert one.neighbourhood["coverage"].mean < 0.3


def test_rare_features_do_not_put_scans_of_the_same_source_outside() -> None:
    """Random features are at 0 for most scans. In units of the real scans alone 7 of these 10 worlds were outside."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 10)] * 3, indexing="ij"))
    radius = rng.uniform(0.4, 0.8, 400)
    scans = ((grid**2).sum(axis=0) < radius[:, None, None, None] ** 2) + 0.1 * rng.standard_normal((400, 10, 10, 10))
    features = random_features(scans)
    outside = 0
    for _ in range(10):
        chosen = rng.permutation(400)[:80]
        outside += not compare_features(features[chosen[:40]], features[chosen[40:]], people(20), draws=60).inside
    assert outside <= 3


def test_the_order_of_patients_and_scans_hardly_matters_and_the_seed_alone_decides() -> None:
    rng = np.random.default_rng(2)
    real, made = rng.standard_normal((40, 4)), rng.standard_normal((40, 4))
    again = [compare_features(made, real, people(20), draws=50, seed=5) for _ in range(2)]
    assert again[0] == again[1]
    other = compare_features(made, real, people(20), draws=400, seed=6)
    mean = other.distances["rbf"].value.mean
    assert mean == pytest.approx(again[0].distances["rbf"].value.mean, abs=0.02)


def test_too_few_are_refused_and_it_says_how_many_are_needed() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"7 synthetic and 40 real scans: .* 8 synthetic and 18 real"):
        compare_features(rng.standard_normal((7, 3)), rng.standard_normal((40, 3)), people(20))
    with pytest.raises(InputError, match=r"40 synthetic and 14 real"):
        compare_features(rng.standard_normal((40, 3)), rng.standard_normal((14, 3)), people(7))


def test_diversity_compares_different_patients_and_sees_copies() -> None:
    rng = np.random.default_rng(0)
    real = rng.standard_normal((12, 12, 12, 12)).astype(np.float32)
    real[1::2] = real[::2]  # both scans of a patient are alike: pairs of one patient would count as copies
    copies = np.repeat(real[:1], 6, axis=0)
    found = compare_diversity(copies, real, people(6), pairs=15)
    assert found is not None
    assert found[0].ms_ssim == pytest.approx(1, abs=1e-6)
    assert found[1].ms_ssim < 0.2
    assert compare_diversity(copies[:, :8], real[:, :8], people(6)) is None
    large = np.repeat(np.repeat(np.repeat(real, 6, axis=1), 6, axis=2), 6, axis=3)
    assert compare_diversity(large[:6], large, people(6), pairs=2) is not None
