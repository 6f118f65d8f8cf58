"""Additive Gaussian noise."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from medidiff.errors import NoiseError


def add_gaussian(
    clean: Shaped[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"], rng: np.random.Generator
) -> Shaped[np.ndarray, "x y z"]:
    """The scan with white Gaussian noise added.

    Args:
        clean: Noise-free scan. A scan of whole numbers comes back in its type, rounded.
        noise_std: Standard deviation in the scan's unit, one number or a map.
        rng: Source of randomness.

    Raises:
        NoiseError: The level is negative or not finite, or its map has another shape than the scan.
    """
    check_level(noise_std, clean.shape)
    return in_type(clean + scaled(rng.standard_normal(clean.shape, dtype=np.float32), noise_std), clean.dtype)


def check_level(noise_std: float | np.ndarray, shape: tuple[int, ...] | None = None) -> None:
    """Refuse a simulated level that is negative or not finite, or a map of another shape than the scan.

    Raises:
        NoiseError: It is.
    """
    if not (np.all(np.isfinite(noise_std)) and np.all(np.asarray(noise_std) >= 0)):
        raise NoiseError(f"noise level {np.min(noise_std):g}: must be zero or more, and finite, to be simulated.")
    if isinstance(noise_std, np.ndarray) and noise_std.ndim and shape is not None and noise_std.shape != shape:
        raise NoiseError(
            f"noise level map of shape {noise_std.shape}: must be on the scan's grid {shape}. Resample it to the scan."
        )


def scaled(noise: np.ndarray, noise_std: float | np.ndarray) -> np.ndarray:
    """Unit noise times its level, in place and in its own type: a float64 map makes no float64 copy of a scan."""
    return np.multiply(noise, noise_std, out=noise, casting="same_kind")


def in_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values in the type of a scan; whole numbers are rounded and held to their range, not cut off."""
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    return values.astype(dtype, copy=False)


__all__ = ["add_gaussian", "check_level", "in_type", "scaled"]
