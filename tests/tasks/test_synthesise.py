"""New scans from nothing observed."""

from typing import Any

import numpy as np
import pytest

from medidiff import synthesise
from medidiff.errors import UsageError
from medidiff.prior import Prior

CPU: dict[str, Any] = {"device": "cpu", "precision": "float32", "n_steps": 4}


def test_samples_depend_on_seed_and_number_only(tiny_prior: Prior) -> None:
    both = synthesise(tiny_prior, (16, 12, 9), spacing_mm=(2.0, 2.0, 3.0), count=2, seed=5, **CPU)
    second = synthesise(tiny_prior, (16, 12, 9), spacing_mm=(2.0, 2.0, 3.0), count=1, first=1, seed=5, **CPU)
    assert np.array_equal(second.output.data, both.samples[1].data)
    assert not np.array_equal(both.samples[0].data, both.samples[1].data)
    assert both.output is both.samples[0]
    assert both.output.spacing_mm == (2.0, 2.0, 3.0)
    assert both.nfe == 2 * (4 + 1)
    other = synthesise(tiny_prior, (16, 12, 9), spacing_mm=(2.0, 2.0, 3.0), count=1, seed=6, **CPU)
    assert not np.array_equal(other.output.data, both.output.data)


def test_the_callback_sees_the_first_sample(tiny_prior: Prior) -> None:
    levels: list[float] = []
    synthesise(tiny_prior, (8, 8, 8), count=2, callback=lambda i, t, denoised: levels.append(float(t)), **CPU)
    assert len(levels) == 4
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(80.0)


def test_bad_requests_are_refused(tiny_prior: Prior) -> None:
    for shape in ((8, 8), (4, 8, 8)):
        with pytest.raises(UsageError, match="three sizes"):
            synthesise(tiny_prior, shape, **CPU)
    with pytest.raises(UsageError, match="count 0"):
        synthesise(tiny_prior, (8, 8, 8), count=0, **CPU)
    with pytest.raises(UsageError, match="--steps 1"):
        synthesise(tiny_prior, (8, 8, 8), n_steps=1, device="cpu")
    with pytest.raises(UsageError, match="spacing_mm"):
        synthesise(tiny_prior, (8, 8, 8), spacing_mm=(1.0, 0.0, 1.0), **CPU)
