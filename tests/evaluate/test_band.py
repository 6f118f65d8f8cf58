"""Halves of patients, and how often the band catches what it should."""

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.evaluate.band import Band, patient_halves, real_band
from medidiff.evaluate.mmd import Kernel, mmd2


def test_halves_share_no_patient_and_have_the_size() -> None:
    patients = [f"p{i // 2}" for i in range(30)] + ["one", "two"]
    for a, b in patient_halves(patients, 10, 50):
        assert len(set(a)) == len(set(b)) == 10
        assert not {patients[i] for i in a} & {patients[i] for i in b}


def test_halves_depend_on_the_seed_only() -> None:
    patients = [f"p{i}" for i in range(20)]
    first, again, other = (next(iter(patient_halves(patients, 8, 1, seed))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])


def test_every_scan_is_drawn_about_equally_often() -> None:
    patients = [f"p{i // 2}" for i in range(24)]
    counts = np.bincount(np.concatenate([np.concatenate(pair) for pair in patient_halves(patients, 10, 2000)]))
    # Each of 24 scans is in one of 20 places: 1667 times in 2000, binomial spread 17; five of those.
    assert np.abs(counts - 2000 * 20 / 24).max() < 5 * 17


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(InputError, match="there are 10"):
        next(patient_halves(["a", "b"] * 5, 5, 1))
    with pytest.raises(InputError, match="size 1"):
        next(patient_halves([str(i) for i in range(9)], 1, 1))
    with pytest.raises(InputError, match="one for each"):
        real_band(np.zeros((4, 2)), ["a"], 2, Kernel())


def test_the_same_source_is_inside_and_a_shift_is_not() -> None:
    rng, kernel, worlds = np.random.default_rng(3), Kernel("rbf", bandwidth=3.0), 40
    inside, shifted = 0, 0
    for world in range(worlds):
        real = rng.standard_normal((80, 5))
        band = real_band(real, [str(i) for i in range(80)], 30, kernel, draws=200, seed=world)
        made = rng.standard_normal((30, 5))
        inside += band.inside(mmd2(made, real[:30], kernel))
        shifted += band.inside(mmd2(made + 0.8, real[:30], kernel))
    assert inside >= 33  # 97.5% expected each: below 33 of 40 has a probability under 1e-4
    assert shifted == 0


def test_scans_of_one_patient_alike_widen_the_band() -> None:
    rng = np.random.default_rng(5)
    people = rng.standard_normal((40, 4)).repeat(2, axis=0)
    alike = people + 0.1 * rng.standard_normal(people.shape)
    by_patient = real_band(alike, [str(i // 2) for i in range(80)], 30, Kernel())
    as_if_alone = real_band(alike, [str(i) for i in range(80)], 30, Kernel())
    assert by_patient.spread > 1.3 * as_if_alone.spread


def test_verdicts() -> None:
    band = Band(low=-0.1, high=0.2, spread=0.1, size=10, draws=100)
    assert band.verdict(0.2) == "inside"
    assert band.verdict(-0.3) == "inside"
    assert band.verdict(0.6) == "outside, 3.0 times the upper end"
    assert band.excess(0.15) == 0
    assert band.excess(0.4) == pytest.approx(2.0)
    assert Band(-2, -1, 0.0, 2, 1).verdict(0) == "outside"
