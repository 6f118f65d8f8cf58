"""The denoising benchmark's report as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from medidiff.evaluate import paired_t

Rows = list[dict[str, Any]]
TOLERANCE_DB = 0.3
MIN_SPEED_RATIO = 20.0
QUIET_LOAD = 0.5


def to_markdown(report: dict[str, Any]) -> str:
    """Method notes, one table a split and method, and the verdict."""
    facts, rows = report["facts"], report["rows"]
    own = [m for m in methods_of(rows) if m.startswith("medidiff")]
    parts = ["# Denoising at a known Gaussian level", "", *_notes(facts)]
    for split in unique(rows, "split"):
        here = [row for row in rows if row["split"] == split]
        for method in own or [""]:
            parts += ["", f"## {split}: {method or 'peers only'}", "", *_table(here, method)]
    parts += ["", "## Memory", "", *_memory_table(report["memory"])]
    return "\n".join(parts) + "\n"


def summarise(rows: Rows, method: str, peer: str = "bm4d") -> dict[str, Any]:
    """Means of one group of rows (one set, one level) and the paired difference method - peer in dB."""
    by_method = {name: [row for row in rows if row["method"] == name] for name in methods_of(rows)}
    summary: dict[str, Any] = {"n": len(by_method["noisy"])}
    for name, own in by_method.items():
        summary[name] = {key: float(np.mean([row[key] for row in own])) for key in ("psnr", "psnr_foreground", "ssim")}
        for key in ("seconds", "cpu_seconds"):
            summary[name][key] = float(np.sum([row[key] for row in own]))
    if method in by_method and peer in by_method:
        for key in ("psnr", "psnr_foreground"):
            pair = [[row[key] for row in by_method[name]] for name in (method, peer)]
            summary[f"{key}_difference"] = paired_t(pair[0], pair[1])
        for key, ratio in (("seconds", "ratio"), ("cpu_seconds", "cpu_ratio")):
            summary[ratio] = summary[peer][key] / max(summary[method][key], 1e-9)
        close = summary["psnr_difference"].mean >= -TOLERANCE_DB
        summary["holds"] = bool(close and summary["ratio"] >= MIN_SPEED_RATIO)
    return summary


def _table(rows: Rows, method: str) -> list[str]:
    lines = [
        "| set | n | level | PSNR noisy | BM4D | medidiff | difference [95%] | foreground: BM4D | medidiff "
        "| difference [95%] | SSIM BM4D | medidiff | s BM4D | medidiff | times faster | in CPU time | holds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for set_name in [*unique(rows, "set"), "all"]:
        for level in unique(rows, "level"):
            group = [r for r in rows if r["level"] == level and set_name in (r["set"], "all")]
            lines.append(_line(set_name, level, summarise(group, method), method))
    return lines


def _line(set_name: str, level: float, s: dict[str, Any], method: str) -> str:
    def value(name: str, key: str, form: str) -> str:
        return format(s[name][key], form) if name in s else ""

    cells = [set_name, str(s["n"]), f"{level:g}%", value("noisy", "psnr", ".2f")]
    for key in ("psnr", "psnr_foreground"):
        cells += [value("bm4d", key, ".2f"), value(method, key, ".2f"), str(s.get(f"{key}_difference", ""))]
    cells += [value("bm4d", "ssim", ".3f"), value(method, "ssim", ".3f")]
    cells += [value("bm4d", "seconds", ".1f"), value(method, "seconds", ".2f")]
    cells += [f"{s[ratio]:.0f}" if ratio in s else "" for ratio in ("ratio", "cpu_ratio")]
    cells += [{True: "yes", False: "NO"}.get(s.get("holds", ""), "")]
    return "| " + " | ".join(cells) + " |"


def _notes(facts: dict[str, Any]) -> list[str]:
    cores = facts["cores"]
    notes = [
        f"`{facts['command'].strip()}`, {facts['date']}, {facts['processor']}, every method pinned to the same "
        f"{len(cores)} core(s) {cores}, prior `{facts['prior']}`, {facts['total_seconds'] / 60:.1f} minutes, load "
        f"{facts['load_at_start']:.1f} at the start, "
        + ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
        + ".",
        "",
        "100% of the noise level, and the range of PSNR and SSIM, is the 99.5th minus the 0.5th percentile of the "
        "reference (the crop). Noise is white Gaussian, its level is given to every method, nothing is clipped. "
        "Phantoms (head, body, procedural) have no noise of their own and seeds that training never draws; real scans "
        "are their own, noisy, reference. Foreground: voxels over 10/255 of the reference's maximum, for CT the body. "
        "SSIM is 3D with a Gaussian window. Difference: medidiff minus BM4D in dB with Student's paired 95% interval "
        "over patients. Seconds: the sum over the set, wall clock, one scan after the other, each method in its own "
        "warm process that has read its prior (start-up in the last table).",
        "",
        f"Holds: mean PSNR at least BM4D's - {TOLERANCE_DB} dB and at least {MIN_SPEED_RATIO:.0f} times faster.",
    ]
    if facts["cached_bm4d"]:
        notes += [
            "",
            "**Development run: BM4D's outputs AND SECONDS come from a cache, so `times faster` says nothing.**",
        ]
    if (facts["load_at_start"] or 0.0) > QUIET_LOAD:
        notes += ["", "**The machine was busy when this run began: read the CPU-time ratio, not the wall-clock one.**"]
    if facts["limit"]:
        notes += ["", f"**Development run: at most {facts['limit']} cases per set.**"]
    return notes


def _memory_table(memory: dict[str, dict[str, float]]) -> list[str]:
    lines = ["| method | resident after warm-up, MiB | peak, MiB | start and warm-up, s |", "|---|---|---|---|"]
    for name, m in memory.items():
        lines.append(f"| {name} | {m['resting_mib']:.0f} | {m['peak_mib']:.0f} | {m['start_seconds']:.1f} |")
    return lines


def methods_of(rows: Rows) -> list[str]:
    """Names of the methods, in the order they ran."""
    return unique(rows, "method")


def unique(rows: Rows, key: str) -> list[Any]:
    """The values of a column in order of first appearance."""
    return list(dict.fromkeys(row[key] for row in rows))
