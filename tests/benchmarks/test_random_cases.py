"""Whatever scan is drawn: `denoise` gives a finite scan on the same grid, or says why not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.random_cases import DTYPES, KINDS, Outcome, draw_case, known, run_case, summary


def test_a_case_is_its_seed_and_seeds_reach_every_kind_and_type() -> None:
    drawn = [draw_case(seed) for seed in range(60)]
    np.testing.assert_array_equal(drawn[3].volume.data, draw_case(3).volume.data)
    assert {d.kind for d in drawn} == set(KINDS)
    assert {str(d.volume.data.dtype) for d in drawn} == set(DTYPES)
    assert {d.told for d in drawn} == {"auto", "level"}
    assert any(max(d.volume.shape) >= 48 for d in drawn)


def test_what_is_told_is_what_was_added() -> None:
    for seed in range(40):
        drawn = draw_case(seed)
        level = known(drawn)
        assert level.kind == (drawn.kind if drawn.kind in ("rician", "chi") else "gaussian")
        assert (np.ndim(level.level) == 3) == (drawn.kind == "varying")
        assert level.coloured == (drawn.kind == "correlated")


# One example is a second on a busy core: a few here, a thousand in `python -m benchmarks.random_cases`.
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(1_000_000, 2_000_000))
def test_finite_on_the_same_grid_or_refused_with_a_reason(tiny_prior: Any, seed: int) -> None:
    outcome = run_case(draw_case(seed), tiny_prior, 1, tiles=False)
    assert outcome.state in ("done", "refused"), outcome.why


def test_a_crash_is_a_failure_and_a_refusal_is_not(tiny_prior: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import medidiff
    from medidiff.errors import InputError

    def crash(*_: object, **__: object) -> None:
        raise ValueError("inside")

    def refuse(*_: object, **__: object) -> None:
        raise InputError("too small")

    monkeypatch.setattr(medidiff, "denoise", crash, raising=False)
    outcome = run_case(draw_case(1), tiny_prior, 1)
    assert outcome.state == "failed"
    assert "ValueError: inside" in outcome.why
    monkeypatch.setattr(medidiff, "denoise", refuse, raising=False)
    assert run_case(draw_case(1), tiny_prior, 1).state == "refused"


def test_the_summary_counts_and_names_the_worst() -> None:
    class Args:
        prior = "general"

    outcomes = {
        1: Outcome("done", "", "denoised", 0.002),
        2: Outcome("done", "", "denoised", 0.004),
        3: Outcome("refused", "InputError: too small"),
        4: Outcome("failed", "ValueError: inside"),
    }
    text, report = summary(outcomes, 60.0, Args())  # type: ignore[arg-type]
    assert report["failed"] == 1
    assert report["worst_tile_seed"] == 2
    assert "at most 0.40% (seed 2" in text
    assert "seed 4: ValueError: inside" in text
