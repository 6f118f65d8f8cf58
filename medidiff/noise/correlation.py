"""How the noise of neighbouring voxels hangs together, from its power at the frequencies that anatomy leaves alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from medidiff.noise.patches import COSINES, HIGH, SIDE

_LAGS = np.arange(SIDE)
# The mean square of coefficient i of noise with the correlation r(l) is sum over l of _FORM[i, l] r(l).
_FORM = np.array(
    [[(2 if lag else 1) * float(c[: SIDE - lag] @ c[lag:]) for lag in _LAGS] for c in COSINES.astype(np.float64)]
)
_STEPS, _DIFFERENCE = 25, 1e-3
_WIDEST = 1.5  # voxels: wider kernels look like anatomy to cubes of 4
_SEEN = 0.08  # correlations below it are as good as none: white noise of 56^3 voxels is told to 0.06


class Coloured(NamedTuple):
    """Noise of a level, blurred by a Gaussian kernel along each axis.

    Attributes:
        level: Its standard deviation in a voxel.
        widths: Standard deviation of the kernel in voxels along x, y and z.
        error: Standard error of ln(level), from the errors of the power it was fitted to.
    """

    level: float
    widths: tuple[float, float, float]
    error: float

    @property
    def correlation(self) -> tuple[float, float, float, float, float, float]:
        """One and two voxels apart along each axis: x1, x2, y1, y2, z1, z2. Those too small to be told are 0."""
        near = [_correlation(w)[1:3] for w in self.widths]
        values = [float(r) if pair[0] >= _SEEN else 0.0 for pair in near for r in pair]
        return tuple(values)  # type: ignore[return-value]

    def shape(self) -> np.ndarray:
        """Mean squares of the 64 coefficients of a cube for noise of level 1; their mean is 1."""
        return relative_power(self.widths)


def _correlation(width: float) -> np.ndarray:
    """Of white noise blurred by a Gaussian: r(l) = exp(-l^2 / (4 w^2))."""
    return np.exp(-np.square(_LAGS / (2 * max(width, 1e-3))))


def relative_power(widths: tuple[float, float, float]) -> Float[np.ndarray, " 64"]:
    """Mean squares of the 64 cosine coefficients of a cube of noise of level 1 blurred by these widths."""
    x, y, z = (_FORM @ _correlation(w) for w in widths)
    return (x[:, None, None] * y[:, None] * z).ravel()


def fit_coloured(
    power: Float[np.ndarray, " 64"], error: Float[np.ndarray, " 64"], start: tuple[float, ...] = (0.25, 0.25, 0.25)
) -> Coloured:
    """The coloured noise whose power lies at, and not much above, what was measured at orders 3 and up.

    Anatomy can only add power, so what lies above the model weighs less (a soft absolute value) than what lies below.

    Args:
        power: Mean squares of the coefficients, positive.
        error: Their relative standard errors.
        start: Widths to start from.
    """
    log_power, scale = np.log(power[HIGH]), error[HIGH]

    def misfit(p: np.ndarray) -> tuple[np.ndarray, float]:
        model = relative_power((p[1], p[2], p[3]))[HIGH]
        r = (log_power - p[0] - np.log(np.maximum(model, 1e-9))) / scale
        return r, float(np.where(r > 0, 2 * (np.sqrt(1 + r * r) - 1), r * r).sum())

    p = np.array([float(np.median(log_power)), *np.clip(start, 0.05, 0.95 * _WIDEST)])
    r, cost = misfit(p)
    damping, information = 1e-2, np.eye(4)
    for _ in range(_STEPS):  # Levenberg and Marquardt, with the weights of the soft absolute value
        jacobian = np.stack([(misfit(p + h)[0] - r) / _DIFFERENCE for h in _DIFFERENCE * np.eye(4)], axis=1)
        weight = np.where(r > 0, 1 / np.sqrt(1 + r * r), 1.0)[:, None]
        information = jacobian.T @ (weight * jacobian)
        damped = information + np.diag(damping * np.diag(information) + 1e-6)
        move = np.linalg.solve(damped, -jacobian.T @ (weight[:, 0] * r))
        tried = p + np.clip(move, -0.3, 0.3)
        tried[1:] = np.clip(tried[1:], 0.01, _WIDEST)
        r_tried, cost_tried = misfit(tried)
        if cost_tried < cost:
            done = cost - cost_tried < 1e-3
            p, r, cost, damping = tried, r_tried, cost_tried, damping / 5
            if done:
                break
        else:
            damping *= 8
            if damping > 1e4:
                break
    error_of_log = 0.5 * float(np.sqrt(np.linalg.inv(information + np.diag([1e-9, 1.0, 1.0, 1.0]))[0, 0]))
    return Coloured(float(np.exp(p[0] / 2)), (float(p[1]), float(p[2]), float(p[3])), error_of_log)


__all__ = ["Coloured", "fit_coloured", "relative_power"]
