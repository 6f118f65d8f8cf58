"""What a run does with a loss that is not a number, and with a gradient far too large."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medidiff.errors import TrainingError
from medidiff.training import run
from medidiff.training.config import GuardConfig
from medidiff.training.guards import Guard
from medidiff.training.module import DenoiserTraining

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def usual(guard: Guard, n: int = 60) -> None:
    for i in range(n):
        assert guard.skip(1 + 0.1 * math.sin(i), "step") is None


def test_a_spike_is_left_out_and_counted() -> None:
    guard = Guard(GuardConfig(spike=10))
    usual(guard)
    assert guard.skip(9.0, "step 61") is None
    reason = guard.skip(11.0, "step 62")
    assert reason is not None
    assert "11 is more than 10 times the usual 1" in reason
    assert (guard.skipped, guard.in_a_row) == (1, 1)
    assert guard.skip(1.0, "step 63") is None
    assert (guard.skipped, guard.in_a_row) == (1, 0)


def test_the_first_gradients_are_never_spikes() -> None:
    guard = Guard(GuardConfig(spike=2))
    assert all(guard.skip(norm, "") is None for norm in (1e-3, 1.0, 50.0))


def test_many_in_a_row_end_the_run() -> None:
    guard = Guard(GuardConfig(spike=10, patience=3))
    usual(guard)
    for _ in range(3):
        assert guard.skip(100.0, "step") is not None
    with pytest.raises(TrainingError, match=r"4 updates in a row.*step 99") as caught:
        guard.skip(100.0, "step 99")
    assert caught.value.exit_code == 12


def test_not_finite_stops_or_is_left_out() -> None:
    for norm in (math.nan, math.inf):
        with pytest.raises(TrainingError, match=r"step 5 \(patches 8, 9\).*guard\.non_finite=skip"):
            Guard(GuardConfig()).skip(norm, "step 5 (patches 8, 9)")
        guard = Guard(GuardConfig(non_finite="skip"))
        assert guard.skip(norm, "") is not None
        assert guard.skipped == 1


def test_a_resumed_guard_judges_alike() -> None:
    one = Guard(GuardConfig(spike=10))
    usual(one)
    two = Guard(GuardConfig(spike=10))
    two.load_state_dict(one.state_dict())
    assert [one.skip(x, "") for x in (9.0, 11.0, 1.0)] == [two.skip(x, "") for x in (9.0, 11.0, 1.0)]
    assert one.state_dict() == two.state_dict()


def poisoned(monkeypatch: pytest.MonkeyPatch, at: set[int]) -> None:
    """Patches of these steps (counted from 0) hold a NaN in one voxel."""
    plain = DenoiserTraining.training_step

    def step(self: Any, batch: dict[str, Any], batch_idx: int) -> Any:
        if self.global_step in at:
            batch = {**batch, "target": batch["target"].clone()}
            batch["target"][1, 0, 0, 0, 0] = float("nan")
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(DenoiserTraining, "training_step", step)


def test_nan_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_config: Callable[..., Path]
) -> None:
    config = tiny_config(tmp_path)
    poisoned(monkeypatch, {7})
    words = r"not finite at step 8 \(patches 14, 15, from procedural, procedural, not finite themselves\)"
    with pytest.raises(TrainingError, match=words):
        run.run_training(config, ["checkpoint_minutes=1e-6"])
    saved = torch.load(tmp_path / "out" / run.CHECKPOINT, weights_only=True)
    assert saved["global_step"] == 7
    assert all(bool(torch.isfinite(t).all()) for t in saved["state_dict"].values())
    with pytest.raises(TrainingError, match="step 8"):  # the same step again
        run.run_training(config, ["checkpoint_minutes=1e-6"])
    run.run_training(config, ["guard.non_finite=skip"])
    end = torch.load(tmp_path / "out" / run.CHECKPOINT, weights_only=True)
    assert (end["global_step"], end["guard"]["skipped"]) == (12, 1)


def test_a_step_left_out_changes_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_config: Callable[..., Path]
) -> None:
    """Three steps of which the last is left out: the network and the optimiser are those of two steps."""
    poisoned(monkeypatch, {2})
    folders = {}
    for steps in (2, 3):
        how = ["guard.non_finite=skip", "optimiser.decay_from=0.99", f"optimiser.steps={steps}"]
        run.run_training(tiny_config(tmp_path / str(steps)), how)
        folders[steps] = torch.load(tmp_path / str(steps) / "out" / run.CHECKPOINT, weights_only=True)
    for name, tensor in folders[2]["state_dict"].items():
        assert torch.equal(tensor, folders[3]["state_dict"][name]), name
