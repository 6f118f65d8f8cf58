"""What the prior makes of an estimate of the noise, and what it does not know better."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medidiff.prior import Prior
from medidiff.tasks import refine as module
from medidiff.tasks.blind import Refined
from medidiff.tasks.known_noise import KnownNoise
from medidiff.tasks.observation import Observation, observe
from medidiff.tasks.refine import refine
from medidiff.tasks.session import Session
from medidiff.volume import Volume

SETTINGS: dict[str, Any] = dict(device="cpu", precision="float32", threads=None, max_gb=None, seed=0)
SCAN = Volume.from_array(np.random.default_rng(0).normal(100, 10, (16, 16, 16)).astype(np.float32))


def refined(
    prior: Prior, monkeypatch: pytest.MonkeyPatch, known: KnownNoise, trusted: bool = True, factor: float = 1.2
) -> Observation:
    def find(denoise: object, y: object, sigma: Any, *_: object) -> Refined:
        return Refined(factor * sigma, None, (0.9, 1.1), 0.3, trusted, [] if trusted else ["check it"])

    monkeypatch.setattr(module, "refine_noise", find)
    session = Session(prior, (1.0, 1.0, 1.0), **SETTINGS)
    seen = refine(session, observe(SCAN, prior, known), SCAN)
    assert session.nfe == 1  # 0.3 of a scan, rounded up
    return seen


def test_the_level_moves_and_its_interval_with_it(tiny_prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownNoise("gaussian", 10.0, source="estimate", interval=(4.0, 30.0), figures={"noise_trusted": True})
    noise = refined(tiny_prior, monkeypatch, known).noise
    assert noise.typical == pytest.approx(12)
    assert noise.interval == pytest.approx((0.9 * 12, 1.1 * 12))
    assert noise.figures["noise_std_first"] == 10


def test_doubts_of_the_first_estimate_stay_in_the_interval(tiny_prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownNoise("gaussian", 10.0, source="estimate", interval=(4.0, 13.0), figures={"noise_trusted": False})
    assert refined(tiny_prior, monkeypatch, known).noise.interval == pytest.approx((4.0, 1.1 * 12))
    unknown = replace(known, interval=(float("nan"), float("nan")))
    assert refined(tiny_prior, monkeypatch, unknown).noise.interval == pytest.approx((0.9 * 12, 1.1 * 12))


def test_what_the_prior_does_not_confirm_stays(tiny_prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = refined(tiny_prior, monkeypatch, KnownNoise("gaussian", 10.0, source="estimate"), trusted=False)
    assert (seen.noise.typical, seen.noise.figures["noise_refined"], seen.warnings) == (10.0, False, ["check it"])


def test_a_level_that_background_tells_better_stays(tiny_prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownNoise("gaussian", 10.0, source="estimate", interval=(9.9, 10.1), figures={"noise_trusted": True})
    noise = refined(tiny_prior, monkeypatch, known).noise
    assert (noise.typical, noise.interval, noise.figures["noise_refined"]) == (10.0, (9.9, 10.1), True)


def test_a_prior_that_disagrees_with_much_background_is_heard(
    tiny_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownNoise("gaussian", 10.0, source="estimate", interval=(9.9, 10.1), figures={"noise_trusted": True})
    seen = refined(tiny_prior, monkeypatch, known, factor=2.0)
    assert (seen.noise.typical, seen.noise.figures["noise_refined"]) == (10.0, False)
    assert any("2 times" in line for line in seen.warnings)
