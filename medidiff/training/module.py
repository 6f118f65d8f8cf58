"""The LightningModule: one step of denoiser training, EMA weights, validation."""

from __future__ import annotations

import math
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from medidiff.diffusion.colour import colour, correlations, draw_power
from medidiff.diffusion.losses import (
    NoisyPair,
    corrupt,
    corrupt_coloured,
    denoising_error,
    expected_error,
    log_variance_loss,
)
from medidiff.diffusion.maps import LevelRange, MapDistribution
from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.nets.embedding import NOISE_CORRELATION, CategoricalSlot, ConditionSlots
from medidiff.nets.unet import HaarUNet, NetConfig
from medidiff.training.config import TrainingConfig
from medidiff.training.muon import ConvMuon
from medidiff.training.start import start_from
from medidiff.training.validation import validation_figures

KNOTS = 128
"""Levels at which u(sigma) is computed; between them it is interpolated."""
P_UNCONDITIONAL = 0.7
"""Share of patches whose kind is left out."""
P_UNKNOWN_SPACING = 0.2
"""Share of patches whose spacing is left out."""
P_UNKNOWN_COLOUR = 0.2
"""Share of patches whose noise correlation is left out."""
COLOUR_JITTER = 0.02
"""Standard deviation of the error added to the noise correlation: on a scan it is estimated."""
COLOURED_UP_TO = 2.0
"""Levels up to which noise is coloured: above it stands for "not observed"."""


class LevelWeight(nn.Module):
    """u(sigma): learned log of the expected weighted error at a level, so that every level counts alike.

    Source: Karras et al. 2024 (EDM2), Eq. 14-16; Kendall et al. 2018.
    """

    def __init__(self, sigma_min: float, sigma_max: float, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.last = nn.Linear(width, 1)
        self.range = (math.log(sigma_min), math.log(sigma_max))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, sigma: Tensor) -> Tensor:
        """u for every element of `sigma`, interpolated between `KNOTS` levels (a map has many voxels)."""
        low, high = self.range
        knots = torch.linspace(low, high, KNOTS, device=sigma.device)
        with torch.autocast(sigma.device.type, enabled=False):
            u = self.last(self.layers(knots[:, None] / 2)).squeeze(-1)
        place = ((sigma.log() - low) / (high - low)).clamp(0, 1) * (KNOTS - 1)
        left = place.long().clamp(max=KNOTS - 2)
        return torch.lerp(u[left], u[left + 1], place - left)


class DenoiserTraining(lightning.LightningModule):
    """Trains `Preconditioned(HaarUNet)` on patches whose targets may be noisy.

    Args:
        config: The run.
        kinds: Values of the condition `kind`.
        sigma_data: Standard deviation of the patches.
    """

    def __init__(self, config: TrainingConfig, kinds: tuple[str, ...], sigma_data: float) -> None:
        super().__init__()
        self.config = config
        self.denoiser = Preconditioned(
            HaarUNet(network_config(config, kinds)),
            torch.full((config.network.channels,), sigma_data),
            config.noise.sigma_min,
            config.noise.sigma_max,
        )
        if config.start_from is not None:
            start_from(self.denoiser, config.start_from)
        self.denoiser.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.ema = AveragedModel(self.denoiser, multi_avg_fn=_ema_with_warmup(config.optimiser.ema))
        self.ema.requires_grad_(False)
        self.level_weight = LevelWeight(config.noise.sigma_min, config.noise.sigma_max)
        self.colour_weight = nn.Linear(6, 1, bias=False)  # coloured noise leaves more error at the same level
        nn.init.zeros_(self.colour_weight.weight)
        self.maps = MapDistribution(
            tuple(LevelRange(part.low, part.high, part.weight) for part in config.noise.levels),
            config.noise.sigma_min,
            config.noise.sigma_max,
            config.noise.p_constant,
        )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch; maps and noise depend on the seed and the step alone."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.global_step)
        target, tau = batch["target"], batch["tau"]
        level = self.maps.draw(tuple(target.shape), generator).to(target)
        noise = torch.randn(target.shape, generator=generator).to(target)
        pairs, correlation = self._corrupt(target, tau, level, noise, generator)
        y, total = torch.cat([p.y for p in pairs]), torch.cat([p.level for p in pairs])
        keep = torch.rand(3, target.shape[0], generator=generator).to(target.device)
        kind = torch.where(keep[0] < P_UNCONDITIONAL, 0, batch["kind"])
        spacing = torch.where((keep[1] < P_UNKNOWN_SPACING)[:, None], float("nan"), batch["spacing_mm"])
        told = torch.where((keep[2] < P_UNKNOWN_COLOUR)[:, None], float("nan"), correlation)
        denoised = self.denoiser(y, total, spacing, {"kind": kind, NOISE_CORRELATION: told})
        error = torch.cat(
            [
                denoising_error(denoised.mean[i : i + 1], pair, target[i : i + 1], self.denoiser.sigma_data)
                for i, pair in enumerate(pairs)
            ]
        )
        clean = (tau == 0).to(target)
        u = self.level_weight(total.float()) + self.colour_weight(correlation)[:, :, None, None, None]
        relative = torch.cat(
            [
                expected_error(
                    denoised.log_variance[i : i + 1], pair, tau[i : i + 1], u[i : i + 1], self.denoiser.sigma_data
                )
                for i, pair in enumerate(pairs)
            ]
        )
        reweighted = (error * torch.exp(-u.detach()) / relative).mean()
        learn_u = ((error.detach() * torch.exp(-u) + u) * clean).mean()
        loss = reweighted + learn_u + 0.1 * log_variance_loss(denoised, target, clean)
        self.log("train/error", error.detach().mean(), prog_bar=True)
        self.log("train/reweighted", reweighted.detach(), prog_bar=True)
        self.log("train/loss", loss.detach())
        return loss

    def _corrupt(
        self, target: Tensor, tau: Tensor, level: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[list[NoisyPair], Tensor]:
        """One pair a patch, white or coloured, and the correlation of its noise (b, 6)."""
        pairs, told = [], torch.zeros(target.shape[0], 6)
        shape = (target.shape[2], target.shape[3], target.shape[4])
        for i in range(target.shape[0]):
            part = slice(i, i + 1)
            x, own, wanted = target[part], tau[part], level[part]
            chosen = float(torch.rand((), generator=generator)) < self.config.noise.p_coloured
            one_level = wanted.numel() == wanted.shape[1] or not bool(own > 0)
            if chosen and one_level and float(wanted.max()) <= COLOURED_UP_TO:
                power = draw_power(shape, generator)
                pair = corrupt_coloured(x, own, wanted, colour(noise[part], power.to(x)), power)
                added = float(((wanted**2 - own**2).clamp_min(0) / (wanted**2).clamp_min(1e-12)).mean())
                told[i] = added * correlations(power, shape)
                told[i] += COLOUR_JITTER * torch.randn(6, generator=generator)
            else:
                pair = corrupt(x, own, wanted, noise[part])
            pairs.append(pair)
        return pairs, told.to(target)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the average: together, so that no checkpoint falls between them."""
        super().optimizer_step(*args, **kwargs)
        self.ema.update_parameters(self.denoiser)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Error of the averaged weights on fixed patches of val, then of train, see `validation`."""
        split = self.trainer.datamodule.fixed_splits[dataloader_idx]  # type: ignore[attr-defined]
        for name, value in validation_figures(self.averaged, batch, batch_idx, split).items():
            self.log(name, value, prog_bar=split == "val", add_dataloader_idx=False)

    @property
    def averaged(self) -> Preconditioned:
        """The denoiser with averaged weights: what is validated, drawn and shipped."""
        return cast(Preconditioned, self.ema.module)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon for convolution kernels and AdamW for the rest, or AdamW for all."""
        how = self.config.optimiser
        named = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        kernels = [p for n, p in named if how.name == "muon" and _is_hidden_kernel(n, p)]
        chosen = {id(p) for p in kernels}
        rest = [p for _, p in named if id(p) not in chosen]
        adam = torch.optim.AdamW(rest, lr=how.lr, betas=(0.9, 0.99), weight_decay=0.0)
        if not kernels:
            return [adam]
        dtype = torch.bfloat16 if self.trainer.precision == "bf16-mixed" else torch.float32
        return [_Both(ConvMuon(kernels, lr=how.lr, weight_decay=how.weight_decay, dtype=dtype), adam)]

    def set_learning_rate(self, step: int, progress: float) -> float:
        """Warm-up, plateau, linear decay to zero at progress 1; returns the rate set."""
        how = self.config.optimiser
        warm = min(1.0, (step + 1) / max(1, how.warmup))
        fall = min(1.0, (1 - progress) / (1 - how.decay_from))
        rate = how.lr * warm * max(fall, 0.0)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        return rate


class _Both(torch.optim.Optimizer):
    """Two optimisers behind one: Lightning then counts one step, clips once and resumes both."""

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        self.parts = (first, second)
        super().__init__([p for part in self.parts for g in part.param_groups for p in g["params"]], {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def _is_hidden_kernel(name: str, parameter: Tensor) -> bool:
    """3 x 3 x 3 and resampling kernels inside the network; not the stem, the heads or the embeddings."""
    return (
        parameter.ndim == 5
        and math.prod(parameter.shape[2:]) > 1
        and not any(part in name for part in ("stem", "head", "embedding"))
    )


def _ema_with_warmup(decay: float) -> Any:
    @torch.no_grad()
    def average(averaged: list[Tensor], current: list[Tensor], n: Tensor | int) -> None:
        beta = min(decay, (1 + int(n)) / (10 + int(n)))
        for slow, fast in zip(averaged, current, strict=True):
            slow.lerp_(fast, 1 - beta)

    return average


def network_config(config: TrainingConfig, kinds: tuple[str, ...]) -> NetConfig:
    """The run's network with the condition `kind` filled in."""
    slots: ConditionSlots = config.network.slots
    categorical = {**slots.categorical, "kind": CategoricalSlot(values=kinds)}
    return config.network.model_copy(update={"slots": slots.model_copy(update={"categorical": categorical})})
