"""Reading what a run has left in its folder: state, figures, trends. Standard library only, so that it is quick."""

from __future__ import annotations

import csv
import json
import math
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STATUS = "status.json"
_SILENT_S = 1800.0
_VALIDATED = ("val/psnr_9pct", "train/psnr_9pct")


def find_runs(folders: list[Path], depth: int = 4) -> list[Path]:
    """Folders with a status file (or, from older versions, a config and csv tables), found below `folders`, sorted.

    Args:
        folders: A run itself, or folders above runs.
        depth: How many folders down.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        for run in _below(folder, depth):
            found.setdefault(run)
    return sorted(found)


def read_run(folder: Path) -> dict[str, Any]:
    """A run's status, its state checked against the processes of this machine.

    Returns:
        The fields of status.json with `folder`, `gap_db` (training minus val PSNR at 9%) and a `state` that may also be
        `dead` (its process is gone), `silent` (another machine's, not updated for 30 minutes) or `unknown`.
    """
    status: dict[str, Any]
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        if not isinstance(status, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        status = _older(folder)
    except (OSError, ValueError) as error:
        status = {"name": folder.name, "state": "unknown", "reason": f"{STATUS} cannot be read ({error})."}
    val, train = status.get("val") or {}, status.get("train") or {}
    gap = None
    if "psnr_9pct" in val and "psnr_9pct" in train and None not in (val["psnr_9pct"], train["psnr_9pct"]):
        gap = train["psnr_9pct"] - val["psnr_9pct"]
    state, reason = _state(status)
    return {
        **status,
        "folder": str(folder),
        "val": val,
        "train": train,
        "gap_db": gap,
        "state": state,
        "reason": reason,
    }


def read_trend(folder: Path) -> list[dict[str, float]]:
    """Every validation of a run over all its resumes, from its csv tables, by step.

    Args:
        folder: The run.

    Returns:
        A mapping of figures a validation (without val patients those of training patches), `step` among them; a step
        measured twice counts as it was last.
    """
    rows: dict[int, dict[str, float]] = {}
    tables = sorted(folder.glob("csv/version_*/metrics.csv"), key=lambda path: path.stat().st_mtime)
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                figures = {name: _number(text) for name, text in row.items() if name}
                values = {name: value for name, value in figures.items() if value is not None}
                if "step" in values and not values.keys().isdisjoint(_VALIDATED):
                    rows[int(values["step"])] = values
    return [rows[step] for step in sorted(rows)]


def _older(folder: Path) -> dict[str, Any]:
    """What the tables of a run without a status file say."""
    reason = f"no {STATUS}: made by an older version."
    last = (read_trend(folder) or [{}])[-1]
    parts = {
        part: {name.removeprefix(f"{part}/"): value for name, value in last.items() if name.startswith(f"{part}/")}
        for part in ("val", "train")
    }
    step = int(last["step"]) + 1 if last else None
    return {"name": folder.name, "state": "unknown", "reason": reason, "step": step, **parts}


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / STATUS).is_file() or ((folder / "config.yaml").is_file() and (folder / "csv").is_dir()):
        yield folder
    elif depth > 0 and folder.is_dir():
        try:
            inside = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
        except OSError:
            return
        for entry in inside:
            yield from _below(entry, depth - 1)


def _state(status: dict[str, Any]) -> tuple[str, str | None]:
    state, reason = str(status.get("state", "unknown")), status.get("reason")
    if state != "running":
        return state, reason
    updated = float(status.get("updated") or 0)
    if status.get("host") != socket.gethostname():
        quiet = time.time() - updated
        if quiet < _SILENT_S:
            return state, reason
        return "silent", f"runs on {status.get('host')} and has not been heard of for {quiet / 60:.0f} minutes."
    if _alive(int(status.get("pid") or 0), updated):
        return state, reason
    return "dead", "its process is gone (killed, or the power failed): run the same command to go on."


def _alive(pid: int, updated: float) -> bool:
    """Whether the process that wrote the status still runs; a younger one with its number does not count."""
    import psutil  # here: only runs that call themselves running need it

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= updated + 1
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.AccessDenied:
        return True


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


__all__ = ["STATUS", "find_runs", "read_run", "read_trend"]
