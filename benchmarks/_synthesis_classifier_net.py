"""A small convolutional classifier of scans, trained on mixtures of pools, and the area under its ROC curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._synthesis_settings import Settings, key
from benchmarks._synthesis_train import Budget, autocast, cosine, train

BATCH, PEAK = 8, 2e-3
Mixture = Sequence[tuple[float, np.ndarray]]
"""Images (n, x, y, z) and how often a scan is drawn from them, shares that sum to 1."""


def classifier_net() -> nn.Module:
    """Four levels of convolutions, then the mean over the scan: 0.12 million weights."""
    layers: list[nn.Module] = []
    channels = 1
    for width in (12, 24, 48, 64):
        layers += [nn.Conv3d(channels, width, 3, stride=1 if channels == 1 else 2, padding=1)]
        layers += [nn.GroupNorm(4, width), nn.LeakyReLU(0.1)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, 1))


def trained_classifier(settings: Settings, negative: Mixture, positive: Mixture, seed: int) -> nn.Module:
    """Train on batches that are half negative, half positive, or take the finished net from the cache."""
    torch.manual_seed(seed)
    net = classifier_net()
    optimiser = torch.optim.AdamW(net.parameters(), PEAK, weight_decay=1e-2)
    facts = [fact for mixture in (negative, positive) for fact in mixture if fact[0] > 0]
    name = key(settings.classifier_steps, BATCH, PEAK, *(part for fact in facts for part in (fact[0], fact[1])))
    truth = torch.arange(BATCH).remainder(2).float()

    def step(number: int, progress: float) -> None:
        cosine(optimiser, PEAK, progress)
        rng = np.random.default_rng([seed, number])
        images = torch.stack([_drawn((negative, positive)[i % 2], rng) for i in range(BATCH)])[:, None]
        with autocast():
            score = net(images)[:, 0]
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(score.float(), truth).backward()
        optimiser.step()

    parts: dict[str, nn.Module | torch.optim.Optimizer] = {"net": net, "optimiser": optimiser}
    budget = Budget(steps=settings.classifier_steps)
    train(parts, step, budget, settings.folder("classifier") / f"{name}-{seed}.pt", seed)
    return net.eval()


def scores(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """Logits (n,) of scans."""
    with torch.inference_mode(), autocast():
        return torch.cat([net(torch.from_numpy(i)[None, None])[:, 0].float() for i in images]).numpy()


def auc(negative: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive scores higher than a negative, ties half; nan where one is empty.

    Source: Mann and Whitney 1947.
    """
    if not (len(negative) and len(positive)):
        return float("nan")
    above = positive[:, None] - negative[None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def _drawn(mixture: Mixture, rng: np.random.Generator) -> Tensor:
    """One augmented scan of a mixture: shifted by up to two voxels, a little brighter or darker."""
    shares = np.array([share for share, _ in mixture])
    images = mixture[int(rng.choice(len(mixture), p=shares / shares.sum()))][1]
    x = torch.from_numpy(images[int(rng.integers(len(images)))])
    shift = rng.integers(-2, 3, size=3)
    corner = tuple(slice(int(s) + 2, int(s) + 2 + n) for s, n in zip(shift, x.shape, strict=True))
    x = F.pad(x[None, None], (2,) * 6, mode="replicate")[0, 0][corner]
    return x * float(rng.uniform(0.95, 1.05)) + float(rng.uniform(-0.05, 0.05))
