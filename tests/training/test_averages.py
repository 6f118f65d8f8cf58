"""Averages of the weights: their profiles are exact, and any width comes back from sparse snapshots."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medidiff.errors import ConfigError
from medidiff.training.averages import WeightAverages, gamma_of, profile
from medidiff.training.posthoc import KEPT, Snapshots, coefficients

WIDTHS = (0.05, 0.10)


class Line(nn.Module):
    """Three weights that take a known path, one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.moving = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def go_to(self, step: int) -> None:
        with torch.no_grad():
            self.moving.copy_(trajectory(step))


def trajectory(step: int) -> torch.Tensor:
    """A line, a wave, a walk: what weights do. Bounded by 2 everywhere for steps up to 2000."""
    walk = np.random.default_rng(step).normal()
    return torch.tensor([step / 1000, np.sin(step / 40), np.clip(walk, -2, 2)], dtype=torch.float32)


def run(steps: int, folder: Path | None = None, every: int = 50) -> tuple[WeightAverages, Snapshots | None]:
    line = Line()
    averages = WeightAverages(line, WIDTHS)
    snapshots = None if folder is None else Snapshots(folder, every)
    for step in range(1, steps + 1):
        line.go_to(step)
        averages.update()
        if snapshots is not None and snapshots.due(step):
            snapshots.take(averages)
    return averages, snapshots


def direct(steps: int, width: float) -> np.ndarray:
    """The average as its definition has it: a sum over the whole trajectory."""
    weights = profile(np.arange(1, steps + 1, dtype=np.float64), steps, width)
    return np.sum([w * trajectory(k).double().numpy() for k, w in enumerate(weights, 1)], axis=0)


@pytest.mark.parametrize("width", [0.02, 0.05, 0.1, 0.15, 0.25])
def test_width_is_the_standard_deviation_of_the_profile(width: float) -> None:
    """Of the continuous profile on [0, 1] exactly; of 20000 steps to the variance of a step, 1/12 of its square."""
    steps = np.arange(1, 20001, dtype=np.float64)
    weights = profile(steps, 20000, width)
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    time = (steps - 0.5) / 20000
    mean = (weights * time).sum()
    assert np.sqrt((weights * (time - mean) ** 2).sum()) == pytest.approx(width, rel=1e-4)
    gamma = gamma_of(width)
    assert mean == pytest.approx((gamma + 1) / (gamma + 2), abs=1e-4)


@pytest.mark.parametrize("width", [0.0, -0.1, 0.28, 0.5])
def test_no_such_width(width: float) -> None:
    with pytest.raises(ConfigError, match=r"optimiser\.ema"):
        gamma_of(width)


def test_the_recursion_is_the_profile() -> None:
    averages, _ = run(700)
    for width, average in zip(WIDTHS, averages.tensors, strict=True):
        # 700 float32 steps: rounding of 6e-8 each, weighted by the profile
        np.testing.assert_allclose(average["moving"].numpy(), direct(700, width), atol=2e-6)
        assert set(average) == {"moving"}, "frozen weights are not averaged"


def test_stored_averages_come_back_exactly() -> None:
    stored = [(step, width) for step in range(50, 701, 50) for width in WIDTHS]
    for wanted in ((700, 0.05), (700, 0.10), (350, 0.10)):
        factors, left = coefficients(stored, wanted)
        assert left < 1e-6
        assert factors[stored.index(wanted)] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("width", [0.02, 0.035, 0.075, 0.15, 0.2])
def test_any_width_is_rebuilt_within_what_its_profile_leaves(tmp_path: Path, width: float) -> None:
    """|rebuilt - direct| <= |residual profile| |trajectory| (Cauchy-Schwarz), and close where the profile fits."""
    averages, snapshots = run(800, tmp_path)
    assert snapshots is not None
    rebuilt, left = snapshots.rebuild(averages, width)
    expected = direct(800, width)
    steps = np.arange(1, 801, dtype=np.float64)
    norm = np.linalg.norm(profile(steps, 800, width))
    path = np.stack([trajectory(int(k)).numpy() for k in steps])
    bound = left * norm * np.linalg.norm(path, axis=0) + 1e-5
    error = np.abs(rebuilt["moving"].numpy() - expected)
    assert (error <= bound).all()
    if width >= 0.035:  # the smooth parts, as weights are: the line and the wave
        assert left < 0.05
        assert (error[:2] < 5e-3).all()


@pytest.mark.parametrize("width", [0.02, 0.035, 0.075, 0.15])
def test_weights_that_never_move_come_back_as_they_are(width: float) -> None:
    """Few snapshots express a profile badly; a sum other than 1 would still scale every weight (by 0.73 to 1.03)."""
    stored = [(100, 0.05), (100, 0.1), (196, 0.05), (196, 0.1)]
    factors, left = coefficients(stored, (196, width))
    assert factors.sum() == pytest.approx(1, abs=1e-9)
    assert left < 0.5


def test_snapshots_stay_sparse_and_are_the_same_after_a_resume(tmp_path: Path) -> None:
    _, snapshots = run(2000, tmp_path / "a", every=10)
    assert snapshots is not None
    steps = snapshots.steps()
    assert len(steps) <= KEPT
    assert steps[-1] == 1920, "every 2^k tens, up to the last"
    assert all(step % 160 == 0 for step in steps)
    _, again = run(2000, tmp_path / "b", every=10)
    assert again is not None
    again.forget_after(1000)
    assert again.steps() == [step for step in steps if step <= 1000]
    snapshots.remove()
    assert not snapshots.folder.exists()


def test_a_checkpoint_goes_on_to_the_same_bits() -> None:
    whole, _ = run(60)
    line = Line()
    first = WeightAverages(line, WIDTHS)
    for step in range(1, 31):
        line.go_to(step)
        first.update()
    second = WeightAverages(line, WIDTHS)
    second.load_state_dict(first.state_dict())
    for step in range(31, 61):
        line.go_to(step)
        second.update()
    assert all(torch.equal(a["moving"], b["moving"]) for a, b in zip(whole.tensors, second.tensors, strict=True))


def test_what_is_shown_is_the_first_average_and_shares_frozen_weights() -> None:
    averages, _ = run(40)
    shown = averages.module
    assert torch.equal(shown.moving, averages.tensors[0]["moving"])
    assert shown.frozen is averages.network.frozen
    averages.show(averages.tensors[1])
    assert torch.equal(averages.module.moving, averages.tensors[1]["moving"])
    averages.network.go_to(41)  # type: ignore[operator]
    averages.update()
    assert torch.equal(averages.module.moving, averages.tensors[0]["moving"])


def test_a_width_of_many_digits_is_found_again(tmp_path: Path) -> None:
    line = Line()
    averages, snapshots = WeightAverages(line, (0.12345678901,)), Snapshots(tmp_path, 1)
    for step in range(1, 5):
        line.go_to(step)
        averages.update()
        snapshots.take(averages)
    rebuilt, left = snapshots.rebuild(averages, 0.12345678901)
    assert left < 1e-6
    for name, tensor in averages.tensors[0].items():
        torch.testing.assert_close(rebuilt[name], tensor)
