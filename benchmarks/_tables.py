"""The denoising benchmark's report as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._noise import CORRELATED_PERCENT, KINDS, SMALL_SHAPE, label
from benchmarks._scores import TISSUES_HU, pooled_bias
from benchmarks._summary import BLIND, BLIND_PEERS, GROUPS, KNOWN, Rows, difference, mean, select, unique, worst_peer
from benchmarks._targets import targets

QUIET_LOAD = 0.5
HEADINGS = {
    "gaussian": "White Gaussian noise",
    "rician": "Rician noise",
    "correlated": f"Correlated noise, {CORRELATED_PERCENT:g}%, Gaussian kernel in the plane (voxels)",
    "varying": "Gaussian noise that differs from place to place",
    "ct": "Low-dose CT",
}


def to_markdown(report: dict[str, Any]) -> str:
    """How it was measured, the demands, one section a kind and split, memory."""
    facts, rows = report["facts"], report["rows"]
    parts = ["# Denoising, known and blind", "", *notes(facts)]
    for split in unique(rows, "split"):
        here = select(rows, split=split)
        parts += ["", f"## {split}: what must hold", "", *target_table(here)]
        for kind in [k for k in KINDS if k in unique(here, "kind")]:
            parts += ["", f"## {split}: {HEADINGS[kind]}", "", *kind_section(select(here, kind=kind), kind)]
    parts += ["", "## Processes", "", *_memory_table(report["memory"])]
    return "\n".join(parts) + "\n"


def target_table(rows: Rows) -> list[str]:
    """Demand, figure, verdict; a count before it."""
    found = targets(rows)
    held = sum(t.holds for t in found)
    lines = [f"{held} of {len(found)} hold.", "", "| what must hold | measured | |", "|---|---|---|"]
    return lines + [f"| {t.what} | {t.measured} | {t.verdict} |" for t in found]


def kind_section(rows: Rows, kind: str) -> list[str]:
    """The tables of one kind of noise."""
    lines: list[str] = []
    for group in GROUPS:
        here = select(rows, group)
        if here:
            sets = ", ".join(f"{s} {len(unique(select(here, set=s), 'case'))}" for s in unique(here, "set"))
            lines += [f"**{group}** ({sets})", "", *_figures(here, kind), ""]
    lines += ["Differences in dB with their 95% intervals over patients:", "", *_differences(rows, kind), ""]
    if kind == "ct":
        lines += [
            "Mean error in HU over all voxels of a tissue away from edges; the noisy scans' is what is left of the "
            "noise itself. Lung is not validated, and is shown only:",
            "",
            *_bias(rows),
            "",
        ]
    lines += ["Time and memory:", "", *_costs(rows)]
    return lines


def _figures(rows: Rows, kind: str) -> list[str]:
    """One row a method: PSNR / foreground / SSIM for each level, over the cases the method has."""
    levels = unique(rows, "level")
    heads = [label(kind, x) for x in levels]
    lines = ["| method | n | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(levels)]
    keys = ("psnr", "psnr_window", "ssim") if kind == "ct" else ("psnr", "psnr_foreground", "ssim")
    for method in unique(rows, "method"):
        own = select(rows, method=method)
        counts = sorted({len(select(own, level=x)) for x in levels} - {0})
        count = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        cells = []
        for level in levels:
            values = [mean(select(own, level=level), method, key) for key in keys]
            cells.append(" / ".join(f"{v:.{d}f}" for v, d in zip(values, (2, 2, 3), strict=True)))
            if not np.isfinite(values[0]):
                cells[-1] = ""
        lines.append(f"| {method} | {count} | " + " | ".join(cells) + " |")
    second = "in the soft-tissue window" if kind == "ct" else "of the foreground"
    return [*lines, "", f"PSNR / PSNR {second} / SSIM. Methods with a smaller n ran on fewer cases."]


def _differences(rows: Rows, kind: str) -> list[str]:
    informed = "bm4d informed" if "bm4d informed" in unique(rows, "method") else "bm4d"
    key = "psnr_window" if kind == "ct" else "psnr"
    lines = [
        f"| | n | known - {informed} | known - {informed}, foreground | blind - best blind peer | blind - known |",
        "|---|---|---|---|---|---|",
    ]
    for group in GROUPS:
        for level in unique(select(rows, group), "level"):
            here = select(rows, group, level=level)
            pairs = [difference(here, KNOWN, informed, k) for k in (key, "psnr_foreground")]
            worst = worst_peer(here, BLIND, BLIND_PEERS, key)
            cells = [str(p[1]) if p else "" for p in pairs]
            cells.append(f"{worst[2]} ({worst[0]}, n = {worst[1]})" if worst else "")
            last = difference(here, BLIND, KNOWN, key)
            cells.append(str(last[1]) if last else "")
            count = pairs[0][0] if pairs[0] else 0
            lines.append(f"| {group}, {label(kind, level)} | {count} | " + " | ".join(cells) + " |")
    return lines


def _bias(rows: Rows) -> list[str]:
    """Per group and method the mean over all voxels of all cases and the case where it is largest, each tissue."""
    lines = ["| | method | " + " | ".join(TISSUES_HU) + " |", "|---|---|" + "---|" * len(TISSUES_HU)]
    for group in GROUPS:
        for method in unique(select(rows, group), "method"):
            found = [pooled_bias(select(rows, group, method=method), tissue) for tissue in TISSUES_HU]
            cells = [f"{f[0]:+.2f} (in one case {f[1]:+.2f})" if f else "" for f in found]
            lines.append(f"| {group} | {method} | " + " | ".join(cells) + " |")
    return lines


def _costs(rows: Rows) -> list[str]:
    lines = ["| method | s per million voxels | CPU s per million voxels | extra memory, bytes per voxel |"]
    lines.append("|---|---|---|---|")
    for method in [m for m in unique(rows, "method") if m != "noisy"]:
        own = select(rows, method=method)
        million = sum(r["voxels"] for r in own) / 1e6
        wall, cpu = (sum(r[k] for r in own) / million for k in ("seconds", "cpu_seconds"))
        extra = [r["extra_mib"] * 2**20 / r["voxels"] for r in own if np.isfinite(r["extra_mib"])]
        lines.append(f"| {method} | {wall:.1f} | {cpu:.1f} | {f'{np.median(extra):.0f}' if extra else ''} |")
    return lines


def notes(facts: dict[str, Any]) -> list[str]:
    """What the figures are, and what stands against believing them."""
    cores, small = facts["cores"], " x ".join(map(str, SMALL_SHAPE))
    if facts.get("whole_blocks"):
        blocks = "Every kind is measured on whole blocks."
    else:
        blocks = f"Gaussian noise is measured on whole blocks, CT on whole slices of them, the rest on {small} voxels."
    lines = [
        f"`{facts['command'].strip()}`, {facts['date']}, {facts['processor']}, every method pinned to the same "
        f"{len(cores)} core(s), prior `{facts['prior']}`, {facts['total_seconds'] / 60:.1f} minutes, load "
        f"{facts['load_at_start']:.1f} at the start, "
        + ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
        + ".",
        "",
        "100% of the noise level, and the range of PSNR and SSIM, is the 99.5th minus the 0.5th percentile of the "
        "reference (the block). Phantoms (head, body, procedural) are free of noise, from seeds that training never "
        "draws; real scans are their own, noisy, reference, one scan a patient, of patients nobody trained on. "
        f"{blocks} Foreground: voxels over 10/255 of the "
        "reference's maximum, for CT the body. SSIM is 3D with a Gaussian window.",
        "",
        "`known` and `informed`: told the level and, where there is one, the map or the spectrum. Every other peer is "
        "told one level, the true root mean square, also where `blind` medidiff is told nothing (ANTs takes no level). "
        "For Rician noise our variance-stabilising transform stands around the peers without a model of it.",
    ]
    if facts["cached"]:
        lines += ["", "**The peers' outputs come from a cache: their seconds were measured on one busy core.**"]
    if facts.get("missing_in_cache"):
        counts = ", ".join(f"{name} {n}" for name, n in facts["missing_in_cache"].items())
        lines += ["", f"Left out since they were not computed in time (scans): {counts}."]
    if (facts["load_at_start"] or 0.0) > QUIET_LOAD:
        lines += ["", "**The machine was busy when this run began: read the CPU time, not the wall clock.**"]
    if facts["limit"]:
        lines += ["", f"**Development run: at most {facts['limit']} cases per set.**"]
    return lines


def _memory_table(memory: dict[str, dict[str, float]]) -> list[str]:
    lines = ["| method | resident after warm-up, MiB | start and warm-up, s |", "|---|---|---|"]
    for name, m in memory.items():
        lines.append(f"| {name} | {m['resting_mib']:.0f} | {m['start_seconds']:.1f} |")
    return lines
