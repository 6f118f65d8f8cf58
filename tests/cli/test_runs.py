"""`medidiff runs`: what is read from a run's folder, and what is made of it."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from medidiff.cli.runs_text import duration, sparkline
from medidiff.training.watch_files import find_runs, read_run, read_trend

from .conftest import Run


def make_run(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    status = {
        "name": folder.name, "state": "finished", "reason": None, "pid": os.getpid(), "host": socket.gethostname(),
        "step": 50, "steps": 200, "progress": 0.25, "loss": 0.5, "lr": 1e-3, "patches_per_s": 3.5, "step_s": 0.57,
        "peak_rss_gib": 2.25, "elapsed_s": 100.0, "left_s": 5400.0, "started": time.time() - 100,
        "updated": time.time(),
        "val": {"psnr_3pct": 36.1, "psnr_9pct": 30.5, "psnr_15pct": 28.0}, "train": {"psnr_9pct": 31.25}, "prior": None,
        "world_size": 1, "command": "medidiff train x.yaml",
    }  # fmt: skip
    (folder / "status.json").write_text(json.dumps(status | changes))
    return folder


def test_the_table_has_one_row_a_run(tmp_path: Path, run: Run) -> None:
    make_run(tmp_path / "a" / "brain", state="running")
    make_run(tmp_path / "b", state="failed", reason="the loss is not finite at step 7.")
    done = run("runs", str(tmp_path))
    assert done.code == 0
    row = next(line for line in done.out.splitlines() if "brain" in line)
    for cell in ("running", "50/200", "25.0%", "0.500", "36.10", "30.50", "28.00", "0.75", "3.5", "2.2", "1 h 30 min"):
        assert cell in row.split("  ") or cell in row
    assert "failed: the loss is not finite at step 7." in done.out


def test_a_run_whose_process_was_killed_is_dead(tmp_path: Path, run: Run) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    make_run(tmp_path / "r", state="running", pid=gone.pid)
    assert read_run(tmp_path / "r")["state"] == "dead"
    assert "run the same command to go on" in run("runs", str(tmp_path / "r")).out


def test_a_younger_process_with_the_number_does_not_count(tmp_path: Path) -> None:
    """A number is given out again: this process is younger than the last word of that run."""
    make_run(tmp_path / "r", state="running", updated=time.time() - 10**8)
    assert read_run(tmp_path / "r")["state"] == "dead"
    make_run(tmp_path / "s", state="running")
    assert read_run(tmp_path / "s")["state"] == "running"


def test_a_run_elsewhere_is_silent_after_half_an_hour(tmp_path: Path) -> None:
    for name, ago, state in (("a", 60, "running"), ("b", 3600, "silent")):
        make_run(tmp_path / name, state="running", host="elsewhere", pid=1, updated=time.time() - ago)
        assert read_run(tmp_path / name)["state"] == state


def test_a_status_that_cannot_be_read_hides_no_other(tmp_path: Path, run: Run) -> None:
    make_run(tmp_path / "good")
    for name, text in (("half", "{"), ("list", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "status.json").write_text(text)
    done = json.loads(run("runs", str(tmp_path), "--json").out)
    assert {r["name"]: r["state"] for r in done["runs"]} == {"good": "finished", "half": "unknown", "list": "unknown"}
    assert run("runs", str(tmp_path)).code == 0


def test_the_trend_goes_over_resumes_and_later_tables_win(tmp_path: Path, run: Run) -> None:
    folder = make_run(tmp_path / "r")
    for version, rows in enumerate((["9,30.0,", "19,31.0,", "19,,0.5"], ["19,31.5,", "29,32.0,", "39,nan,"])):
        table = folder / "csv" / f"version_{version}" / "metrics.csv"
        table.parent.mkdir(parents=True)
        table.write_text("\n".join(["step,val/psnr_9pct,train/loss", *rows]) + "\n")
        os.utime(table, (version, version))
    assert [(r["step"], r["val/psnr_9pct"]) for r in read_trend(folder)] == [(9, 30.0), (19, 31.5), (29, 32.0)]
    text = run("runs", str(folder)).out
    assert "31.50" in text
    assert "not written yet" in text
    assert len(json.loads(run("runs", str(folder), "--json").out)["trend"]) == 3


def test_nothing_found_and_no_folder(tmp_path: Path, run: Run) -> None:
    assert "No training run below" in run("runs", str(tmp_path)).out
    assert run("runs", str(tmp_path / "none")).code == 2
    assert find_runs([tmp_path / "none"]) == []


def test_it_needs_no_torch() -> None:
    call = "app(['runs', '.'], standalone_mode=False)"
    code = f"import sys; from medidiff.cli.app import app; {call}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (90, "90 s"), (150, "2 min"), (5400, "1 h 30 min"), (200000, "2 d 7 h")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_sparkline_keeps_ends() -> None:
    assert sparkline([1.0, 2.0, 3.0]) == "▁▅█"
    assert sparkline([5.0] * 3) == "▁▁▁"
    long = sparkline([float(i) for i in range(1000)])
    assert len(long) == 60
    assert (long[0], long[-1]) == ("▁", "█")
