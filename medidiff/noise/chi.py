"""Noncentral chi noise: the root of the sum of squares of several receiver coils.

With N coils of complex signal S_k, and noise of standard deviation s in each real and each imaginary part,

    z = sqrt(sum_k |S_k + s (n_k1 + i n_k2)|^2)        v = sqrt(sum_k |S_k|^2)        (Constantinides et al. 1997)

The distribution of z depends on v alone, not on how the signal is spread over the coils: z^2 is the squared length of a
Gaussian vector of 2N parts, and a rotation puts all of its mean into one part. So the simulation puts the whole signal
into the real part of one coil; the other 2N - 1 parts hold noise, and their sum of squares is s^2 times a chi-square
variable. N = 1 is Rician. The noise of the coils is taken to be independent and equally strong; where it is not, N is
the effective number of coils, which is smaller (Aja-Fernandez and Tristan-Vega 2012).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from medidiff.noise.gaussian import check_level, in_type, scaled
from medidiff.noise.rician import add_rician
from medidiff.noise.transform import check_coils


def add_noncentral_chi(
    clean: Shaped[np.ndarray, "x y z"],
    noise_std: float | Float[np.ndarray, "x y z"],
    coils: int,
    rng: np.random.Generator,
) -> Shaped[np.ndarray, "x y z"]:
    """The root of the sum of squares of `coils` complex channels with Gaussian noise in both parts of each.

    Args:
        clean: Noise-free scan v, the root of the sum of squares of the coils' signals, not negative. A scan of whole
            numbers comes back in its type, rounded.
        noise_std: Standard deviation s of each part of each coil in the scan's unit, one number or a map.
        coils: N, from 1 (Rician; the same draws as `add_rician`) to 64.
        rng: Source of randomness.

    Raises:
        NoiseError: The level is negative or not finite, its map has another shape than the scan, or `coils` is out of
            range.
    """
    check_coils(coils)
    if coils == 1:
        return add_rician(clean, noise_std, rng)
    check_level(noise_std, clean.shape)
    signal = clean + scaled(rng.standard_normal(clean.shape, dtype=np.float32), noise_std)
    rest = rng.standard_gamma(coils - 0.5, clean.shape, dtype=np.float32)  # half of a chi-square variable of 2N - 1
    rest = scaled(np.sqrt(2 * rest), noise_std)
    return in_type(np.hypot(signal, rest), clean.dtype)


__all__ = ["add_noncentral_chi"]
