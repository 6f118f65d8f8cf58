"""The number of steps as data: decisions are written before they hold, and replayed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medidiff.errors import InputError
from medidiff.training import budget as budget_module
from medidiff.training.budget import Budget
from medidiff.training.schedule import SCHEDULE, Decision, Schedule, misses, plan


def test_progress_is_continuous_where_the_plan_changes(tmp_path: Path) -> None:
    schedule = Schedule(tmp_path / SCHEDULE, 1000, hours=1.0)
    schedule.begin(0, 0.0)
    before = [schedule.progress(step) for step in range(101)]
    schedule.decide(100, 300, 60.0, "slow")
    assert [schedule.progress(step) for step in range(101)] == before
    assert schedule.progress(101) == pytest.approx(0.1 + 0.9 / 200)
    assert schedule.progress(300) == 1.0
    assert schedule.progress(299) < 1.0


def test_a_restart_replays_every_decision(tmp_path: Path) -> None:
    first = Schedule(tmp_path / SCHEDULE, 1000, hours=1.0)
    first.begin(0, 0.0)
    first.decide(20, 500, 10.0, "calibrated")
    first.decide(90, 400, 50.0, "slow")
    second = Schedule(tmp_path / SCHEDULE, 1000, hours=1.0)
    second.begin(50, 30.0)  # from a checkpoint before the last decision
    assert second.decisions == first.decisions
    assert [second.progress(s) for s in range(400)] == [first.progress(s) for s in range(400)]


def test_a_line_cut_by_a_power_failure_never_held(tmp_path: Path) -> None:
    path = tmp_path / SCHEDULE
    schedule = Schedule(path, 1000, hours=1.0)
    schedule.begin(0, 0.0)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 20, "st')
    again = Schedule(path, 1000, hours=1.0)
    assert again.decisions == schedule.decisions
    assert path.read_bytes() == whole
    path.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(InputError, match="line 1 is damaged"):
        Schedule(path, 1000)


def test_a_lost_file_is_written_again_from_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / SCHEDULE
    schedule = Schedule(path, 1000, hours=1.0)
    schedule.begin(0, 0.0)
    schedule.decide(20, 500, 10.0, "calibrated")
    known, written = schedule.to_list(), path.read_text()
    path.unlink()
    again = Schedule(path, 1000, hours=1.0)
    again.begin(50, 30.0, known)
    assert again.decisions == schedule.decisions
    assert path.read_text() == written


def test_raised_hours_go_on_where_the_time_is() -> None:
    schedule = Schedule(None, 1000, hours=2.0)
    schedule.decisions = [Decision(0, 1000, 0.0, 0.0, "configured", 1.0), Decision(20, 300, 0.02, 60.0, "x", 1.0)]
    assert schedule.progress(300) == 1
    schedule.begin(300, 3600.0)
    assert schedule.progress(300) == pytest.approx(0.5)
    assert schedule.current(300).steps == 1000


def test_a_plan_fits_the_time_that_is_left() -> None:
    assert plan(20, 60.0, 2.0, hours=1.0, most=10**6) == 20 + 1770
    assert plan(20, 60.0, 2.0, hours=1.0, most=500) == 500
    assert plan(20, 4000.0, 2.0, hours=1.0, most=500) == 20
    decision = Decision(20, 1790, 0.01, 60.0, "", 1.0)
    assert not misses(decision, 100, 220.0, 2.02, 1.0, 10**6)
    assert misses(decision, 100, 220.0, 2.2, 1.0, 10**6)
    assert misses(decision, 100, 220.0, 1.8, 1.0, 10**6)
    assert not misses(decision, 100, 220.0, 1.8, 1.0, 1790), "no more steps are wanted"


class Clock:
    """A machine whose speed is a function of the step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(budget_module.time, "monotonic", lambda: self.now)


def simulate(budget: Budget, clock: Clock, seconds: Any, first: int = 0, until: int = 10**9) -> tuple[int, list[float]]:
    """Run the budget through steps that take `seconds(step)`; returns where it stopped, and every step's progress."""
    trainer: Any = SimpleNamespace(global_step=first, should_stop=False)
    module: Any = SimpleNamespace(
        set_learning_rate=lambda step, progress: progress, log=lambda *_, **__: None, device=None
    )
    budget.on_train_start(trainer, module)
    seen = []
    while not trainer.should_stop and trainer.global_step < min(until, budget.steps):
        budget.on_train_batch_start(trainer, module, None, 0)
        seen.append(budget.progress(trainer.global_step))
        clock.now += seconds(trainer.global_step)
        trainer.global_step += 1
        budget.on_train_batch_end(trainer, module, None, None, 0)
    return trainer.global_step, seen


@pytest.mark.parametrize(
    "seconds",
    [
        lambda step: 2.0,
        lambda step: 5.0 if 3000 < step < 4500 else 2.0,  # another job for two hours
        lambda step: 2.0 if step < 14000 else 4.0,  # slower from half on
        lambda step: 4.0 if step < 2000 else 1.0,
        lambda step: 600.0,
        lambda step: 2.0 + (3.0 if step > 17000 else 0.0),  # slower at the very end
    ],
    ids=["steady", "slump", "slower", "faster", "huge steps", "late slump"],
)
def test_it_stops_on_time_whatever_the_machine_does(monkeypatch: pytest.MonkeyPatch, seconds: Any) -> None:
    clock = Clock(monkeypatch)
    budget = Budget(10**6, hours=10.0)
    budget.begin()
    steps, progress = simulate(budget, clock, seconds)
    assert abs(clock.now / 36000 - 1) < 0.03
    assert progress == sorted(progress)
    assert budget.progress(steps) == 1.0
    assert len(budget.schedule.decisions) < 60


def test_the_plan_is_said_once_and_when_it_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    budget = Budget(10**6, hours=10.0, batch=4)
    budget.begin()
    simulate(budget, clock, lambda step: 2.0 if step < 9000 else 3.0)
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("plan:"))
    assert first.startswith("plan: 18000 steps, 72000 patches, 10 h of 10 h, ends ")
    assert int(second.split()[1]) == pytest.approx(15000, rel=0.02)
    budget = Budget(100, hours=None, batch=4)
    budget.begin()
    simulate(budget, clock, lambda step: 36.0)
    assert capsys.readouterr().err.count("plan: 100 steps, 400 patches, 1 h, ends ") == 1


def test_a_killed_run_passes_the_same_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Killed at step 700 after a checkpoint at 500, resumed on a slower machine: until 700 nothing may differ."""
    clock = Clock(monkeypatch)
    first = Budget(10**6, hours=1.0, folder=tmp_path, fresh=True)
    first.begin()
    simulate(first, clock, lambda step: 2.0 if step < 300 else 3.0, until=500)
    state = json.loads(json.dumps(first.state_dict()))
    _, killed = simulate(first, clock, lambda step: 3.0 if step < 520 else 5.0, first=500, until=700)
    decided = (tmp_path / SCHEDULE).read_text()
    second = Budget(10**6, hours=1.0, folder=tmp_path)
    second.begin(500, state)
    last = second.schedule.last.step
    assert 500 < last < 700, "a decision that the restart passes again"
    steps, again = simulate(second, clock, lambda step: 4.0, first=500)
    assert again[: last - 499] == killed[: last - 499]
    assert (tmp_path / SCHEDULE).read_text().startswith(decided)
    assert second.elapsed_seconds / 3600 == pytest.approx(1, abs=0.03)
    assert second.progress(steps) == 1


def test_a_signal_and_a_checkpoint_are_agreed_on_at_the_end_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    budget = Budget(100, None, minutes=1.0)
    budget.begin()
    steps, _ = simulate(budget, clock, lambda step: 25.0, until=3)
    assert steps == 3
    assert budget.save_now
    budget.ask_to_stop()
    assert not budget.interrupted
    steps, _ = simulate(budget, clock, lambda step: 1.0, first=3)
    assert steps == 4
    assert budget.interrupted


def test_a_raised_limit_undoes_an_end_that_lies_ahead(tmp_path: Path) -> None:
    """Killed after "the time is up" and before the checkpoint: with more hours the run goes on, and so it does when it
    is resumed once more."""
    path = tmp_path / "schedule.jsonl"
    first = Schedule(path, 1000, 1.0)
    first.begin(0, 0.0)
    first.decide(50, 50, 3600.0, "the time is up")
    for _ in range(2):
        again = Schedule(path, 1000, 2.0)
        again.begin(40, 3000.0)
        assert again.progress(50) < 1
        assert again.current(60).steps == 1000
