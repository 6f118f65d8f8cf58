"""Karras preconditioning with the noise level as a map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from medidiff.errors import ConfigError

_RAREST = 1 - 1e-6
"""A mask's mean is taken as at least this far from -1 and 1."""
_SUREST = -30.0
"""Lowest log variance of a mask."""


class Coefficients(NamedTuple):
    """Preconditioning of one noise map; every field broadcasts to the scan."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


class Denoised(NamedTuple):
    """What one evaluation of a denoiser returns, both (b, c, x, y, z).

    Attributes:
        mean: Estimate of E[x0 | x], in the units of the normalised scan.
        log_variance: Natural logarithm of the estimated squared error of `mean`, same units squared.
    """

    mean: Tensor
    log_variance: Tensor


def coefficients(sigma: Tensor, sigma_data: Tensor) -> Coefficients:
    """Preconditioning coefficients, voxel by voxel.

    Args:
        sigma: Noise standard deviation, positive and finite, any shape.
        sigma_data: Standard deviation of the clean data, broadcastable to `sigma`.

    Source: Karras et al. 2022 (arXiv 2206.00364), Eq. 7 and Table 1.
    """
    total = sigma**2 + sigma_data**2
    c_skip = sigma_data**2 / total
    c_out = sigma * sigma_data * total.rsqrt()
    c_in = total.rsqrt()
    c_noise = sigma.log() / 4
    return Coefficients(c_skip, c_out, c_in, c_noise)


class Preconditioned(nn.Module):
    """A denoiser D(x; sigma) = c_skip x + c_out F(c_in x, c_noise) whose sigma is a map.

    A mask is -1 or 1, so of it a voxel's own observation says log odds 2 x / sigma^2, exactly, and the network adds
    what the other voxels and channels say: D = tanh(x / sigma^2 + F + atanh(mean)). Where a mask is well observed D is
    exact whatever F is, and nothing is left to learn: with c_skip and c_out the network spent itself on handing masks
    through ever more precisely, and denoised scans worse the longer it trained (25.5 to 24.5 dB in 25 minutes).

    Args:
        network: F; called as `network(c_in * x, c_noise, spacing_mm, cond)`, returns (F, raw log variance).
        sigma_data: Standard deviation of the clean data, one value per channel (c,).
        sigma_min: Levels are clamped to this from below.
        sigma_max: Levels are clamped to this from above; an infinite level means "not observed".
        mean_data: Mean of the clean data (c,), taken off before and put back after: a mask, -1 nearly everywhere, would
            otherwise fill the network's norms with its constant. None: 0.
        masks: Which channels are masks; None: none is.

    Source: Karras et al. 2022, Eq. 7, voxel by voxel; for masks Bayes' rule.
    """

    sigma_data: Tensor
    mean_data: Tensor
    masks: Tensor

    def __init__(
        self,
        network: nn.Module,
        sigma_data: Tensor,
        sigma_min: float,
        sigma_max: float,
        mean_data: Tensor | None = None,
        masks: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("sigma_data", sigma_data.detach().float().reshape(1, -1, 1, 1, 1).clone())
        mean = torch.zeros_like(self.sigma_data) if mean_data is None else mean_data.detach().float()
        self.register_buffer("mean_data", mean.reshape(1, -1, 1, 1, 1).clone())
        known = torch.zeros(self.sigma_data.shape[1]) if masks is None else torch.tensor(masks)
        self.register_buffer("masks", known.bool().reshape(1, -1, 1, 1, 1), persistent=False)
        self._any_mask = bool(self.masks.any())
        self.sigma_min, self.sigma_max = sigma_min, sigma_max

    def forward(
        self,
        x: Float[Tensor, "b c x y z"],
        sigma: Tensor,
        spacing_mm: Float[Tensor, "b 3"] | None = None,
        cond: dict[str, Tensor] | None = None,
    ) -> Denoised:
        """Estimate the clean scan.

        Args:
            x: Noisy scan, normalised, (b, c, x, y, z).
            sigma: Noise standard deviation in the same units: 0-dim, (b, c, 1, 1, 1), or a map broadcastable to `x`;
                infinite where nothing is observed.
            spacing_mm: Voxel spacing (b, 3); None means unknown.
            cond: Conditions by name, see `HaarUNet`.

        Returns:
            Mean and log error variance, each (b, c, x, y, z), float32.
        """
        return self.with_log_odds(x, sigma, spacing_mm, cond)[0]

    def with_log_odds(
        self,
        x: Float[Tensor, "b c x y z"],
        sigma: Tensor,
        spacing_mm: Float[Tensor, "b 3"] | None = None,
        cond: dict[str, Tensor] | None = None,
    ) -> tuple[Denoised, Tensor | None]:
        """The same, and half the log odds that a voxel of a mask is inside, whose tanh is its mean (for training).

        Returns:
            The estimate; log odds (b, c, x, y, z), 0 in images, or None where there is no mask.
        """
        sigma = _five_dimensions(sigma.float(), x)
        unobserved = unobserved_channels(sigma)
        sigma = sigma.clamp(self.sigma_min, self.sigma_max)
        c = coefficients(sigma, self.sigma_data)
        centred = (x - self.mean_data) * ~unobserved
        F_x, raw_log_variance = self.network(c.c_in * centred, c.c_noise, spacing_mm, cond)
        F_x = F_x.float()
        mean = self.mean_data + c.c_skip * centred + c.c_out * F_x
        log_variance = raw_log_variance.float() + 2 * c.c_out.log()
        if not self._any_mask:
            return Denoised(mean, log_variance), None
        log_odds = x * ~unobserved / sigma**2 + F_x + torch.atanh(self.mean_data.clamp(-_RAREST, _RAREST))
        mean = torch.where(self.masks, log_odds.tanh(), mean)
        log_variance = torch.where(self.masks, _log_variance_of_mask(log_odds.detach()), log_variance)
        return Denoised(mean, log_variance), torch.where(self.masks, log_odds, 0)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **more: Any) -> None:
        """Of a checkpoint from before `mean_data` was kept: 0, unless nobody knows.

        Raises:
            ConfigError: The data has a mean, and it is not known whether the checkpoint was trained with it.
        """
        key = f"{prefix}mean_data"
        if key not in state_dict:
            if bool((self.mean_data != 0).any()):
                raise ConfigError(
                    "the checkpoint does not say which mean was taken off its masks: it is of an older medidiff. Begin "
                    "a new run in another output."
                )
            state_dict[key] = torch.zeros_like(self.mean_data)
        super()._load_from_state_dict(state_dict, prefix, *args, **more)


def _log_variance_of_mask(log_odds: Tensor) -> Tensor:
    """ln(1 - tanh^2), the variance of -1 or 1 at these (half) log odds, at least `_SUREST`."""
    size = log_odds.abs()
    return (2 * (math.log(2) - size - nnf.softplus(-2 * size))).clamp_min(_SUREST)


def unobserved_channels(sigma: Tensor) -> Tensor:
    """Channels of which nothing is observed, an infinite level all over, beside one that is.

    The network is given 0 instead of noise there. Noise says nothing, and eight coefficients of it a channel drown
    those of what is observed: with it hippocampus scans were hardly denoised when their two masks were not given.
    The state of a sampler at the highest level is no such noise: it must be seen, or samples lose spread there.

    Args:
        sigma: Noise map (b, c, x, y, z) or (b, c, 1, 1, 1), before it is clamped.

    Returns:
        Boolean (b, c, 1, 1, 1).
    """
    hidden = torch.isinf(sigma).flatten(2).all(dim=2)
    return (hidden & ~hidden.all(dim=1, keepdim=True))[:, :, None, None, None]


def _five_dimensions(sigma: Tensor, x: Tensor) -> Tensor:
    """Give `sigma` the five dimensions (b, c, ...) of `x`, keeping singleton axes, so that scalars stay cheap."""
    if sigma.ndim == 0:
        sigma = sigma.reshape(1, 1, 1, 1, 1)
    spatial = tuple(x.shape[2:]) if tuple(sigma.shape[2:]) != (1, 1, 1) else (1, 1, 1)
    return sigma.expand(x.shape[0], x.shape[1], *spatial)


def loss_weight(sigma: Tensor, sigma_data: Tensor) -> Tensor:
    """Weight (sigma^2 + s^2) / (sigma s)^2 that gives F's target unit scale.

    Source: Karras et al. 2022, section 5 (lambda).
    """
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


__all__ = ["Coefficients", "Denoised", "Preconditioned", "coefficients", "loss_weight"]
