"""Training runs as text: a table of many, the details of one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

_LEVELS = ("3", "9", "15")
_VAL = tuple(f"val {p}%" for p in _LEVELS)
_HEAD = ("run", "state", "step", "done", "loss", *_VAL, "gap", "patch/s", "GiB", "left", "started")
_COLOURS = {"running": "green", "dead": "red", "failed": "red", "silent": "yellow", "stopped": "yellow"}
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_WIDTH = 200
_ROWS = 12


def show_table(runs: Sequence[Mapping[str, Any]]) -> None:
    """One row a run, to stdout; what is wrong with some stands under the table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for head in _HEAD:
        table.add_column(head, justify="left" if head in ("run", "state") else "right", no_wrap=True)
    for run in runs:
        val = run["val"]
        table.add_row(
            Text(str(run.get("name"))),
            Text(run["state"], style=_COLOURS.get(run["state"], "")),
            f"{run['step']}/{run['steps']}" if run.get("steps") else _number(run.get("step"), 0),
            f"{100 * run['progress']:.1f}%" if run.get("progress") is not None else "",
            _number(run.get("loss"), 3),
            *(_number(val.get(f"psnr_{p}pct"), 2) for p in _LEVELS),
            _number(run["gap_db"], 2),
            _number(run.get("patches_per_s"), 1),
            _number(run.get("peak_rss_gib"), 1),
            duration(run.get("left_s")) if run["state"] == "running" else "",
            _date(run.get("started")),
        )
    Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False).print(table)
    for run in runs:
        if run.get("reason"):
            sys.stdout.write(f"{run['folder']}: {run['state']}: {run['reason']}\n")


def details(run: Mapping[str, Any], trend: Sequence[Mapping[str, float]]) -> list[str]:
    """One run, and its validations as a small table with a line of bars."""
    started, updated = _date(run.get("started")), _date(run.get("updated"))
    progress = f"{100 * run['progress']:.1f}%" if run.get("progress") is not None else "unknown"
    left = f", about {duration(run['left_s'])} left" if run["state"] == "running" and run.get("left_s") else ""
    skipped = f", {run['skipped']} updates left out" if run.get("skipped") else ""
    speed = "not measured yet"
    if run.get("step_s"):
        processes = f" on {run['world_size']} processes" if run.get("world_size", 1) > 1 else ""
        speed = f"{run['step_s']:.3g} s a step, {run['patches_per_s']:.3g} patches/s{processes}"
    memory = f"{_number(run.get('peak_rss_gib'), 2) or 'unknown'} GiB"
    if run.get("peak_cuda_gib"):
        memory += f", {run['peak_cuda_gib']:.2f} GiB on the accelerator"
    rows = [
        ("run", f"{run.get('name')} in {run['folder']}"),
        ("state", run["state"] + (f": {run['reason']}" if run.get("reason") else "")),
        ("progress", f"step {run.get('step', '?')} of {run.get('steps', '?')}, {progress}{left}{skipped}"),
        ("time", f"{duration(run.get('elapsed_s')) or 'unknown'} of training; started {started}, last heard {updated}"),
        ("speed", speed),
        ("memory", f"{memory} at most"),
        ("process", f"{run['pid']} on {run['host']}; {run['command']}" if run.get("pid") else "unknown"),
        ("prior", run.get("prior") or "not written yet"),
    ]
    lines = [f"{name + ':':<10}{text}" for name, text in rows]
    return [*lines, "", *_trend(trend)] if trend else [*lines, "validation: none yet"]


def _trend(trend: Sequence[Mapping[str, float]]) -> list[str]:
    last = len(trend) - 1
    chosen = sorted({round(i * last / max(_ROWS - 1, 1)) for i in range(_ROWS)}) if last >= _ROWS else range(last + 1)
    head = ["step", *_VAL, "train 9%", "gap", "distance"]
    rows = [head]
    for i in chosen:
        row = trend[i]
        train, gap = row.get("train/psnr_9pct"), row.get("val/gap_9pct")
        figures = [*(row.get(f"val/psnr_{p}pct") for p in _LEVELS), train, gap]
        distance = _number(row.get("val/distance"), 3) or "-"
        rows.append([f"{int(row['step'])}", *(_number(value, 2) or "-" for value in figures), distance])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    split = "val" if all("val/psnr_9pct" in row for row in trend) else "train"
    values = [row[f"{split}/psnr_9pct"] for row in trend if f"{split}/psnr_9pct" in row]
    line = f"{split} 9%, dB: {min(values):.2f} {sparkline(values)} {max(values):.2f}" if values and _draws() else ""
    return [*lines, line] if line else lines


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """Values as bars, lowest to highest, at most `width` of them (evenly chosen, the last among them)."""
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    low, high = min(values), max(values)
    return "".join(_BARS[round((value - low) / ((high - low) or 1.0) * (len(_BARS) - 1))] for value in values)


def duration(seconds: float | None) -> str:
    """90 -> `90 s`, 150 -> `2 min`, 5400 -> `1 h 30 min`, 200000 -> `2 d 8 h`; nothing -> an empty text."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _draws() -> bool:
    """Whether stdout can show the bars."""
    try:
        _BARS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return os.environ.get("TERM") != "dumb"


def _number(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else ""


def _date(seconds: Any) -> str:
    return time.strftime("%m-%d %H:%M", time.localtime(seconds)) if isinstance(seconds, (int, float)) else "unknown"


__all__ = ["details", "duration", "show_table", "sparkline"]
