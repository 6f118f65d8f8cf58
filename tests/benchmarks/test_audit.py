"""The worlds of `benchmarks.audit`, on a bank of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks._audit_bank import COPIED, KINDS, PATIENTS, STRONG, Bank
from benchmarks._audit_one_run import noise_of
from benchmarks._audit_power import _cell_of, _holds
from benchmarks._audit_real import People, drawn
from benchmarks._audit_worlds import MIXED, draw, judged, limits, verdict
from benchmarks.audit_cards import with_audit
from benchmarks.audit_page import PAGE
from medidiff.errors import PriorError
from medidiff.prior import Prior
from medidiff.privacy.thresholds import TRANSFORMS


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def bank() -> Bank:
    rng = np.random.default_rng(0)
    patients, spaces = rng.normal(size=(PATIENTS, 40)), ("pose", "projection")
    gallery = unit(patients)
    null = unit(rng.normal(size=(250, 40))) @ gallery.T
    sources = {kind: rng.permutation(PATIENTS)[:COPIED] for kind in KINDS}
    noise = {kind: 20.0 if kind == STRONG else 0.1 for kind in KINDS}
    copies = {k: unit(patients[s] + noise[k] * rng.normal(size=(COPIED, 40))) @ gallery.T for k, s in sources.items()}
    return Bank(
        gallery={space: gallery @ gallery.T for space in spaces},
        synthetic={space: {"null": null, "smooth": null} for space in spaces},
        copies={space: copies for space in spaces},
        sources=sources,
    )


def test_copies_in_a_world_are_of_its_train_patients(bank: Bank) -> None:
    world = draw(bank, np.random.default_rng(1), (100, 50), kind=MIXED, rate=0.1)
    assert (world.gallery.n_train, world.gallery.n_holdout) == (100, 50)
    nearest = world.sim["pose"].argmax(axis=1)[:20]
    assert world.gallery.is_train[nearest].all()
    assert world.sim["pose"][:20].max(axis=1).min() > 0.9
    for name, sim in world.controls.items():
        assert (sim.argmax(axis=1) == world.sources[name]).all()
    np.testing.assert_allclose(np.diag(world.real["pose"]), 1)


def test_verdicts_of_worlds(bank: Bank) -> None:
    rng = np.random.default_rng(2)
    copied = draw(bank, rng, (100, 100), rate=0.1)
    assert verdict(copied, limits()) == verdict(copied, limits(), whole=True) == "FAIL"
    blind = draw(bank, rng, (100, 100), kind=STRONG, rate=0.1)
    assert STRONG in limits(STRONG).must_see
    assert judged(blind, limits(STRONG)).verdict != "PASS"


def test_a_cell_of_the_power_table(bank: Bank) -> None:
    cell = _cell_of(bank, np.random.default_rng(3), "flip", 0.1, (100, 100), worlds=4)
    assert (cell["fail"], cell["inconclusive"], cell["pass"], cell["visible"]) == (1.0, 0.0, 0.0, True)
    blind = _cell_of(bank, np.random.default_rng(4), STRONG, 0.02, (100, 25), worlds=2)
    assert (blind["pass"], blind["visible"]) == (0.0, False)
    assert blind["fail"] + blind["inconclusive"] == 1


def test_demands() -> None:
    row = {"kind": "exact", "rate": 0.05, "size": (100, 100), "visible": True, "fail": 0.9, "pass": 0.0}
    assert _holds([row])
    assert not _holds([{**row, "fail": 0.89}])
    assert _holds([{**row, "fail": 0.1, "size": (100, 25)}])
    assert not _holds([{**row, "visible": False, "pass": 0.01}])


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_the_mechanism_has_the_epsilon_that_is_said(epsilon: float) -> None:
    # delta(epsilon) = P[loss > epsilon] - e^epsilon P'[loss > epsilon]; the loss is normal: mean and variance 1 / s^2
    s = noise_of(epsilon, 1e-5)
    losses = stats.norm(0.5 / s**2, 1 / s), stats.norm(-0.5 / s**2, 1 / s)
    assert losses[0].sf(epsilon) - np.exp(epsilon) * losses[1].sf(epsilon) == pytest.approx(1e-5, rel=1e-6)


def test_the_page_says_what_was_measured() -> None:
    page = "<!-- from results: power -->\nold\n<!-- end -->\n<!-- from results: speed -->\n<!-- end -->"
    filled = PAGE.fill(page, {"power": {"lines": ["| a |"], "date": "today", "cpu": "one"}})
    assert "| a |" in filled
    assert "old" not in filled
    assert "Not measured yet: `python -m benchmarks.audit speed`" in filled


def test_a_card_tells_its_audit_and_keeps_the_earlier_one() -> None:
    prior = Prior.load("general")
    before = prior.card.figures["privacy_audit"]
    told = with_audit(prior, {"verdict": "PASS", "prior_hash": prior.content_hash}, "its weights tell more")
    found = told.card.figures["privacy_audit"]
    assert (found["verdict"], found["hash_before"]) == ("PASS", prior.content_hash)
    assert [one["verdict"] for one in found["earlier"]] == [before["verdict"]]
    assert told.card.limits.count("Privacy audit:") == 1
    assert "Privacy audit: PASS, but its weights tell more; see" in told.card.limits
    assert all((told.weights[name] == tensor).all() for name, tensor in prior.weights.items())
    with pytest.raises(PriorError, match="another prior"):
        with_audit(prior, {"verdict": "PASS", "prior_hash": "0" * 64})


def test_real_worlds_take_strangers_as_synthetics_and_train_patients_as_copied() -> None:
    number, scans = 131, 201
    patients = np.arange(scans) % number  # 70 people have two scans
    own = np.random.default_rng(0).normal(size=(number, 30))
    whole = unit(own[patients])
    rows = {name: unit(own) @ unit(own).T for name in TRANSFORMS} | {
        name: whole @ unit(own).T for name in ("null", "smooth")
    }
    people = People(patients, {"pose": rows, "projection": rows})
    world = drawn(people, np.random.default_rng(1), (40, 20), "null", "flip", 0.2)
    assert (world.gallery.n_train, world.gallery.n_holdout) == (40, 20)
    np.testing.assert_allclose(np.diag(world.real["pose"]), 1)
    best = world.sim["pose"].max(axis=1)
    copied = best > 0.999
    assert copied.sum() == round(0.2 * len(best))
    assert world.gallery.is_train[world.sim["pose"][copied].argmax(axis=1)].all()
    for name, sim in world.controls.items():
        assert (sim.argmax(axis=1) == world.sources[name]).all()
        assert world.gallery.is_train[world.sources[name]].all()
    assert not (drawn(people, np.random.default_rng(2), (40, 20), "null", "flip", 0.0).sim["pose"] > 0.999).any()
