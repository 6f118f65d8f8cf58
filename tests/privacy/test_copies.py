from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from medidiff.privacy.controls import control_findings
from medidiff.privacy.copies import copy_rate, excess_limits, flag_rule, tail_count
from medidiff.privacy.gallery import Gallery, by_patient, nearest, strangers
from medidiff.privacy.permutation import label_permutation
from medidiff.privacy.proportions import lower_bound, upper_bound, wilson
from medidiff.privacy.thresholds import Thresholds
from tests.privacy.worlds import p_of, world

LIMITS = Thresholds(must_see=("exact",), permutations=999)


def test_known_bounds() -> None:
    assert upper_bound(0, 200) == pytest.approx(0.0149, abs=5e-5)
    assert upper_bound(0, 50) == pytest.approx(0.058, abs=5e-4)
    assert upper_bound(0, 299) < 0.01 < upper_bound(0, 297)
    assert upper_bound(7, 7) == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 30), (3, 30), (29, 30), (30, 30)])
def test_intervals_of_a_share_are_scipys(k: int, n: int) -> None:
    low, high = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
    assert wilson(k, n) == pytest.approx((low, high))
    assert upper_bound(k, n) == pytest.approx(stats.binomtest(k, n, alternative="less").proportion_ci(0.95).high)
    assert lower_bound(k, n) == pytest.approx(stats.binomtest(k, n, alternative="greater").proportion_ci(0.95).low)


def test_limits_of_the_excess_cover() -> None:
    # 1% false flags on each side and 4% copies: the upper limit is below the truth in at most 5% of 4000 draws (+ 4 sd)
    rng = np.random.default_rng(0)
    for copies, ratio, n in ((0.04, 1.0, 200), (0.0, 2.0, 200), (0.1, 4.0, 100)):
        truth = [copies + 0.01 * ratio, 0.01]
        counts = rng.multinomial(n, [*truth, 1 - sum(truth)], size=4000)
        limits = {tuple(c): excess_limits((c[0], c[1]), n, ratio, 0.95) for c in np.unique(counts[:, :2], axis=0)}
        low, high = np.array([limits[tuple(c)] for c in counts[:, :2]]).T
        assert (high < copies).mean() <= 0.05 + 0.014
        assert (low > copies).mean() <= 0.05 + 0.014
    # 8 flags on train and 2 on holdout, four train patients for each: what chance gives
    low, high = excess_limits((8, 2), 200, 4.0, 0.95)
    assert low == 0
    assert high < upper_bound(8, 200)
    assert excess_limits((0, 0), 200, 1.0, 0.95) == (0.0, pytest.approx(0.0149, abs=5e-5))


def test_a_stranger_is_flagged_as_rarely_as_said() -> None:
    w = world(2, 100, 100, transforms=())
    rule = flag_rule(w.real, w.gallery, LIMITS)
    gaps = strangers(w.real, w.gallery).gap
    assert (gaps > rule.gap).sum() == 1  # ceil(201 * 0.99) = 199th of 200
    assert rule.false_flag == upper_bound(1, 200)
    few = flag_rule(w.real[:30, :30], Gallery(np.arange(30), np.arange(30) < 15), LIMITS)
    assert few.gap == strangers(w.real[:30, :30], Gallery(np.arange(30), np.arange(30) < 15)).gap.max()
    assert few.false_flag == pytest.approx(0.095, abs=1e-3)  # 0 of 30 says no more than that


def test_copy_rate_is_bounded_and_the_recall_divides_it() -> None:
    w = world(4, 100, 100, 200, transforms=("exact",))
    controls = control_findings(w.controls, w.sources, w.real, w.gallery, LIMITS)
    plain = copy_rate(w.sim, w.real, w.gallery, LIMITS)
    divided = copy_rate(w.sim, w.real, w.gallery, LIMITS, controls)
    assert controls[0].interval is not None
    assert divided.figures["bound"] == pytest.approx(plain.figures["bound"] / controls[0].interval[0])
    assert upper_bound(0, 200) <= plain.figures["bound"] < 0.05
    copied = world(4, 100, 100, 200, rate=0.2)
    finding = copy_rate(copied.sim, copied.real, copied.gallery, LIMITS)
    assert finding.interval is not None
    assert finding.interval[0] > 0.1
    assert finding.interval[0] < 0.2 < finding.interval[1]
    assert not finding.figures["holds"]


def test_a_blind_transform_has_no_bound() -> None:
    w = world(4, control_noise=3.0)
    controls = control_findings(w.controls, w.sources, w.real, w.gallery, LIMITS)
    assert not controls[0].figures["visible"]
    finding = copy_rate(w.sim, w.real, w.gallery, LIMITS, controls)
    assert finding.figures["bound"] is None
    assert not finding.figures["holds"]
    assert "blind" in finding.words


def test_a_control_is_found_where_its_source_is_nearest_and_the_gap_is_flagged() -> None:
    w = world(6, noise=0.5)
    (finding,) = control_findings(w.controls, w.sources, w.real, w.gallery, LIMITS)
    rule, near = flag_rule(w.real, w.gallery, LIMITS), nearest(by_patient(w.controls["exact"], w.gallery))
    assert finding.figures["found"] == ((near.patient == w.sources["exact"]) & (near.gap > rule.gap)).sum()
    wrong = {"exact": (w.sources["exact"] + 1) % w.gallery.n_patients}
    assert control_findings(w.controls, wrong, w.real, w.gallery, LIMITS)[0].figures["found"] < 3


def test_tail_count_is_the_share_of_orders() -> None:
    # 5 synthetics and 2 holdout patients: the 3 closest of 7 are all synthetics in C(4, 2) of C(7, 2) placings
    w = world(8, 6, 2, 5, transforms=())
    order = np.linspace(0.9, 0.3, 7)
    w.sim[:], w.real[:] = -1, -1
    train, held = np.flatnonzero(w.gallery.is_train), np.flatnonzero(~w.gallery.is_train)
    w.sim[:, train[0]] = order[[0, 1, 2, 4, 6]]
    w.real[held, train[0]] = order[[3, 5]]
    finding = tail_count(w.sim, w.real, w.gallery, LIMITS)
    ways = list(combinations(range(7), 2))
    assert finding.statistic == 3
    assert finding.p_value == pytest.approx(np.mean([min(way) >= 3 for way in ways]))
    assert finding.role == "descriptive"


def test_smooth_synthetics_set_off_the_tail_count_and_not_the_permutation() -> None:
    worlds = [world(300 + i, 60, 60, 100, spread=0.7, transforms=()) for i in range(40)]
    tail = [p_of(tail_count(w.sim, w.real, w.gallery, LIMITS)) for w in worlds]
    labels = [p_of(label_permutation(w.sim, w.gallery, LIMITS)) for w in worlds]
    assert np.mean(np.array(tail) <= 0.05) > 0.3
    assert np.mean(np.array(labels) <= 0.05) < 0.2
