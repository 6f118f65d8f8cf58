"""A Result as a section of a page: status, warnings, pictures, figures, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.draw import (
    beside,
    heat,
    mask_picture,
    plane_picture,
    residual_picture,
    symmetric_limit,
    window_limits,
)
from medidiff.draw.views import middle_of
from medidiff.io.atomic import atomic_write_text
from medidiff.report.page import Picture, Section, render_page
from medidiff.result import Result, json_safe
from medidiff.volume import Volume

Spot = tuple[int, int, int] | None
_MOST_SAMPLES = 4


def write_report(result: Result, path: str | Path) -> None:
    """Write a Result as one HTML file, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    title = result.output.name or result.task
    footer = ", ".join(f"{k} {v}" for k, v in _flat(result.provenance.get("versions", {})))
    page = render_page(title, [result_section(result, "Pictures and figures")], footer=footer)
    atomic_write_text(path, page)


def result_section(result: Result, title: str = "", *, lead: str = "") -> Section:
    """One Result as a section of a page.

    Args:
        result: What a task returned.
        title: Heading; the output's name by default.
        lead: One or two sentences under the heading.
    """
    work = [
        ("task", result.task),
        ("grid", f"{_times(result.output.shape)} voxels of {_times(result.output.spacing_mm)} mm{_frames(result)[0]}"),
        ("network evaluations", f"{result.nfe}"),
        ("time", f"{_number(result.seconds)} s"),
        ("peak memory", f"{_number(result.peak_memory_mib)} MiB"),
    ]
    figures = json_safe(result.figures)
    folded = {key: value for key, value in figures.items() if _is_detail(key, value)}
    details = [(heading, _flat(rows)) for heading, rows in (
        ("More figures", folded), ("Provenance", json_safe(result.provenance))
    ) if rows]  # fmt: skip
    return Section(
        title=title or result.output.name or result.task,
        lead=lead or _frames(result)[1],
        status=result.status,
        caution=result.status.startswith("extrapolated"),
        pictures=_pictures(result),
        rows=[*_flat({key: value for key, value in figures.items() if key not in folded}), *work],
        warnings=result.warnings,
        details=details,
    )


def _frames(result: Result) -> tuple[str, str]:
    """Of a 4D scan: how many volumes it has, and which of them the pictures show."""
    frames = result.provenance.get("frames")
    if frames is None:
        return "", ""
    return f", {frames} volumes", f"A 4D scan of {frames} volumes. The pictures show the first one, frame 0."


def _pictures(result: Result) -> list[Picture]:
    output, residual = result.output, result.residual
    if result.task == "synthesise":  # no scan was observed: there is no before and after
        volumes = (result.samples or [output])[:_MOST_SAMPLES]
        return [Picture.of(plane_picture(v), f"Sample {i}", "Nobody's scan.") for i, v in enumerate(volumes, start=1)]
    hole = _hole(result)
    at = None if hole is None else middle_of(output.with_data(hole))
    before = None if residual is None else output.with_data(output.data + residual.data)
    limits = window_limits((before or output).data)
    span = f"Grey from {_number(limits[0])} to {_number(limits[1])} in the scan's unit."
    pictures = []
    if before is not None:
        if hole is None:
            pictures.append(Picture.of(plane_picture(before, limits, at=at), "Before", span))
        else:
            tinted = mask_picture(before, hole, limits)
            pictures.append(Picture.of(tinted, "Before", f"{span} Tinted: where nothing was observed."))
    elif hole is not None:
        pictures.append(Picture.of(mask_picture(output, hole, limits), "The hole", "Tinted: nothing was observed."))
    pictures.append(Picture.of(plane_picture(output, limits, at=at), "After", span))
    if residual is not None and residual.data.any():
        magnitude = result.figures.get("noise_kind") in ("rician", "chi")
        pictures.append(_residual(residual, hole, at, magnitude))
    pictures += _map_picture(result.noise_map, "Noise level", at)
    pictures += _map_picture(result.uncertainty, "Uncertainty: standard deviation of the error", at, _interval(result))
    pictures += _samples(result.samples, limits, at)
    return pictures


def _interval(result: Result) -> str:
    """How to read the uncertainty: as an interval where it was calibrated for such scans, else with care."""
    factor = result.figures.get("interval_90_factor")
    if factor is not None:
        return f" 90% interval of a voxel: the scan after, plus and minus {_number(float(factor))} times this."
    if result.status.startswith("extrapolated"):
        return " Not calibrated: the prior has not seen such scans."
    return ""


def _residual(residual: Volume, hole: np.ndarray | None, at: Spot, magnitude: bool) -> Picture:
    """What was taken away. Inside a hole nothing was observed, so there is no residual there."""
    said = "It should show noise and no anatomy."
    if magnitude:
        said += " Noise of magnitudes lifts dark places, which is undone: they are red."
    if hole is not None:
        residual = residual.with_data(np.where(hole, np.nan, residual.data))
        said = "Grey: nothing was observed."
    limit = symmetric_limit(residual.data)
    caption = f"Blue {_number(-limit)}, white 0, red {_number(limit)}. {said}"
    return Picture.of(residual_picture(residual, limit, at=at), "Residual: before minus after", caption)


def _hole(result: Result) -> np.ndarray | None:
    """Where nothing was observed, if that is a part of the scan."""
    if result.noise_map is None:
        return None
    unseen = np.isinf(result.noise_map.data)
    if result.output.unmeasured is not None:  # padding keeps its values
        unseen &= ~result.output.unmeasured
    return unseen if unseen.any() and not unseen.all() else None


def _map_picture(volume: Volume | None, title: str, at: Spot, more: str = "") -> list[Picture]:
    """A map that is never negative, in heat colours; nothing for one that is the same everywhere it is finite."""
    if volume is None:
        return []
    finite = volume.data[np.isfinite(volume.data)]
    if finite.size == 0 or float(finite.max() - finite.min()) <= 1e-3 * abs(float(finite.max())):
        return []
    high = float(np.percentile(finite, 99.5))
    low = min(float(finite.min()), 0.0)
    rgb = plane_picture(volume, paint=lambda pixels: heat(pixels, low, high if high > low else low + 1), at=at)
    grey_is = " Grey: nothing was observed." if finite.size < volume.data.size else ""
    span = f"From {_number(low)} (dark) to {_number(high)} (pale), in the scan's unit."
    return [Picture.of(rgb, title, f"{span}{grey_is}{more}")]


def _samples(samples: Sequence[Volume], limits: tuple[float, float], at: Spot) -> list[Picture]:
    if not samples:
        return []
    shown = samples[:_MOST_SAMPLES]
    rgb = beside([plane_picture(s, limits, at=at, height=130, letters=False) for s in shown], gap=8)
    caption = "Scans that could all lie behind the observed one. What differs between them is not known."
    if len(samples) > len(shown):
        caption += f" {len(shown)} of {len(samples)} are shown."
    return [Picture.of(rgb, "Posterior samples", caption)]


def _is_detail(key: str, value: Any) -> bool:
    """Figures that explain another figure; they are folded away."""
    return isinstance(value, (list, dict)) or (key.startswith("noise_") and key not in ("noise_std", "noise_kind"))


_LABELS = {
    "interval_90_factor": "90% interval: output ± this many times the uncertainty",
    "error_factor": "squared error over that of the posterior mean",
    "residual_energy": "energy of the residual (1: as expected)",
    "residual_at_edges": "residual at edges over elsewhere (1: no anatomy in it)",
    "residual_alike": "likeness of neighbouring residuals beyond the noise's",
    "noise_correlation": "correlation of the noise 1 and 2 voxels apart along x, y, z",
    "noise_neighbour_correlation_beyond_white_xyz": "correlation of neighbouring noise along x, y, z (0: white)",
    "noise_white": "noise looks white",
    "noise_std_interval": "interval of the noise level",
    "noise_std_first": "noise level by the scan alone",
    "noise_trusted": "the scan is clear about its noise",
    "noise_refined": "the prior confirms the noise level",
    "noise_refining_evaluations": "evaluations that took",
}


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested names and values as rows, names joined by dots."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = _LABELS.get(key) or f"{before}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name}.")
        elif _is_table(value):
            rows += _flat({inner: _column(value, inner) for inner in value[0]}, f"{name}.")
        elif isinstance(value, (list, tuple)):
            rows.append((name, ", ".join(_number(v) for v in value)))
        else:
            rows.append((name, _number(value)))
    return rows


def _is_table(value: Any) -> bool:
    """Figures of several volumes, one mapping each."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _column(table: Sequence[Mapping[str, Any]], key: str) -> Any:
    """One figure of all volumes, volume after volume; once where it is the same for all."""
    values = [entry.get(key) for entry in table]
    if all(value == values[0] for value in values):
        return values[0]
    return ["; ".join(map(_number, v)) if isinstance(v, (list, tuple)) else v for v in values]


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def _times(values: Sequence[float]) -> str:
    return " x ".join(f"{v:g}" if isinstance(v, int) else f"{v:.3g}" for v in values)
