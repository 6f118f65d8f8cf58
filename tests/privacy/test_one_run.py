from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from medidiff.errors import InputError
from medidiff.privacy.one_run import guesses, one_run_bound, one_run_finding, one_run_p
from medidiff.privacy.thresholds import Thresholds


@pytest.mark.parametrize(("canaries", "bound"), [(20, 1.82), (50, 2.78), (100, 3.49)])
def test_all_guesses_right(canaries: int, bound: float) -> None:
    assert one_run_bound(canaries, canaries) == pytest.approx(bound, abs=0.005)
    q = 0.05 ** (1 / canaries)  # P[Bin(r, q) >= r] = q^r
    assert one_run_bound(canaries, canaries) == pytest.approx(np.log(q / (1 - q)), abs=1e-5)


def test_p_value_by_its_formula() -> None:
    q = 1 / (1 + np.exp(-1.5))
    assert one_run_p(45, 50, 60, 1.5) == pytest.approx(stats.binom.sf(44, 50, q))
    alphas = [(stats.binom.cdf(44, 50, q) - stats.binom.cdf(44 - i, 50, q)) / i for i in range(1, 61)]
    expected = stats.binom.sf(44, 50, q) + 2 * 60 * 1e-3 * max(alphas)
    assert one_run_p(45, 50, 60, 1.5, 1e-3) == pytest.approx(expected)


def test_delta_only_lowers_the_bound_and_chance_shows_nothing() -> None:
    bounds = [one_run_bound(95, 100, 100, delta) for delta in (0.0, 1e-6, 1e-4, 1e-3)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[1] > 0.99 * bounds[0] > bounds[3]
    assert one_run_bound(55, 100) == 0
    assert one_run_bound(0, 10) == 0


def test_guesses_are_the_ends_and_a_tie_does_not_look_at_the_coin() -> None:
    scores, inside = np.arange(20.0), np.arange(20) % 2 == 0
    # the two highest are 18 (in) and 19 (out), the two lowest 0 (in) and 1 (out)
    assert guesses(scores, inside) == (2, 4)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(20)
        assert guesses(np.zeros(20), inside[order]) == (2, 4)
        assert guesses(scores[order], inside[order]) == (2, 4)


def sigma_of(epsilon: float, delta: float) -> float:
    """Noise of the Gaussian mechanism of sensitivity 1 that is exactly (epsilon, delta): Balle and Wang 2018, Eq. 6."""

    def excess(s: float) -> float:
        tail = np.exp(epsilon) * stats.norm.cdf(-0.5 / s - epsilon * s)
        return float(stats.norm.cdf(0.5 / s - epsilon * s) - tail - delta)

    return float(optimize.root_scalar(excess, bracket=(0.05, 50)).root)


@pytest.mark.parametrize(("epsilon", "share"), [(1.0, 0.15), (4.0, 0.28)])
def test_bound_on_a_gaussian_mechanism(epsilon: float, share: float) -> None:
    # 60 runs: more than 9 above the truth, where at most 5% may be, has a probability below 0.001
    rng, sigma = np.random.default_rng(1), sigma_of(epsilon, 1e-5)
    bounds = []
    for _ in range(60):
        coins = rng.random(1000) < 0.5
        right, made = guesses(coins + sigma * rng.normal(size=1000), coins)
        bounds.append(one_run_bound(right, made, 1000, 1e-5))
    assert sum(bound > epsilon for bound in bounds) <= 9
    assert np.mean(bounds) > share * epsilon


def test_finding_needs_a_fair_coin() -> None:
    coins = np.arange(40) % 2 == 0
    found = one_run_finding(coins + 0.0, coins, Thresholds(), fair_coin=True)
    assert found.statistic == pytest.approx(one_run_bound(8, 8))
    assert found.p_value == pytest.approx(0.5**8)
    refused = one_run_finding(coins + 0.0, coins, Thresholds(), fair_coin=False)
    assert refused.statistic is None
    assert "fair coin" in refused.words


@pytest.mark.parametrize(
    "bad", [(11, 10, 10, 1.0, 0.0), (-1, 10, 10, 1.0, 0.0), (5, 10, 9, 1.0, 0.0), (5, 10, 10, -1.0, 0.0)]
)
def test_bad_numbers_are_refused(bad: tuple[int, int, int, float, float]) -> None:
    with pytest.raises(InputError, match="guesses"):
        one_run_p(*bad)
    with pytest.raises(InputError, match="one-run"):
        guesses(np.array([np.nan, 1.0]), np.array([True, False]))
