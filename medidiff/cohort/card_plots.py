"""The pictures of a data card draft: splits, grids, intensities and noise, attributes; PNG bytes. Nobody is named."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medidiff.cohort.manifest import SPLITS, ScanRow
from medidiff.cohort.prepare_scan import HISTOGRAM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 3
"""A value that fewer patients than this have is not shown by itself."""

OTHERS = "rarer values"
_COLOURS = {"train": "#2f6db5", "val": "#e08a2e", "holdout": "#5a9e57"}
_MOST_BARS, _MOST_PLOTS = 12, 6
_DPI = 110


def draw_splits(rows: Sequence[ScanRow]) -> bytes:
    """Patients and scans in each split."""
    figure, axes = _figure(1, 2)
    patients = Counter(dict((row.patient, row.split) for row in rows).values())
    scans = Counter(row.split for row in rows)
    for axis, counts, title in zip(axes, (patients, scans), ("patients", "scans"), strict=True):
        bars = axis.bar(SPLITS, [counts[split] for split in SPLITS], color=[_COLOURS[split] for split in SPLITS])
        axis.bar_label(bars)
        axis.set_title(title)
        axis.margins(y=0.15)
    return _png(figure)


def draw_grids(rows: Sequence[ScanRow]) -> bytes:
    """Voxel spacing and number of voxels along each axis."""
    figure, axes = _figure(1, 2)
    spacing = np.array([row.spacing_mm for row in rows])
    shape = np.array([row.shape for row in rows])
    for axis, values, unit in zip(axes, (spacing, shape), ("mm between voxels", "voxels"), strict=True):
        bins = np.linspace(*_span(values), 13)
        axis.hist([values[:, k] for k in range(3)], bins=bins.tolist(), label=["x", "y", "z"])
        axis.set_xlabel(unit)
        axis.set_ylabel("scans")
        axis.legend(loc="upper center")
    return _png(figure)


def draw_intensities(measured: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Distribution of normalised values over scans, with the band that holds 90% of the scans; own noise levels."""
    figure, (left, right) = _figure(1, 2)
    counts = np.array([values["histogram"] for values in measured.values()], dtype=float)
    low, high, bins = HISTOGRAM
    centres = low + (np.arange(bins) + 0.5) * (high - low) / bins
    density = counts / counts.sum(axis=1, keepdims=True) / ((high - low) / bins)
    left.fill_between(centres, *np.percentile(density, [5, 95], axis=0), alpha=0.3, label="90% of the scans")
    left.plot(centres, density.mean(axis=0), label="mean")
    left.set_yscale("symlog", linthresh=0.1)
    left.set_xlabel("normalised value")
    left.set_ylabel("density")
    left.legend(loc="upper right")
    tau = np.array([values["tau"] for values in measured.values()])
    right.hist(tau, bins=np.linspace(*_span(tau), 25).tolist(), color="#777777")
    right.set_xlabel("own noise level tau, normalised units")
    right.set_ylabel("scans")
    return _png(figure)


def draw_attributes(rows: Sequence[ScanRow], kinds: Mapping[str, str]) -> bytes | None:
    """Every attribute over the patients of each split; None where there are no attributes."""
    names = sorted(kinds)[:_MOST_PLOTS]
    if not names:
        return None
    figure, axes = _figure(-(-len(names) // 2), 2)
    for axis, name in zip(axes, names, strict=False):
        values = values_of(rows, name)
        (_continuous if kinds[name] == "continuous" else _categorical)(axis, values)
        axis.set_title(name)
        axis.set_ylabel("patients")
    axes[0].legend(loc="upper right")
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return _png(figure)


def values_of(rows: Sequence[ScanRow], name: str) -> list[tuple[str, Any]]:
    """Split and value of an attribute, once for each patient that has one and each value that patient has."""
    pairs = {(row.patient, row.split, row.attributes.get(name)): None for row in rows}
    return [(split, value) for _, split, value in pairs if value is not None]


def pooled(values: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Categorical values, those of fewer than `FEW` patients, and all after the most frequent ones, under one name."""
    counts = Counter(value for _, value in values)
    shown = {value for value, count in counts.most_common(_MOST_BARS) if count >= FEW}
    return [(split, value if value in shown else OTHERS) for split, value in values]


def _continuous(axis: Axes, values: Sequence[tuple[str, Any]]) -> None:
    numbers = np.array([value for _, value in values], dtype=float)
    if not len(numbers):
        return
    bins = np.linspace(*_span(numbers), 13).tolist()
    by_split = [[value for where, value in values if where == split] for split in SPLITS]
    axis.hist(by_split, bins=bins, stacked=True, label=list(SPLITS), color=list(_COLOURS.values()))


def _categorical(axis: Axes, values: Sequence[tuple[str, Any]]) -> None:
    counts = Counter(pooled(values))
    names = sorted({value for _, value in counts}, key=lambda value: (value == OTHERS, value))
    base = np.zeros(len(names))
    for split in SPLITS:
        heights = np.array([counts[split, name] for name in names], dtype=float)
        axis.bar(names, heights, bottom=base, label=split, color=_COLOURS[split])
        base += heights
    if len(names) > 4:
        axis.tick_params(axis="x", rotation=45)


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = 0.5 * abs(low) * 0.1 + 1e-3 if high - low < 1e-6 else 0.02 * (high - low)
    return low - pad, high + pad


def _figure(lines: int, columns: int) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.2 * columns, 2.9 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis in axes.flat:
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes.flat)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
