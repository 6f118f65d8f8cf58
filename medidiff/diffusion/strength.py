"""One knob from the posterior mean to a posterior sample, and what it costs."""

from __future__ import annotations

import math

from torch import Tensor

from medidiff.errors import UsageError


def blend(mean: Tensor, sample: Tensor, weight: float) -> Tensor:
    """(1 - w) mean + w sample.

    The mean has the least error and is smoother than any scan; a sample has the texture of a scan and twice the
    squared error. In between the error grows as `distortion` says, the texture's variance as w^2.

    Args:
        mean: E[x0 | y].
        sample: A draw from p(x0 | y), or a mean of several; same shape.
        weight: w from 0 (the mean) to 1 (the sample).

    Raises:
        UsageError: `weight` is outside [0, 1].
    """
    checked_weight(weight)
    return mean + weight * (sample - mean)


def distortion(weight: float, samples: int = 1) -> float:
    """Expected squared error of `blend` as a multiple of the mean's: 1 + w^2 / K.

    Given y, scan x0 and K samples are independent draws from one posterior with mean mu and variance v, so
    E|mu + w (s - mu) - x0|^2 = v + w^2 v / K. For a network it is as true as its samples are.

    Args:
        weight: w.
        samples: K, samples averaged before blending.

    Raises:
        UsageError: `weight` is outside [0, 1], or `samples` below 1.
    """
    checked_weight(weight)
    if samples < 1:
        raise UsageError(f"samples {samples}: must be 1 or more to blend with the mean.")
    return 1 + weight**2 / samples


def distortion_db(weight: float, samples: int = 1) -> float:
    """Loss of PSNR against the mean, dB: 3.01 for a whole sample, 0.97 at w = 1/2, 0.26 at 1/4."""
    return 10 * math.log10(distortion(weight, samples))


def checked_weight(weight: float) -> float:
    """`weight` where it is a number from 0 to 1.

    Raises:
        UsageError: It is not.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"--strength {weight:g}: must be from 0 (posterior mean) to 1 (posterior sample).")
    return weight


__all__ = ["blend", "checked_weight", "distortion", "distortion_db"]
