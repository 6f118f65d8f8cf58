"""The picture of a scan's noise: the scan, the level across it, and how alike neighbours are."""

from __future__ import annotations

import numpy as np

from medidiff.cli.noise_measure import Measured
from medidiff.cli.noise_text import lines_of
from medidiff.draw import heat, plane_picture, stack
from medidiff.draw.labels import captioned, text_picture, wrapped
from medidiff.draw.plots import line_plot, with_bar

_HEIGHT = 240


def noise_picture(one: Measured) -> np.ndarray:
    """RGB, uint8: three planes of the scan, of the level where it varies, the correlations, the words and the warnings.

    Args:
        one: Of a scan whose noise could be measured, or of a clean one.
    """
    scan = plane_picture(one.volume, height=_HEIGHT)
    parts = [captioned(scan, "scan")]
    if one.across is not None:
        parts.append(_level(one))
    if one.known is not None:
        c = one.known.correlation
        lines = {axis: (1.0, *c[2 * i : 2 * i + 2]) for i, axis in enumerate("xyz")}
        plot = line_plot(lines, (min(0.0, *c), 1.0), "voxels apart", width=scan.shape[1], height=_HEIGHT)
        parts.append(captioned(plot, "correlation of the noise along x, y and z; white noise: 0 from 1 voxel on"))
    first, *rows = [line.replace(f"{one.name}: ", "", 1) for line in lines_of(one)]
    named = [": ".join(row.split(maxsplit=1)) for row in rows]  # columns would not stand under each other
    warnings = [f"warning: {text}" for text in one.warnings]
    width = max(760, *(part.shape[1] for part in parts))
    return stack([*parts, text_picture(wrapped([first, *named, *warnings], width, 14), width, 14)], gap=8)


def _level(one: Measured) -> np.ndarray:
    level = one.level_map()
    if one.where is not None:
        level = level.with_data(np.where(one.where, level.data, np.nan))
    high = float(np.nanpercentile(level.data, 99.5)) * 1.05 or 1.0
    shown = plane_picture(level, paint=lambda pixels: heat(pixels, 0.0, high), height=_HEIGHT)
    return captioned(with_bar(shown, 0.0, high), "noise level, in the scan's unit")


__all__ = ["noise_picture"]
