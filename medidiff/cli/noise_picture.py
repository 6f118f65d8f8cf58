"""The picture of a scan's noise: the scan, the level across it, and how alike neighbours are."""

from __future__ import annotations

import numpy as np

from medidiff.cli.noise_measure import Measured
from medidiff.cli.noise_text import lines_of
from medidiff.draw import heat, plane_picture, stack
from medidiff.draw.labels import captioned, text_picture
from medidiff.draw.plots import line_plot, with_bar

_HEIGHT = 240


def noise_picture(one: Measured) -> np.ndarray:
    """RGB, uint8: three planes of the scan, of the level with a colour bar, the correlations, and the words.

    Args:
        one: Of a scan whose noise could be measured, or of a clean one.
    """
    scan = plane_picture(one.volume, height=_HEIGHT)
    level = one.level_map()
    if one.where is not None:
        level = level.with_data(np.where(one.where, level.data, np.nan))
    high = float(np.nanpercentile(level.data, 99.5)) * 1.05 or 1.0
    shown = plane_picture(level, paint=lambda pixels: heat(pixels, 0.0, high), height=_HEIGHT)
    parts = [captioned(scan, "scan"), captioned(with_bar(shown, 0.0, high), "noise level, in the scan's unit")]
    if one.known is not None:
        c = one.known.correlation
        lines = {axis: (1.0, *c[2 * i : 2 * i + 2]) for i, axis in enumerate("xyz")}
        plot = line_plot(lines, (min(0.0, *c), 1.0), "voxels apart", width=scan.shape[1], height=_HEIGHT)
        parts.append(captioned(plot, "correlation of the noise along x, y and z; white noise: 0 from 1 voxel on"))
    words = [line.replace(f"{one.name}: ", "", 1) for line in lines_of(one)]
    widest = max(part.shape[1] for part in parts)
    return stack([*parts, text_picture(words, max(widest, 760), 14)], gap=8)


__all__ = ["noise_picture"]
