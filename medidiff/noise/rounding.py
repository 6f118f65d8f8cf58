"""Scans in whole numbers: what rounding does to an estimate, undone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_MOST_STEPS = 8192  # different values of a scan in whole numbers; more of them are as good as continuous


def smear_rounding(data: Float[np.ndarray, "x y z"]) -> tuple[Float[np.ndarray, "x y z"], float]:
    """Spread the values of a scan of whole numbers (of any unit) evenly over their step.

    The median of differences that come in steps is a step itself: the level would be known to half a step only.

    Args:
        data: The scan.

    Returns:
        The scan, and the standard deviation that was added to it; 0 where the values come in no steps.
    """
    values = np.unique(data.reshape(-1)[:: max(1, data.size // 200_000)])
    gaps = np.diff(values)
    step = float(np.median(gaps))
    if len(values) > _MOST_STEPS or float(np.quantile(gaps, 0.05)) < 0.99 * step:
        return data, 0.0
    # The lowest value stays: it may be a blank background, and a magnitude must not become negative.
    smear = np.random.default_rng(0).uniform(-step / 2, step / 2, data.shape).astype(np.float32)
    return np.where(data > data.min(), data + smear, data), step / np.sqrt(12)


__all__ = ["smear_rounding"]
