from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from medidiff.errors import InputError
from medidiff.privacy.descriptive import authenticity, c_t, dcr_share
from medidiff.privacy.fld import fld
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.thresholds import Thresholds
from tests.privacy.worlds import world

LIMITS = Thresholds()


def value(finding: object) -> float:
    return float(finding.statistic)  # pyright: ignore


def test_200_copies_of_one_scan_are_not_authentic() -> None:
    w = world(0, transforms=())
    for scan in np.flatnonzero(w.gallery.is_train)[:3]:
        copies = np.tile(w.real[scan], (200, 1))
        assert value(authenticity(copies, w.real, w.gallery, LIMITS)) == 0


def test_authenticity_by_hand_and_its_null() -> None:
    # train scans 0 and 1 are 0.5 alike; 0.6 to scan 0 is nearer than that, 0.4 is not
    real = np.array([[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    gallery = Gallery(np.arange(4), np.array([True, True, False, False]))
    sim = np.array([[0.6, 0.1, 0.9, 0], [0.4, 0.1, 0.9, 0]])
    assert value(authenticity(sim, real, gallery, LIMITS)) == 0.5
    null = [value(authenticity((w := world(i, transforms=())).sim, w.real, w.gallery, LIMITS)) for i in range(20)]
    assert 0.6 < np.mean(null) < 0.8  # about 0.69, by no means 1


def test_a_patients_second_scan_does_not_make_copies_authentic() -> None:
    w = world(2, scans=2, transforms=())
    copies = w.real[np.flatnonzero(w.gallery.is_train[w.gallery.patients])]
    assert value(authenticity(copies, w.real, w.gallery, LIMITS)) == 0


def test_c_t_is_the_z_of_mann_and_whitney() -> None:
    w = world(3, 40, 30, transforms=())
    made = w.sim[:, w.gallery.is_train].max(axis=1)
    held = w.real[~w.gallery.is_train][:, w.gallery.is_train].max(axis=1)
    u, _ = stats.mannwhitneyu(-made, -held)
    z = (u - len(made) * len(held) / 2) / np.sqrt(len(made) * len(held) * (len(made) + len(held) + 1) / 12)
    assert value(c_t(w.sim, w.real, w.gallery, LIMITS)) == pytest.approx(z)


def test_c_t_sees_copies_everywhere_and_not_a_tenth_of_them() -> None:
    assert value(c_t((w := world(4, rate=0.6, transforms=())).sim, w.real, w.gallery, LIMITS)) < -4
    few = [value(c_t((w := world(i, rate=0.1, transforms=())).sim, w.real, w.gallery, LIMITS)) for i in range(20)]
    assert np.mean(np.array(few) < -2.33) < 0.3


def test_dcr_share_is_the_mean_over_equal_draws() -> None:
    w = world(5, 7, 3, 12, transforms=())
    train, held = np.flatnonzero(w.gallery.is_train), np.flatnonzero(~w.gallery.is_train)
    wins = [w.sim[:, list(chosen)].max(axis=1) > w.sim[:, held].max(axis=1) for chosen in combinations(train, 3)]
    assert value(dcr_share(w.sim, w.gallery, LIMITS)) == pytest.approx(np.mean(wins))
    other = Gallery(w.gallery.patients, ~w.gallery.is_train)
    assert value(dcr_share(w.sim, other, LIMITS)) == pytest.approx(1 - np.mean(wins))


@pytest.mark.parametrize(("n_train", "n_holdout"), [(100, 25), (100, 50), (40, 120)])
def test_unequal_splits_do_not_fool_the_dcr_share(n_train: int, n_holdout: int) -> None:
    found = [dcr_share((w := world(i, n_train, n_holdout, transforms=())).sim, w.gallery, LIMITS) for i in range(20)]
    assert np.mean([value(f) for f in found]) == pytest.approx(0.5, abs=0.05)
    expected = n_train / (n_train + n_holdout)  # 0.67 at 100 and 50: what the plain share shows without a copy
    assert np.mean([f.figures["plain_share"] for f in found]) == pytest.approx(expected, abs=0.05)


def test_fld_gap_grows_with_copies() -> None:
    null, copied = (world(6, rate=rate, noise=0.02, transforms=()) for rate in (0.0, 0.5))
    gaps = [value(fld(w.made, w.features, w.gallery, LIMITS)) for w in (null, copied)]
    assert gaps[1] > gaps[0] + 20
    order = np.random.default_rng(0).permutation(len(null.made))
    assert value(fld(null.made[order], null.features, null.gallery, LIMITS)) == pytest.approx(gaps[0], rel=1e-6)


def test_fld_refuses_features_that_do_not_fit() -> None:
    w = world(6, transforms=())
    with pytest.raises(InputError, match="features"):
        fld(w.made[:, :5], w.features, w.gallery, LIMITS)
    with pytest.raises(InputError, match="finite"):
        fld(w.made * np.nan, w.features, w.gallery, LIMITS)
