"""What a validation measures: the error left at fixed noise levels, on the same patches with the same noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from medidiff.diffusion.colour import colour, correlations, gaussian_power
from medidiff.diffusion.losses import clean_squared_error, corrupt
from medidiff.diffusion.preconditioning import Denoised
from medidiff.nets.embedding import NOISE_CORRELATION

VALIDATION_PERCENT = (3.0, 9.0, 15.0)
"""Noise levels of the validation, percent of the intensity range."""
COLOURED_VALIDATION = (9.0, (0.8, 0.8, 0.0))
"""Level (one of `VALIDATION_PERCENT`) and kernel widths in voxels of the validation under coloured noise."""
FLOOR = 0.01
"""An estimated error below this share of the added noise's variance counts as it: the estimate may be negative."""
RANGE = 2.0
"""Intensity range of a normalised scan, the peak of every PSNR here."""


@torch.no_grad()
def validation_figures(
    denoise: Callable[..., Any], batch: dict[str, Any], number: int, split: str = "val"
) -> dict[str, Tensor]:
    """PSNR of a denoiser at fixed levels on one batch, in dB, mean over its patches.

    The noise depends on the batch's number alone: val patches and training patches get the same.

    Args:
        denoise: y, sigma, spacing_mm, conditions -> an object with `mean`.
        batch: Patches as training has them, see `cohort`.
        number: The batch's number within its split.
        split: Beginning of the figures' names; `val` adds the figures under coloured noise.

    Further channels, masks, are not observed and not counted; with them `{split}/dice` is the overlap of those that one
    evaluation reads off the clean image.

    Returns:
        `{split}/psnr_{percent}pct` against the scan as it is, and `{split}/psnr_less_own_noise_{percent}pct`, of the
        mean error against the clean scan, estimated without bias (`clean_squared_error`).
    """
    target, tau = batch["target"], batch["tau"]
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(number)).to(target)
    cond, figures = watched_conditions(batch), {}
    if target.shape[1] > 1:
        dice = _dice_from_image(denoise, batch, cond)
        if bool(torch.isfinite(dice)):  # a batch without a known mask has none, and must not spoil the mean of all
            figures[f"{split}/dice"] = dice
        denoise, target, tau, noise = _image_alone(denoise, target.shape[1]), target[:, :1], tau[:, :1], noise[:, :1]
    for percent in VALIDATION_PERCENT:
        sigma = percent / 100 * RANGE
        mean = denoise(target + sigma * noise, torch.tensor(sigma), batch["spacing_mm"], cond).mean
        mse = ((mean - target) ** 2).mean(dim=(1, 2, 3, 4))
        figures[f"{split}/psnr_{percent:g}pct"] = _psnr(mse)
        if split == "val" and percent == COLOURED_VALIDATION[0]:
            figures |= _coloured(denoise, target, noise, sigma, batch["spacing_mm"])
        pair = corrupt(target, tau, (sigma**2 + tau**2).sqrt(), noise)  # the same y, and how it splits
        clean = clean_squared_error(mean, pair, target, tau).mean().clamp_min(FLOOR * sigma**2)
        figures[f"{split}/psnr_less_own_noise_{percent:g}pct"] = _psnr(clean)
    return figures


def watched_conditions(batch: dict[str, Any]) -> dict[str, Tensor] | None:
    """What a denoiser is told of validation patches besides their spacing: where they lie, if that is known."""
    return {"position": batch["position"]} if "position" in batch else None


def _image_alone(denoise: Callable[..., Any], channels: int) -> Callable[..., Any]:
    """The denoiser of several channels as one of the image: of the others nothing is observed."""

    def of_image(y: Tensor, sigma: Tensor, spacing_mm: Tensor, cond: dict[str, Tensor] | None) -> Denoised:
        level = torch.full((len(y), channels, 1, 1, 1), float("inf")).to(y)
        level[:, :1] = sigma.to(y)
        given = torch.cat([y, y.new_zeros(len(y), channels - 1, *y.shape[2:])], dim=1)
        return Denoised(*(part[:, :1] for part in denoise(given, level, spacing_mm, cond)))

    return of_image


def _dice_from_image(denoise: Callable[..., Any], batch: dict[str, Any], cond: dict[str, Tensor] | None) -> Tensor:
    """Overlap 2|A B| / (|A| + |B|) of the masks that one evaluation reads off the image, mean over masks and scans."""
    target, observed = batch["target"], batch["observed"][:, 1:] > 0
    level = torch.full((len(target), target.shape[1], 1, 1, 1), float("inf")).to(target)
    level[:, :1] = 0  # the lowest level that the prior knows
    given = torch.cat([target[:, :1], torch.zeros_like(target[:, 1:])], dim=1)
    found = (denoise(given, level, batch["spacing_mm"], cond).mean[:, 1:] > 0) & observed
    true = (target[:, 1:] > 0) & observed
    both, total = (found & true).sum(dim=(2, 3, 4)), found.sum(dim=(2, 3, 4)) + true.sum(dim=(2, 3, 4))
    return (2 * both / total.clamp_min(1))[total > 0].mean()


def _psnr(mse: Tensor) -> Tensor:
    return (10 * torch.log10(RANGE**2 / mse)).mean()


def _coloured(
    denoise: Callable[..., Any], target: Tensor, noise: Tensor, sigma: float, spacing_mm: Tensor
) -> dict[str, Tensor]:
    """PSNR under noise blurred in a plane, with and without the network being told."""
    shape = (target.shape[2], target.shape[3], target.shape[4])
    power = gaussian_power(shape, COLOURED_VALIDATION[1])
    y = target + sigma * colour(noise, power.to(target))
    told = correlations(power, shape).to(target).expand(target.shape[0], 6)
    figures = {}
    for name, cond in (("told", {NOISE_CORRELATION: told}), ("untold", None)):
        mean = denoise(y, torch.tensor(sigma), spacing_mm, cond).mean
        figures[f"val/psnr_coloured_{name}"] = _psnr(((mean - target) ** 2).mean(dim=(1, 2, 3, 4)))
    return figures
