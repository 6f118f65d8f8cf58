"""What a validation measures, on a denoiser whose error is known."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from medidiff.nets.embedding import NOISE_CORRELATION
from medidiff.training.validation import RANGE, VALIDATION_PERCENT, validation_figures


class Off:
    """Knows the answer and is off by a constant; remembers what it was told."""

    def __init__(self, target: Tensor, by: float) -> None:
        self.target, self.by = target, by
        self.seen: list[tuple[Tensor, float, Any, Any]] = []

    def __call__(self, y: Tensor, sigma: Tensor, spacing_mm: Tensor, cond: Any) -> Any:
        self.seen.append((y, float(sigma), spacing_mm, cond))
        return SimpleNamespace(mean=self.target + self.by)


def batch(tau: float = 0.0) -> dict[str, Tensor]:
    target = torch.rand(3, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"target": target, "tau": torch.full((3, 1, 1, 1, 1), tau), "spacing_mm": torch.ones(3, 3)}


def test_psnr_is_that_of_the_error_made() -> None:
    """Error 0.05 on a range of 2: 20 log10(2 / 0.05)."""
    figures = validation_figures(Off(batch()["target"], 0.05), batch(), 0)
    for percent in VALIDATION_PERCENT:
        assert float(figures[f"val/psnr_{percent:g}pct"]) == pytest.approx(20 * math.log10(RANGE / 0.05), abs=1e-3)


def test_psnr_less_own_noise_is_that_against_the_clean_scan() -> None:
    """Empty scans with noise tau, a denoiser that keeps 0.4 of what it is given: its error is 0.4 of all noise."""
    tau = 0.05
    given = batch(tau=tau)
    own = torch.randn(4, 1, 24, 24, 24, generator=torch.Generator().manual_seed(3))
    given = given | {"target": tau * own, "tau": given["tau"][:1].expand(4, 1, 1, 1, 1), "spacing_mm": torch.ones(4, 3)}
    figures = validation_figures(lambda y, *_: SimpleNamespace(mean=0.4 * y), given, 0)
    for percent in VALIDATION_PERCENT:
        exact = 0.4**2 * ((percent / 100 * RANGE) ** 2 + tau**2)
        less = float(figures[f"val/psnr_less_own_noise_{percent:g}pct"])
        assert less == pytest.approx(10 * math.log10(RANGE**2 / exact), abs=0.15)


def test_train_patches_get_the_same_noise_and_no_coloured_part() -> None:
    val, train = Off(batch()["target"], 0.1), Off(batch()["target"], 0.1)
    before = torch.random.get_rng_state()
    of_val, of_train = (validation_figures(d, batch(), 5, s) for d, s in ((val, "val"), (train, "train")))
    assert torch.equal(before, torch.random.get_rng_state()), "training's random numbers must not be used"
    assert {name.replace("train/", "val/") for name in of_train} == {n for n in of_val if "coloured" not in n}
    white = [seen for seen in val.seen if seen[3] is None or NOISE_CORRELATION not in seen[3]]
    assert torch.equal(white[0][0], train.seen[0][0])
    assert not torch.equal(val.seen[0][0], Off(batch()["target"], 0.1).target)
    levels = sorted({seen[1] for seen in train.seen})
    assert levels == pytest.approx([percent / 100 * RANGE for percent in VALIDATION_PERCENT])


def test_coloured_noise_is_told_once() -> None:
    denoiser = Off(batch()["target"], 0.1)
    validation_figures(denoiser, batch(), 0)
    told = [seen[3][NOISE_CORRELATION] for seen in denoiser.seen if seen[3] and NOISE_CORRELATION in seen[3]]
    assert len(told) == 1
    assert told[0].shape == (3, 6)


def test_position_is_passed_on() -> None:
    denoiser = Off(batch()["target"], 0.1)
    position = torch.randn(3, 3, 4)
    validation_figures(denoiser, batch() | {"position": position}, 0, "train")
    assert all(seen[3]["position"] is position for seen in denoiser.seen)
