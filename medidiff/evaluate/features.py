"""Features of scans that need no download and that nobody trained: intensity, texture, and random convolutions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from medidiff.errors import InputError
from medidiff.evaluate.mmd import checked_features
from medidiff.evaluate.texture import texture_statistics

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
BANDS = 8
"""Bands of the power spectrum, from the second lowest frequency to that of neighbouring voxels."""
RANDOM_SEED = 2026
_LEAST_SIDE = 8
_BLOCK = 8_000_000  # voxels that are worked on at a time: about ten times as many float64 are in memory
_TINY = 1e-8


def intensity_texture_features(images: np.ndarray) -> np.ndarray:
    """What a scan's values and their changes from voxel to voxel are like, as numbers that nobody trained.

    Percentiles, mean, standard deviation, skewness and kurtosis of the values; mean, spread and tail of the gradient's
    magnitude and its root mean square along each axis; logarithm of the power in bands of the spectrum; and
    `texture_statistics`.

    Args:
        images: Normalised scans (n, x, y, z), sides of 8 and more.

    Returns:
        (n, 41) float64; no random numbers in it.

    Raises:
        InputError: Not four axes, a side below 8, or not finite.
    """
    images = _checked(images)
    size = max(1, _BLOCK // images[0].size)
    return np.concatenate([_of_block(images[i : i + size].astype(np.float64)) for i in range(0, len(images), size)])


def _of_block(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1)
    mean, std = flat.mean(axis=1), flat.std(axis=1)
    scaled = (flat - mean[:, None]) / (std[:, None] + _TINY)
    found = [*np.percentile(flat, PERCENTILES, axis=1), mean, std, (scaled**3).mean(axis=1), (scaled**4).mean(axis=1)]
    inner = images[:, :-1, :-1, :-1]
    steps = [images[:, 1:, :-1, :-1] - inner, images[:, :-1, 1:, :-1] - inner, images[:, :-1, :-1, 1:] - inner]
    found += [np.log(np.sqrt((step**2).mean(axis=(1, 2, 3))) + _TINY) for step in steps]
    magnitude = np.sqrt(np.sum([step**2 for step in steps], axis=0)).reshape(len(images), -1)
    found += [magnitude.mean(axis=1), magnitude.std(axis=1), *np.percentile(magnitude, (50, 90, 99), axis=1)]
    return np.concatenate([np.stack(found, axis=1), _spectrum(images), texture_statistics(images)], axis=1)


def random_features(images: np.ndarray, seed: int = RANDOM_SEED, widths: tuple[int, ...] = (16, 32, 48)) -> np.ndarray:
    """Activations of a convolutional network with random weights: shapes and where they lie, trained by nobody.

    Three levels of 3 x 3 x 3 convolutions with stride 2 and rectifiers; of every channel of the last, the mean in each
    of 2 x 2 x 2 blocks and the standard deviation.

    Args:
        images: Normalised scans (n, x, y, z), sides of 8 and more.
        seed: Of the weights.
        widths: Channels of the levels.

    Returns:
        (n, 9 * widths[-1]) float64; the same for a scan whatever else is in the set.

    Raises:
        InputError: See `intensity_texture_features`.

    Source: random features tell distributions apart nearly as well as trained ones do (Naeem et al. 2020, section 5).
    """
    images = _checked(images).astype(np.float32)
    weights = _random_weights(seed, widths)
    with torch.inference_mode():
        rows = [_activations(torch.from_numpy(image)[None, None], weights) for image in images]
    return torch.stack(rows).double().numpy()


def standardised(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features in standard deviations from the mean of a reference, each by itself.

    Args:
        features: (n, d).
        reference: (m, d), real scans; a feature that is constant over them is left out.

    Returns:
        (n, d') float64.

    Raises:
        InputError: See `checked_features`, or every feature is constant.
    """
    features, reference = checked_features(features, reference)
    mean, std = reference.mean(axis=0), reference.std(axis=0)
    varies = std > 1e-9 * (1 + np.abs(mean))
    if not varies.any():
        raise InputError("every feature is constant over the reference: it needs scans that differ.")
    return (features[:, varies] - mean[varies]) / std[varies]


def balanced(made: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in standard deviations of an equal mixture of the two, each feature by itself.

    The unit of the real scans alone would not do: a feature that hardly varies among them has a tiny unit, in which
    other scans of the very same source lie far away. With 432 random features and halves of 66 scans 20 of 30 sets of
    the same source were then "outside" (KID's kernel), with this unit none.

    Args:
        made: (m, d).
        real: (n, d).

    Returns:
        (m, d') and (n, d') float64; a feature that is constant over both is left out.

    Raises:
        InputError: See `checked_features`, or every feature is constant.
    """
    made, real = checked_features(made, real)
    means = made.mean(axis=0), real.mean(axis=0)
    mean = (means[0] + means[1]) / 2
    std = np.sqrt((made.var(axis=0) + real.var(axis=0)) / 2 + ((means[0] - means[1]) / 2) ** 2)
    varies = std > 1e-9 * (1 + np.abs(mean))
    if not varies.any():
        raise InputError("every feature is constant over both sets: they need scans that differ.")
    scaled = [(features[:, varies] - mean[varies]) / std[varies] for features in (made, real)]
    return scaled[0], scaled[1]


def _checked(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0 or min(images.shape[1:]) < _LEAST_SIDE:
        raise InputError(f"scans of shape {images.shape}: must be (n, x, y, z) with sides of {_LEAST_SIDE} or more.")
    if not np.isfinite(images).all():
        raise InputError("a scan holds NaN or infinite values: leave it out.")
    return images


def _spectrum(images: np.ndarray) -> np.ndarray:
    """Log mean power in `BANDS` shells of frequency, equal in width up to the Nyquist frequency of an axis."""
    shape = images.shape[1:]
    window = np.ones(shape)
    for axis, n in enumerate(shape):
        window *= np.hanning(n + 2)[1:-1].reshape([-1 if a == axis else 1 for a in range(3)])
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in shape[:2]), np.fft.rfftfreq(shape[2]), indexing="ij")
    shell = (np.sqrt(sum(f**2 for f in frequencies)) / 0.5 * BANDS).astype(int)
    centred = images - images.mean(axis=(1, 2, 3), keepdims=True)
    power = np.abs(np.fft.rfftn(centred * window, axes=(1, 2, 3))) ** 2 / (window**2).sum()
    return np.stack([np.log(power[:, shell == band].mean(axis=1) + _TINY) for band in range(BANDS)], axis=1)


def _random_weights(seed: int, widths: tuple[int, ...]) -> list[Tensor]:
    rng, weights, channels = np.random.default_rng(seed), [], 1
    for width in widths:
        values = rng.standard_normal((width, channels, 3, 3, 3)) * np.sqrt(2 / (27 * channels))  # He et al. 2015
        weights.append(torch.from_numpy(values.astype(np.float32)))
        channels = width
    return weights


def _activations(x: Tensor, weights: list[Tensor]) -> Tensor:
    for weight in weights:
        x = F.relu(F.conv3d(F.pad(x, (1,) * 6, mode="replicate"), weight, stride=2))
    return torch.cat([F.adaptive_avg_pool3d(x, 2).flatten(), x.std(dim=(2, 3, 4), correction=0).flatten()])


__all__ = [
    "BANDS",
    "PERCENTILES",
    "RANDOM_SEED",
    "balanced",
    "intensity_texture_features",
    "random_features",
    "standardised",
]
