"""Scans in whole numbers: the step between their values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_MOST_STEPS = 8192  # different values of a scan in whole numbers; more of them are as good as continuous


def rounding_step(data: Float[np.ndarray, "x y z"]) -> float:
    """The step between the values of a scan of whole numbers (of any unit); 0 where they come in no steps.

    Rounding adds a noise of step / sqrt(12) of its own, which an estimated level holds and a denoiser may remove.

    Args:
        data: The scan.
    """
    values = np.unique(data.reshape(-1)[:: max(1, data.size // 200_000)])
    gaps = np.diff(values)
    if len(gaps) == 0:
        return 0.0
    step = float(np.median(gaps))
    if len(values) > _MOST_STEPS or float(np.quantile(gaps, 0.05)) < 0.99 * step:
        return 0.0
    return step


__all__ = ["rounding_step"]
