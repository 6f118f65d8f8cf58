"""Rician noise of magnitude scans, simulated. Its transform to constant variance is in `transform.py`.

With z the magnitude and v the noise-free signal, both in units of the noise level s:

    p(z | v) = z exp(-(z^2 + v^2) / 2) I0(z v)                    (Rice 1944; Gudbjartsson and Patz 1995)
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from medidiff.noise.gaussian import check_level, in_type, scaled
from medidiff.noise.transform import stabilise, stabilised_std, unstabilise


def add_rician(
    clean: Shaped[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"], rng: np.random.Generator
) -> Shaped[np.ndarray, "x y z"]:
    """The magnitude of a complex scan with Gaussian noise in both parts, sqrt((v + s n1)^2 + (s n2)^2).

    Args:
        clean: Noise-free scan, not negative. A scan of whole numbers comes back in its type, rounded.
        noise_std: Standard deviation of each part in the scan's unit, one number or a map.
        rng: Source of randomness.

    Raises:
        NoiseError: The level is negative or not finite, or its map has another shape than the scan.
    """
    check_level(noise_std, clean.shape)
    real = clean + scaled(rng.standard_normal(clean.shape, dtype=np.float32), noise_std)
    imaginary = scaled(rng.standard_normal(clean.shape, dtype=np.float32), noise_std)
    return in_type(np.hypot(real, imaginary), clean.dtype)


__all__ = ["add_rician", "stabilise", "stabilised_std", "unstabilise"]
