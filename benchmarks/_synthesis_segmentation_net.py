"""The segmentation net of the benchmark: MONAI's 3D U-Net, trained on any pairs, judged by Dice per patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from monai.networks.nets.unet import UNet
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._synthesis_data import Pairs
from benchmarks._synthesis_settings import Settings, key
from benchmarks._synthesis_train import Budget, Spent, autocast, cosine, train

BATCH, LABELS, PEAK = 4, 2, 3e-3
_SHIFT = 3  # voxels


def segmentation_net() -> UNet:
    """MONAI's residual 3D U-Net of three levels, 0.28 million weights."""
    return UNet(3, 1, LABELS + 1, channels=(16, 32, 64), strides=(2, 2), num_res_units=2)


def trained_net(settings: Settings, pools: Sequence[Pairs], seed: int) -> tuple[nn.Module, Spent]:
    """Train a net, or take the finished one from the cache.

    Args:
        settings: Steps and cache.
        pools: Each gives an equal share of every batch (real and synthetic: half and half).
        seed: Of weights, draws and augmentation.
    """
    torch.manual_seed(seed)
    net = segmentation_net()
    optimiser = torch.optim.AdamW(net.parameters(), PEAK, weight_decay=1e-2)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    facts = [fact for pool in pools for fact in (pool.images, pool.masks)]
    name = f"{key(settings.net_steps, BATCH, PEAK, *facts)}-{seed}.pt"

    def step(number: int, progress: float) -> None:
        cosine(optimiser, PEAK, progress)
        image, mask = _batch(pools, np.random.default_rng([seed, number]))
        with autocast():
            logits = net(image)
        optimiser.zero_grad()
        loss(logits.float(), mask).backward()
        optimiser.step()

    parts: dict[str, nn.Module | torch.optim.Optimizer] = {"net": net, "optimiser": optimiser}
    spent = train(parts, step, Budget(steps=settings.net_steps), settings.folder("segmentation") / name, seed)
    return net.eval(), spent


def segment(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """Label maps uint8 of scans (n, x, y, z)."""
    with torch.inference_mode(), autocast():
        found = [net(torch.from_numpy(image)[None, None])[0].argmax(dim=0) for image in images]
    return torch.stack(found).to(torch.uint8).numpy()


def bottleneck_features(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of every channel at the net's coarsest level, (n, 128)."""
    kept: list[Tensor] = []
    coarsest = [module for module in net.modules() if isinstance(module, nn.Conv3d) and module.out_channels == 64][-1]
    hook = coarsest.register_forward_hook(lambda _module, _given, out: kept.append(out.float()))
    rows = []
    try:
        with torch.inference_mode():
            for image in images:
                kept.clear()
                net(torch.from_numpy(np.ascontiguousarray(image))[None, None])
                rows.append(torch.cat([kept[-1].mean(dim=(2, 3, 4)), kept[-1].std(dim=(2, 3, 4))], dim=1)[0])
    finally:
        hook.remove()
    return torch.stack(rows).double().numpy()


def dice(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean Dice of the two labels, one a scan (n,); a label that neither has counts as 1."""
    per_label = []
    for label in range(1, LABELS + 1):
        a, b = found == label, truth == label
        both, total = (a & b).sum(axis=(1, 2, 3)), a.sum(axis=(1, 2, 3)) + b.sum(axis=(1, 2, 3))
        per_label.append(np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0))
    return np.mean(per_label, axis=0)


def patient_means(values: np.ndarray, patients: Sequence[str]) -> np.ndarray:
    """Mean over each patient's scans, patients in the order of their names."""
    names = np.asarray(patients)
    return np.array([values[names == name].mean() for name in sorted(set(patients))])


def _batch(pools: Sequence[Pairs], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    images, masks = [], []
    for i in range(BATCH):
        pool = pools[i % len(pools)]
        chosen = int(rng.integers(len(pool)))
        image, mask = _augmented(pool.images[chosen], pool.masks[chosen], rng)
        images.append(image)
        masks.append(mask)
    return torch.stack(images)[:, None], torch.stack(masks)[:, None]


def _augmented(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Shifted by up to three voxels, brighter or darker, a little noise. No flips: a side is a side."""
    shift = rng.integers(-_SHIFT, _SHIFT + 1, size=3)
    x, y = torch.from_numpy(image)[None, None], torch.from_numpy(mask.astype(np.int64))
    corner = tuple(slice(int(s) + _SHIFT, int(s) + _SHIFT + n) for s, n in zip(shift, image.shape, strict=True))
    x = F.pad(x, (_SHIFT,) * 6, mode="replicate")[0, 0][corner]
    y = F.pad(y, (_SHIFT,) * 6)[corner]
    x = x * float(rng.uniform(0.9, 1.1)) + float(rng.uniform(-0.1, 0.1))
    noise = torch.from_numpy(rng.standard_normal(image.shape).astype(np.float32))
    return x + float(rng.uniform(0, 0.05)) * noise, y
