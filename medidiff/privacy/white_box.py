"""White-box membership: does the prior itself know its train patients better than others?

Three attacks, each a number a scan, high where the scan seems to have been trained on; a patient's is the mean over his
scans. Levels and number of draws are fixed here, before any prior is looked at: whoever takes the level that separates
best on the patients at hand has found nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from medidiff.errors import InputError
from medidiff.privacy.finding import Finding, Role
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.membership import membership
from medidiff.privacy.thresholds import Thresholds
from medidiff.privacy.white_box_probe import Probe

LOSS_LEVELS = (0.34, 1.0, 3.0)
"""Levels of the loss, normalised units (a scan spans about 2): step 100 of 1000 of the paper's schedule, and two higher
ones, since a scan has hundreds of times the voxels of its pictures and is recognised under more noise."""
DRAWS = 4
"""Draws of noise at each level."""
PIA_LEVEL = 0.72
"""Step 200 of 1000 of the linear schedule, the paper's: sqrt((1 - a) / a) with a = 0.658."""
PIA_START = 0.01
"""Level that stands for step 0: the first of the linear schedule."""
SIMA_LEVEL = 0.34
"""As the lowest of the loss."""
SOURCES = {
    "loss": "Carlini et al. 2023 (loss at fixed levels); relative to the scan's roughness",
    "PIA": "Kong et al. 2024: |eps(x_t, t) - eps(x_0, 0)|_4^4, x_t made from eps(x_0, 0)",
    "SimA": "Rao et al. 2025: |eps(x_0, t)|, one query",
}
_TINY = 1e-12


def white_box_scores(
    probe: Probe,
    images: Sequence[np.ndarray] | np.ndarray,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Every attack's score of every scan.

    A scan's scores depend on its voxels, the prior and the seed, not on the other scans or their order.

    Args:
        probe: The prior at work.
        images: Each (x, y, z), see `Probe.normalised`.
        seed: Of the noise.
        progress: Called with the number of scans done and their total.

    Returns:
        (n,) float64 under "loss", "PIA" and "SimA".

    Raises:
        InputError: No scan, or one that is empty, constant or not finite.
    """
    if len(images) == 0:
        raise InputError("white-box attacks: no scan was given.")
    found: dict[str, list[float]] = {name: [] for name in SOURCES}
    for done, image in enumerate(images, 1):
        x0 = probe.normalised(image)
        found["loss"].append(loss_score(probe, x0, seed))
        found["PIA"].append(pia_score(probe, x0))
        found["SimA"].append(sima_score(probe, x0))
        if progress is not None:
            progress(done, len(images))
    return {name: np.array(values) for name, values in found.items()}


def loss_score(probe: Callable[[Tensor, float], Tensor], x0: Tensor, seed: int) -> float:
    """Minus the mean over `LOSS_LEVELS` of ln |D(x0 + sigma n; sigma) - x0|^2, `DRAWS` draws each, plus ln roughness.

    A noisy scan is hard to denoise for everybody, and noise differs from scan to scan by more than membership makes:
    the loss is taken relative to what the mean of the neighbouring voxels leaves of the scan.

    Args:
        probe: D(x; sigma).
        x0: Normalised scan (x, y, z).
        seed: Of the noise, which follows from it and the scan's voxels.
    """
    rng = np.random.default_rng([seed, *hashlib.sha256(x0.numpy().tobytes()).digest()])
    losses = []
    for sigma in LOSS_LEVELS:
        noise = [torch.from_numpy(rng.standard_normal(tuple(x0.shape), dtype=np.float32)) for _ in range(DRAWS)]
        errors = [float(((probe(x0 + sigma * n, sigma) - x0) ** 2).mean()) for n in noise]
        losses.append(math.log(max(float(np.mean(errors)), _TINY)))
    return math.log(roughness(x0)) - float(np.mean(losses))


def pia_score(probe: Callable[[Tensor, float], Tensor], x0: Tensor) -> float:
    """Minus the mean fourth power of eps(x_t, t) - eps(x_0, 0), x_t = x_0 + sigma eps(x_0, 0): two queries, no chance.

    Source: Kong et al. 2024 (PIA), in the variance-exploding form: eps(x, t) = (x - D(x; sigma)) / sigma.
    """
    eps0 = (x0 - probe(x0, PIA_START)) / PIA_START
    x_t = x0 + PIA_LEVEL * eps0
    eps_t = (x_t - probe(x_t, PIA_LEVEL)) / PIA_LEVEL
    return -float(((eps_t - eps0) ** 4).mean())


def sima_score(probe: Callable[[Tensor, float], Tensor], x0: Tensor) -> float:
    """Minus the root mean square of eps(x_0, t), the scan itself taken for a noisy one: one query, no chance.

    Source: Rao et al. 2025 (SimA).
    """
    eps = (x0 - probe(x0, SIMA_LEVEL)) / SIMA_LEVEL
    return -float((eps**2).mean().sqrt())


def roughness(x0: Tensor) -> float:
    """Mean squared difference of a scan (x, y, z) from its mean over 3 x 3 x 3 voxels."""
    smooth = avg_pool3d(x0[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
    return max(float(((x0 - smooth) ** 2).mean()), _TINY)


def of_patients(scores: np.ndarray, gallery: Gallery) -> np.ndarray:
    """(p,) each patient's mean over his scans.

    Raises:
        InputError: Not one score a scan of the gallery.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != gallery.patients.shape:
        raise InputError(f"white-box scores of shape {values.shape}: must be one for each of the gallery's scans.")
    return np.bincount(gallery.patients, values) / np.bincount(gallery.patients)


def white_box_findings(
    scores: Mapping[str, np.ndarray], gallery: Gallery, thresholds: Thresholds, *, role: Role = "secondary"
) -> list[Finding]:
    """One finding an attack: AUC over patients, p-value by permuting their labels, true positives at few false ones.

    Args:
        scores: Of `white_box_scores`, (g,) each, over the gallery's scans.
        gallery: Train and holdout pooled.
        thresholds: `permutations`, `seed`, `confidence`.
        role: In the verdict.

    Raises:
        InputError: Sizes differ, or a score is not finite.
    """
    return [
        membership(
            of_patients(values, gallery),
            gallery.is_train,
            thresholds,
            test=f"white-box {name}",
            source=SOURCES[name],
            role=role,
        )
        for name, values in scores.items()
    ]


__all__ = [
    "DRAWS",
    "LOSS_LEVELS",
    "PIA_LEVEL",
    "SIMA_LEVEL",
    "loss_score",
    "of_patients",
    "pia_score",
    "roughness",
    "sima_score",
    "white_box_findings",
    "white_box_scores",
]
