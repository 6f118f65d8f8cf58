"""Numbers to colours: grey windows, a diverging map with symmetric limits, a map for what is never negative."""

from __future__ import annotations

import numpy as np

# Control points, evenly spaced, 8 bits a channel. Both maps have monotone lightness on each side of what matters.
_DIVERGING = np.array(
    [(20, 60, 150), (70, 130, 205), (165, 200, 235), (245, 245, 245), (245, 190, 160), (215, 95, 70), (140, 20, 30)],
    dtype=np.float64,
)
_HEAT = np.array([(8, 6, 20), (70, 20, 95), (165, 45, 90), (235, 110, 50), (252, 200, 80), (255, 255, 215)], np.float64)


def window_limits(data: np.ndarray, lower_pct: float = 0.5, upper_pct: float = 99.5) -> tuple[float, float]:
    """Intensities to draw as black and white: two percentiles of the finite values.

    One pair is used for every picture that is to be compared, so compute it once.
    """
    finite = data[np.isfinite(data)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, [lower_pct, upper_pct]))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def symmetric_limit(data: np.ndarray, pct: float = 99.5) -> float:
    """The limit v of a diverging picture from -v to v: a percentile of the absolute finite values."""
    finite = data[np.isfinite(data)]
    limit = float(np.percentile(np.abs(finite), pct)) if finite.size else 0.0
    return limit if limit > 0 else 1.0


def grey(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """RGB, uint8: `low` and below is black, `high` and above white."""
    level = np.rint(_fraction(pixels, low, high) * 255).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=-1)


def diverging(pixels: np.ndarray, limit: float) -> np.ndarray:
    """RGB, uint8: -limit is blue, 0 nearly white, +limit red."""
    return colour_map(pixels, -limit, limit, _DIVERGING)


def heat(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """RGB, uint8: from dark violet at `low` to pale yellow at `high`. Infinite values are drawn in mid grey."""
    return colour_map(pixels, low, high, _HEAT)


def colour_map(pixels: np.ndarray, low: float, high: float, points: np.ndarray) -> np.ndarray:
    """RGB, uint8, by linear interpolation between evenly spaced control points; not finite is mid grey."""
    place = _fraction(pixels, low, high) * (len(points) - 1)
    first = np.minimum(place.astype(int), len(points) - 2)
    share = (place - first)[..., None]
    rgb = np.rint((1 - share) * points[first] + share * points[first + 1]).astype(np.uint8)
    rgb[~np.isfinite(pixels)] = 128
    return rgb


def overlay(
    rgb: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = (255, 176, 0), alpha: float = 0.35
) -> np.ndarray:
    """Tint a picture where the mask is true; the mask's border (its pixels with a neighbour outside) is opaque."""
    mask = np.asarray(mask, dtype=bool)
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    opacity = np.where(mask & ~inner, 1.0, np.where(mask, alpha, 0.0))[..., None]
    return np.rint((1 - opacity) * rgb + opacity * np.array(colour)).astype(np.uint8)


def _fraction(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    values = np.nan_to_num(np.asarray(pixels, dtype=np.float64), nan=low, posinf=high, neginf=low)
    return np.clip((values - low) / (high - low), 0.0, 1.0)
