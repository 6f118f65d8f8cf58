"""Additive Gaussian noise."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from medidiff.errors import NoiseError


def add_gaussian(
    clean: Float[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"], rng: np.random.Generator
) -> Float[np.ndarray, "x y z"]:
    """The scan with white Gaussian noise added.

    Args:
        clean: Noise-free scan.
        noise_std: Standard deviation in the scan's unit, one number or a map.
        rng: Source of randomness.

    Raises:
        NoiseError: The level is negative or not finite.
    """
    check_level(noise_std)
    return (clean + noise_std * rng.standard_normal(clean.shape, dtype=np.float32)).astype(clean.dtype)


def check_level(noise_std: float | np.ndarray) -> None:
    """Refuse a simulated level that is negative or not finite.

    Raises:
        NoiseError: It is.
    """
    if not (np.all(np.isfinite(noise_std)) and np.all(np.asarray(noise_std) >= 0)):
        raise NoiseError(f"noise level {np.min(noise_std):g}: must be zero or more, and finite, to be simulated.")


__all__ = ["add_gaussian", "check_level"]
