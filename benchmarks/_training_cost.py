"""What a training step costs: time and memory against voxels, parameters and batch, and a model fitted to it.

Every point is a few whole steps (network, losses, maps, Muon, averages) on random numbers in a process of its own, so
that its peak memory is that of a run without scans; the loader is measured by `loader`. The network is that of
configs/general.yaml, wider, narrower and with fewer blocks. Time is that of the processor, on one thread what a quiet
machine takes: other programs may run beside it.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from medidiff.precision import choose_precision
from medidiff.training.config import TrainingConfig, load_config
from medidiff.training.measure import measure_step

CONFIG = Path(__file__).parents[1] / "configs" / "general.yaml"
WIDTHS, BLOCKS, EDGE, BATCH = (64, 96, 128), (2, 4, 6), 48, 2
OTHER_NETWORKS = (((32, 48, 64), BLOCKS), ((48, 72, 96), BLOCKS), ((96, 144, 192), BLOCKS), (WIDTHS, (2, 2, 3)))
EDGES = (24, 32, 64, 80)
BATCHES = (1, 4, 8)
CHECKPOINTED = (48, 64)
WORST_TIME = 0.25
"""Largest relative error of the fit over the points that is called a model."""


def run(quick: bool = False, threads: int | None = None) -> dict[str, Any]:
    """Measure the points, fit, and say how far the fit is off; `quick` takes tiny patches and networks."""
    threads = threads or 1
    best = str(choose_precision("auto", torch.device("cpu")).dtype)
    other = "float32" if best == "bf16" else "bf16"
    load = os.getloadavg()[0]
    base: dict[str, Any] = {"precision": best, "threads": threads}
    points = [base | point for point in _points(quick)]
    points.append(base | {"precision": other})
    points += [base | {"threads": n} for n in ({1, 2} - {threads}) if n <= (os.cpu_count() or 1)]
    edges = (24,) if quick else CHECKPOINTED
    points += [base | {"edge": edge, "checkpointing": True} for edge in edges]
    rows = []
    for point in points:
        rows.append(_measure(point, quick))
        print(rows[-1], flush=True)
    fitted = [r for r in rows if r["precision"] == best and r["threads"] == threads and not r["checkpointing"]]
    model = _fit(fitted)
    holds = quick or model["time_error_max"] <= WORST_TIME
    text = _lines(rows, model, best, threads, load)
    return {"rows": rows, "model": model, "load_at_start": load, "holds": holds, "lines": text}


def _points(quick: bool) -> list[dict[str, Any]]:
    if quick:
        return [
            {"edge": 16},
            {"edge": 24},
            {"edge": 16, "batch": 4},
            {"edge": 16, "widths": (12, 18), "blocks": (1, 1)},
        ]
    shapes = [{"edge": edge} for edge in (EDGE, *EDGES)]
    batches = [{"batch": batch} for batch in BATCHES]
    networks = [{"widths": w, "blocks": b, "edge": e} for (w, b), e in itertools.product(OTHER_NETWORKS, (32, EDGE))]
    return [*shapes, *batches, *networks]


def _config(point: dict[str, Any], quick: bool) -> TrainingConfig:
    widths = point.get("widths", (8, 12) if quick else WIDTHS)
    blocks = point.get("blocks", (1, 1) if quick else BLOCKS)
    edge = point.get("edge", 16 if quick else EDGE)
    return load_config(
        CONFIG,
        [
            f"network.widths={list(widths)}",
            f"network.blocks={list(blocks)}",
            f"data.patch={[edge] * 3}",
            f"optimiser.batch={point.get('batch', BATCH)}",
            f"precision={point['precision']}",
            f"scale.activation_checkpointing={str(point.get('checkpointing', False)).lower()}",
            "start_from=null",
        ],
    )


def _measure(point: dict[str, Any], quick: bool) -> dict[str, Any]:
    config = _config(point, quick)
    took = measure_step(config, ("a", "b"), 0.5, point["threads"])
    return {
        "edge": config.data.patch[0],
        "batch": config.optimiser.batch,
        "widths": list(config.network.widths),
        "blocks": list(config.network.blocks),
        "parameters": took.parameters,
        "precision": took.precision,
        "threads": point["threads"],
        "checkpointing": config.scale.activation_checkpointing,
        "step_s": took.step_s,
        "cpu_s": took.cpu_s,
        "patches_per_s": config.optimiser.batch / took.step_s,
        "peak_gib": took.peak_rss_gib,
        "checkpoint_bytes_per_parameter": took.checkpoint_bytes / took.parameters,
    }


def _terms(row: dict[str, Any]) -> tuple[float, float, float]:
    """Million parameters, million voxels of a step, and the width relative to the standard network's."""
    voxels = row["batch"] * row["edge"] ** 3 / 1e6
    return row["parameters"] / 1e6, voxels, row["widths"][0] / WIDTHS[0]


def _fit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Least squares on relative errors, no coefficient below 0."""
    time_of = np.array([[1.0, p, v * w, v * p] for p, v, w in map(_terms, rows)])
    memory_of = np.array([[1.0, p, v * w] for p, v, w in map(_terms, rows)])
    steps, memory = (np.array([row[key] for row in rows]) for key in ("cpu_s", "peak_gib"))
    found: dict[str, Any] = {"points": len(rows)}
    for name, columns, values in (("time", time_of, steps), ("memory", memory_of, memory)):
        factors, _ = nnls(columns / values[:, None], np.ones(len(values)))
        error = np.abs(columns @ factors / values - 1)
        found |= {name: factors.tolist(), f"{name}_error_median": float(np.median(error))}
        found[f"{name}_error_max"] = float(error.max())
    return found


def _lines(rows: list[dict[str, Any]], model: dict[str, Any], best: str, threads: int, load: float) -> list[str]:
    lines = [
        f"Load {load:.1f} at the start, torch {torch.__version__}.",
        "",
        "| patch | batch | widths, blocks | parameters | precision | threads | CPU s a step | peak GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        network = f"{'-'.join(map(str, r['widths']))}, {'-'.join(map(str, r['blocks']))}"
        precision = r["precision"] + (", checkpointing" if r["checkpointing"] else "")
        size = f"{r['edge']}^3 | {r['batch']} | {network} | {r['parameters'] / 1e6:.2f} M"
        lines.append(f"| {size} | {precision} | {r['threads']} | {r['cpu_s']:.3g} | {r['peak_gib']:.2f} |")
    t, m = model["time"], model["memory"]
    error = {
        name: f"error {model[f'{name}_error_median']:.0%} median, {model[f'{name}_error_max']:.0%} largest"
        for name in ("time", "memory")
    }
    return [
        *lines,
        "",
        f"With P million parameters, V million voxels a step (batch times patch), w the first width over {WIDTHS[0]}; "
        f"{best}, {threads} thread(s), no checkpointing, {model['points']} points:",
        f"- CPU seconds a step = {t[0]:.3g} + {t[1]:.3g} P + {t[2]:.3g} w V + {t[3]:.3g} P V ({error['time']})",
        f"- peak GiB = {m[0]:.3g} + {m[1]:.3g} P + {m[2]:.3g} w V ({error['memory']}); scans come on top",
    ]


if __name__ == "__main__":
    import sys

    print("\n".join(run(quick="--quick" in sys.argv)["lines"]))
