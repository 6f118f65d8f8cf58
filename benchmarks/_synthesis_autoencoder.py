"""A small autoencoder trained on real train scans: a set of features of its own, seen by no contestant's training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._synthesis_settings import Settings, key
from benchmarks._synthesis_train import Budget, autocast, cosine, train

CODE, BATCH, PEAK, STEPS = 64, 8, 2e-3, 800


class Autoencoder(nn.Module):
    """Scans whose sides are multiples of 8 to 64 numbers and back.

    Args:
        shape: Voxels along x, y, z.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        inner = tuple(n // 8 for n in shape)
        flat = 48 * inner[0] * inner[1] * inner[2]
        down: list[nn.Module] = []
        for inside, outside in ((1, 12), (12, 24), (24, 48)):
            down += [nn.Conv3d(inside, outside, 4, 2, 1), nn.GroupNorm(4, outside), nn.SiLU()]
        self.encode = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, CODE))
        up: list[nn.Module] = [nn.Linear(CODE, flat), nn.Unflatten(1, (48, *inner))]
        for inside, outside in ((48, 24), (24, 12), (12, 12)):
            up += [nn.SiLU(), nn.ConvTranspose3d(inside, outside, 4, 2, 1), nn.GroupNorm(4, outside)]
        self.decode = nn.Sequential(*up, nn.SiLU(), nn.Conv3d(12, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def trained_autoencoder(settings: Settings, images: np.ndarray, seed: int = 0) -> Autoencoder:
    """Train on scans (n, x, y, z), or take the finished one from the cache."""
    torch.manual_seed(seed)
    net, steps = Autoencoder(images.shape[1:]), min(STEPS, settings.net_steps)
    optimiser = torch.optim.AdamW(net.parameters(), PEAK, weight_decay=1e-2)
    data = torch.from_numpy(images)[:, None]

    def step(number: int, progress: float) -> None:
        cosine(optimiser, PEAK, progress)
        chosen = torch.from_numpy(np.random.default_rng([seed, number]).integers(0, len(data), BATCH))
        with autocast():
            made = net(data[chosen])
        optimiser.zero_grad()
        F.mse_loss(made.float(), data[chosen]).backward()
        optimiser.step()

    path = settings.folder("autoencoder") / f"{key(steps, images)}-{seed}.pt"
    train({"net": net, "optimiser": optimiser}, step, Budget(steps=steps), path, seed)
    return net.eval()


def code_features(net: Autoencoder, images: np.ndarray) -> np.ndarray:
    """Codes (n, 64) of scans."""
    with torch.inference_mode():
        rows = [net.encode(torch.from_numpy(np.ascontiguousarray(image))[None, None])[0] for image in images]
    return torch.stack(rows).double().numpy()
