"""The small fixed nets that utility is judged by: one segments, one gives a number a scan; minutes on a processor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BATCH = {"segment": 2, "score": 8}
_PEAK = {"segment": 4e-3, "score": 2e-3}
_WIDTHS = (16, 32)
_SHIFT = 2  # voxels
_MULTIPLE = 4  # two halvings
Net = TypeVar("Net", bound=nn.Module)


class SegmentationNet(nn.Module):
    """A 3D U-Net that works at half and a quarter of the resolution; each coarse voxel tells eight fine ones.

    0.09 million weights, and a seventh of the time of one that works at full resolution.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        a, b = _WIDTHS
        self.first = nn.Sequential(nn.Conv3d(1, a, 4, stride=2, padding=1), *_after(a), *_block(a, a))
        self.second = nn.Sequential(nn.Conv3d(a, b, 3, stride=2, padding=1), *_after(b), *_block(b, b))
        self.merge = nn.Sequential(*_block(a + b, a))
        self.out = nn.Conv3d(a, 8 * (labels + 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, labels + 1, x, y, z) of scans (batch, 1, x, y, z) of any size."""
        size = x.shape[2:]
        x = F.pad(x, [amount for n in reversed(size) for amount in (0, -n % _MULTIPLE)])
        half = self.first(x)
        quarter = F.interpolate(self.second(half), scale_factor=2, mode="nearest")
        fine = _spread(self.out(self.merge(torch.cat([quarter, half], dim=1))))
        return fine[:, :, : size[0], : size[1], : size[2]]


class ScoreNet(nn.Module):
    """Four convolutions of stride 2 and the mean over the scan: 0.1 million weights, one number a scan."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in (12, 24, 48, 64):
            layers += [nn.Conv3d(channels, width, 3, stride=2, padding=1), nn.GroupNorm(4, width), nn.LeakyReLU(0.1)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch,) of scans (batch, 1, x, y, z)."""
        return self.layers(x)[:, 0]


def train_segmentation(images: np.ndarray, masks: np.ndarray, labels: int, steps: int, seed: int) -> SegmentationNet:
    """Train on pairs; the same pairs, steps and seed give the same net on one machine.

    Args:
        images: (n, x, y, z), mean 0 and standard deviation 1.
        masks: Label maps likewise, 0 to `labels`.
        labels: How many.
        steps: Of two scans each.
        seed: Of weights, draws and augmentation.
    """

    def draw(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = rng.integers(len(images), size=_BATCH["segment"])
        pairs = [_augmented(images[i], masks[i], rng) for i in chosen]
        return torch.stack([x for x, _ in pairs])[:, None], torch.stack([y for _, y in pairs])

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        chance = logits.softmax(dim=1)[:, 1:]
        wanted = F.one_hot(truth, labels + 1).movedim(-1, 1)[:, 1:].float()
        both, total = (chance * wanted).sum(dim=(2, 3, 4)), (chance + wanted).sum(dim=(2, 3, 4))
        return F.cross_entropy(logits, truth) + 1 - ((2 * both + 1) / (total + 1)).mean()

    return _trained(lambda: SegmentationNet(labels), draw, loss, steps, seed, _PEAK["segment"])


def train_score(images: np.ndarray, targets: np.ndarray, binary: bool, steps: int, seed: int) -> ScoreNet:
    """Train a net that tells a number, or a yes or no, from a scan.

    Args:
        images: (n, x, y, z), mean 0 and standard deviation 1.
        targets: (n,); 0 and 1 where `binary`, which are then drawn equally often, else numbers of about unit spread.
        binary: Whether.
        steps: Of eight scans each.
        seed: Of weights, draws and augmentation.
    """
    pools = [np.flatnonzero(targets == value) for value in (0, 1)] if binary else [np.arange(len(targets))]

    def draw(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = [int(rng.choice(pools[i % len(pools)])) for i in range(_BATCH["score"])]
        scans = torch.stack([_augmented(images[i], None, rng)[0] for i in chosen])[:, None]
        return scans, torch.from_numpy(targets[chosen].astype(np.float32))

    loss: Callable[..., Tensor] = F.binary_cross_entropy_with_logits if binary else F.smooth_l1_loss
    return _trained(ScoreNet, draw, loss, steps, seed, _PEAK["score"])


def segment(net: SegmentationNet, images: np.ndarray) -> np.ndarray:
    """Label maps uint8 of scans (n, x, y, z)."""
    with torch.inference_mode():
        return np.stack([net(_one(image))[0].argmax(dim=0).to(torch.uint8).numpy() for image in images])


def score(net: ScoreNet, images: np.ndarray) -> np.ndarray:
    """Numbers (n,) of scans (n, x, y, z)."""
    with torch.inference_mode():
        return np.array([float(net(_one(image))[0]) for image in images])


def _trained(
    make: Callable[[], Net],
    draw: Callable[[np.random.Generator], tuple[Tensor, Tensor]],
    loss: Callable[..., Tensor],
    steps: int,
    seed: int,
    peak: float,
) -> Net:
    with torch.random.fork_rng(devices=[]):  # nobody else's random numbers change
        torch.manual_seed(seed)
        net = make().train()
        optimiser = torch.optim.AdamW(net.parameters(), peak, weight_decay=1e-2)
        for step in range(steps):
            progress = step / steps
            rate = peak * min(1.0, progress / 0.05 + 0.02) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
            for group in optimiser.param_groups:
                group["lr"] = rate
            scans, truth = draw(np.random.default_rng([seed, step]))
            optimiser.zero_grad()
            loss(net(scans), truth).backward()
            optimiser.step()
    return net.eval()


def _augmented(image: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Shifted by up to two voxels, a little brighter or darker. No flips: a side is a side."""
    shift = rng.integers(-_SHIFT, _SHIFT + 1, size=3)
    corner = tuple(slice(int(s) + _SHIFT, int(s) + _SHIFT + n) for s, n in zip(shift, image.shape, strict=True))
    x = F.pad(torch.from_numpy(np.ascontiguousarray(image))[None, None], (_SHIFT,) * 6, mode="replicate")[0, 0][corner]
    x = x * float(rng.uniform(0.95, 1.05)) + float(rng.uniform(-0.05, 0.05))
    if mask is None:
        return x, torch.empty(0)
    return x, F.pad(torch.from_numpy(mask.astype(np.int64)), (_SHIFT,) * 6)[corner]


def _block(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv3d(before, after, 3, padding=1), *_after(after)]


def _after(channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(4, channels), nn.LeakyReLU(0.1)]


def _spread(x: Tensor) -> Tensor:
    """(n, 8 c, x, y, z) to (n, c, 2 x, 2 y, 2 z)."""
    n, c, *size = x.shape
    x = x.reshape(n, c // 8, 2, 2, 2, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(n, c // 8, *(2 * side for side in size))


def _one(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None, None]


__all__ = ["ScoreNet", "SegmentationNet", "score", "segment", "train_score", "train_segmentation"]
