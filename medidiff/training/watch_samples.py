"""What the prior makes of its own noise: samples during training, their distance from val patches, pictures of both."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Generator, Tensor

from medidiff.diffusion.sampling import sample_posterior
from medidiff.draw import beside, enlarge, grey, png_bytes, stack
from medidiff.errors import OutputError
from medidiff.evaluate.texture import texture_distance
from medidiff.io import atomic_open
from medidiff.training.config import NoiseConfig
from medidiff.training.loggers import log_picture
from medidiff.training.validation import RANGE, VALIDATION_PERCENT, watched_conditions
from medidiff.training.watch import say
from medidiff.training.watch_config import WatchConfig

EDGE = 32
"""Longest side of a sample in voxels."""
STEPS = 8
"""Steps of a sample (2M, 10 evaluations): enough for a trend, too few for a figure to publish."""
SAMPLES, WHOLE_SAMPLES = 16, 6
"""Samples a validation; those from pure noise are of the whole patch, since a prior of whole organs makes nothing
sensible in a part of its grid, and so are fewer."""
START_PERCENT = 30.0
"""Noise on the val patches that a denoiser's samples start from, percent of the intensity range, where the run trains
such levels: enough that most of a sample's texture is the prior's own."""
_SIDE = 128
"""Pixels that a patch is enlarged to, about, by whole factors."""
SAMPLING_SHARE, SAMPLING_LEVEL = 0.2, 1.0
"""From this share of training at levels above this one a prior is taken for a sampler."""


class Samples(lightning.Callback):
    """At every validation: samples, their distance from val patches, and one picture.

    The samples are posterior samples of val patches under 30% noise or, for a prior that trains high levels, samples
    from pure noise. Both have the distribution of the scans if the prior is right (x0' ~ p(x0 | y), y ~ p(y) gives
    x0' ~ p(x0)), whatever the level: so their distance from the val patches falls to 0 either way, and a prior that
    smooths or leaves noise does not get there. The scans' own noise is added to the samples, since scans have it.
    Everything is drawn from generators of its own and the weights are left alone.

    Args:
        folder: Where pictures go, `step-NNNNNNN.png`.
        how: What is wanted.
        noise: The run's noise levels.
        patches: Rows of the picture.
    """

    def __init__(self, folder: Path, how: WatchConfig, noise: NoiseConfig, patches: int = 6) -> None:
        self.folder, self.how, self.noise, self.patches = folder, how, noise, patches
        self.from_noise = from_noise(how, noise)
        self.samples: Tensor | None = None
        self._spent, self._last = 0.0, time.monotonic()

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Draw the samples and measure their distance; log the gap between training and val."""
        metrics = trainer.callback_metrics
        for percent in VALIDATION_PERCENT:
            ours, theirs = (metrics.get(f"{split}/psnr_{percent:g}pct") for split in ("train", "val"))
            if ours is not None and theirs is not None:
                pl_module.log(f"val/gap_{percent:g}pct", ours - theirs)
        now = time.monotonic()
        if not trainer.is_global_zero or not self.how.distance or self._spent > self.how.most * (now - self._last):
            return
        with trainer.strategy.precision_plugin.forward_context():
            self.samples, reference = draw_samples(
                pl_module.averaged,
                _batch(trainer, pl_module, WHOLE_SAMPLES if self.from_noise else SAMPLES),
                self.noise,
                self.from_noise,
            )
        if len(reference) >= 4:
            found = texture_distance(*(t[:, 0].cpu().numpy() for t in (self.samples, reference)))
            pl_module.log("val/distance", found, rank_zero_only=True)
        self._spent, self._last = time.monotonic() - now, now

    @torch.no_grad()
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """The picture: noisy, denoised and target middle slices, and the samples under them."""
        if not trainer.is_global_zero:
            return
        batch = _batch(trainer, pl_module, self.patches)
        target, sigma = batch["target"], VALIDATION_PERCENT[1] / 100 * RANGE
        noise = torch.randn(target.shape, generator=Generator().manual_seed(0)).to(target)
        noisy = target + sigma * noise
        with trainer.strategy.precision_plugin.forward_context():
            denoise = pl_module.averaged
            clean = denoise(noisy, torch.tensor(sigma).to(target), None, watched_conditions(batch)).mean
        rows = [beside([_slice(image[i]) for image in (noisy, clean, target)]) for i in range(len(target))]
        picture = stack(rows)
        if self.samples is not None:
            fitting = max(1, picture.shape[1] // (self.samples.shape[2] + 2))
            several = [_slice(sample) for sample in self.samples]
            rows = [beside(several[i : i + fitting]) for i in range(0, len(several), fitting)]
            picture = stack([picture, *rows], gap=6)
        picture = enlarge(picture, 1, 1, max(1, _SIDE // target.shape[2]))
        try:
            with atomic_open(self.folder / f"step-{trainer.global_step:07d}.png") as file:
                file.write(png_bytes(picture))
        except OutputError as error:
            say(f"warning: {error} The run goes on without this picture.")
        log_picture(trainer.loggers, "val", picture, trainer.global_step)


def from_noise(how: WatchConfig, noise: NoiseConfig) -> bool:
    """Whether samples start from pure noise: as asked for, or where a fifth of the training is at levels above 1."""
    return trains_sampling(noise) if how.samples == "auto" else how.samples


def trains_sampling(noise: NoiseConfig) -> bool:
    """Whether at least a fifth of the training draws lie above level 1."""
    total = sum(part.weight for part in noise.levels)
    share = 0.0
    for part in noise.levels:
        low, high = math.log(part.low), math.log(max(part.high, part.low * (1 + 1e-9)))
        above = min(max((high - math.log(SAMPLING_LEVEL)) / (high - low), 0.0), 1.0)
        share += part.weight / total * above
    return share >= SAMPLING_SHARE


@torch.no_grad()
def draw_samples(denoiser: Any, batch: dict[str, Any], noise: NoiseConfig, unobserved: bool) -> tuple[Tensor, Tensor]:
    """Samples beside the patches they are compared with.

    Args:
        denoiser: `Preconditioned`.
        batch: Patches, see `cohort`.
        noise: Levels of the run.
        unobserved: Start from nothing observed; else from the patches under 30% noise.

    Returns:
        Samples and patches, both (n, c, x, y, z): of patches under noise the middle, at most 32 voxels a side.
    """
    if unobserved:
        target, cond = batch["target"], watched_conditions(batch)
    else:
        target, cond = _middle(batch, denoiser.network.config.alignment)
    generators = [Generator().manual_seed(i) for i in range(len(target))]
    sigma = torch.tensor(min(START_PERCENT / 100 * RANGE, max(part.high for part in noise.levels))).to(target)
    own = torch.stack([torch.randn(target.shape[1:], generator=g) for g in generators]).to(target)
    added = torch.stack([torch.randn(target.shape[1:], generator=g) for g in generators]).to(target)

    def denoise(x: Tensor, level: Tensor) -> Tensor:
        return denoiser(x, level, batch["spacing_mm"], cond).mean

    samples = sample_posterior(
        denoise,
        torch.zeros_like(target) if unobserved else target + sigma * added,
        torch.tensor(float("inf")).to(target) if unobserved else sigma,
        n_steps=STEPS,
        sigma_min=max(noise.sigma_min, 0.02),
        sigma_max=noise.sigma_max,
        generators=generators,
    ).x
    return samples + batch["tau"] * own, target


def _batch(trainer: Any, pl_module: Any, count: int) -> dict[str, Any]:
    """The first fixed patches of val, or of train where there are no val patients, on the module's device."""
    data = trainer.datamodule
    batches, have = [], 0
    for batch in data.fixed_dataloader(data.fixed_splits[0]):
        batches.append(batch)
        have += len(batch["target"])
        if have >= count:
            break
    names = [name for name, value in batches[0].items() if isinstance(value, Tensor)]
    return {name: torch.cat([b[name] for b in batches])[:count].to(pl_module.device) for name in names}


def _middle(batch: dict[str, Any], alignment: int) -> tuple[Tensor, dict[str, Tensor] | None]:
    """The middle of the patches, at most `EDGE` voxels a side, and where it lies."""
    volume, cond = batch["target"], watched_conditions(batch)
    sides = [min(n, max(EDGE // alignment * alignment, alignment)) for n in volume.shape[2:]]
    starts = [(n - side) // 2 for n, side in zip(volume.shape[2:], sides, strict=True)]
    x, y, z = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    if cond is not None:
        place = cond["position"].clone()  # (b, 3, 4), from voxel index to coordinates
        place[:, :, 3] += place[:, :, :3] @ torch.tensor(starts).to(place)
        cond = {"position": place}
    return volume[:, :, x, y, z].contiguous(), cond


def _slice(volume: Tensor) -> np.ndarray:
    middle = volume[0, :, :, volume.shape[-1] // 2].float().cpu().numpy()
    return grey(middle.T[::-1], -1.2, 1.2)


__all__ = ["Samples", "draw_samples", "trains_sampling"]
