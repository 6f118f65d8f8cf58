"""What the audited prior itself sees in a scan: features of its own network, as a further measure of likeness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from medidiff.errors import InputError
from medidiff.nets.unet import HaarUNet
from medidiff.prior import Prior
from medidiff.privacy.high_pass import checked_images

LEVEL = 0.5
"""Noise that the network is shown the scan in, in standard deviations of the clean data."""
NOISE_SEED = 2026
_BLOCKS = 2
"""Features are averaged over so many blocks along each axis, to know what lies where."""
_KEPT = 128
"""Most principal components kept."""
_SHRUNK = 1.0
"""Share of the mean variance added to every component's before it is divided out: what hardly varies stays small."""


def prior_embedding(
    prior: Prior,
    images: np.ndarray,
    reference: np.ndarray | None = None,
    *,
    spacing_mm: tuple[float, float, float] | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Scans as unit features of the prior's own network.

    Features of `prior_features`, standardised and whitened over `reference`, whoever is train or holdout in it.

    Args:
        prior: Any prior with an image channel; its masks are not observed.
        images: (n, x, y, z), at mean 0 and standard deviation 1.
        reference: Scans over which features are standardised: the gallery, train and holdout together. None: `images`,
            and then the result for a scan depends on the others.
        spacing_mm: Voxel spacing, where it is known.
        device: auto, cpu, cuda, cuda:N or mps.

    Returns:
        (n, d) float32 of unit norm; the inner product of two says how alike they are.

    Raises:
        InputError: Not four axes, sides below 8 voxels, or not finite; or fewer than 3 scans to standardise over.
    """
    features = prior_features(prior, images, spacing_mm=spacing_mm, device=device)
    if reference is None or reference is images:
        return whitened(features, features)
    return whitened(features, prior_features(prior, reference, spacing_mm=spacing_mm, device=device))


def prior_features(
    prior: Prior,
    images: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float] | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Mean of every channel of the network's coarser levels, in blocks, of a scan in a little noise.

    The noise is the same for all scans. Of a scan and its mirror image along axis 0 the mean is taken.

    Args:
        prior: Any prior with an image channel.
        images: (n, x, y, z), at mean 0 and standard deviation 1.
        spacing_mm: Voxel spacing.
        device: auto, cpu, cuda, cuda:N or mps.

    Returns:
        (n, d) float32; of a scan alone, whatever else is in `images`.

    Raises:
        InputError: See `prior_embedding`.
    """
    images = checked_images(images, "scans")
    noise = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(NOISE_SEED))
    denoiser, card = prior.denoiser(device), prior.card
    channel = card.channels.index("image") if "image" in card.channels else 0
    mean, std = card.mean_data[channel], card.sigma_data[channel]
    rows = []
    with _listening(denoiser.network) as heard:
        for image in images:
            scan, seen = torch.from_numpy(np.array(image, np.float32)), []
            for way in (scan, scan.flip(0)):
                heard.clear()
                denoiser((mean + std * (way + LEVEL * noise))[None, None], LEVEL * std, spacing_mm)
                seen.append(torch.cat(heard))
            rows.append((seen[0] + seen[1]) / 2)
    return torch.stack(rows).numpy()


def whitened(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Unit features whose principal components vary alike over a reference.

    Args:
        features: (n, d).
        reference: (m, d), m at least 3.

    Returns:
        (n, k) float32, k at most 128 and m - 1.

    Raises:
        InputError: Fewer than 3 scans in the reference.
    """
    if len(reference) < 3:
        raise InputError(f"{len(reference)} scans to standardise features over: 3 or more are needed.")
    reference, features = np.asarray(reference, np.float64), np.asarray(features, np.float64)
    middle, spread = reference.mean(0), reference.std(0)
    varies = spread > 1e-6 * (1e-6 + np.abs(middle))
    known, asked = ((rows[:, varies] - middle[varies]) / spread[varies] for rows in (reference, features))
    _, values, axes = np.linalg.svd(known, full_matrices=False)
    variance = values**2 / len(known)
    kept = slice(0, min(_KEPT, len(known) - 1))
    scale = 1 / np.sqrt(variance[kept] + _SHRUNK * variance[kept].mean() + 1e-12)
    rows = (asked @ axes[kept].T) * scale
    return (rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)).astype(np.float32)


@contextmanager
def _listening(network: torch.nn.Module) -> Iterator[list[Tensor]]:
    """What the last block of every level but the first says on the way down, pooled, as a forward pass makes it."""
    if not isinstance(network, HaarUNet):
        raise TypeError(f"{type(network).__name__}: a HaarUNet is needed.")
    heard: list[Tensor] = []

    def listen(module: torch.nn.Module, given: object, found: Tensor) -> None:
        heard.append(F.adaptive_avg_pool3d(found.float(), _BLOCKS).flatten().cpu())

    stages = list(network.down_blocks)[1:] or list(network.down_blocks)
    handles = [stage[-1].register_forward_hook(listen) for stage in stages]  # type: ignore[index]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


__all__ = ["LEVEL", "prior_embedding", "prior_features", "whitened"]
