"""The LightningModule: one step of denoiser training, its guard, averaged weights, validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn

from medidiff.diffusion.losses import (
    class_balancing_error,
    denoising_error,
    expected_error,
    log_variance_loss,
    mask_error,
)
from medidiff.diffusion.maps import LevelRange, MapDistribution
from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.nets.embedding import NOISE_CORRELATION, CategoricalSlot, ConditionSlots
from medidiff.nets.lora import add_low_rank
from medidiff.nets.unet import HaarUNet, NetConfig
from medidiff.training.averages import WeightAverages
from medidiff.training.config import TrainingConfig
from medidiff.training.draws import (
    P_UNKNOWN_COLOUR,
    P_UNKNOWN_SPACING,
    balanced_conditions,
    corrupt_patches,
    draw_batch,
    told_conditions,
)
from medidiff.training.guards import Guard
from medidiff.training.optimiser import learning_rate, make_optimiser
from medidiff.training.ranks import gathered, mean_over_processes
from medidiff.training.start import start_from
from medidiff.training.validation import validation_figures
from medidiff.training.watch import say

KNOTS = 128
"""Levels at which u(sigma) is computed; between them it is interpolated."""


class LevelWeight(nn.Module):
    """u(sigma): learned log of the expected weighted error at a level, so that every level counts alike.

    Source: Karras et al. 2024 (EDM2), Eq. 14-16; Kendall et al. 2018.
    """

    def __init__(self, sigma_min: float, sigma_max: float, channels: int = 1, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.last = nn.Linear(width, channels)
        self.range = (math.log(sigma_min), math.log(sigma_max))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, sigma: Tensor) -> Tensor:
        """u for every element of `sigma` (b, c, ...), interpolated between `KNOTS` levels (a map has many voxels)."""
        low, high = self.range
        knots = torch.linspace(low, high, KNOTS, device=sigma.device)
        with torch.autocast(sigma.device.type, enabled=False):
            u = self.last(self.layers(knots[:, None] / 2))
        place = ((sigma.log() - low) / (high - low)).clamp(0, 1) * (KNOTS - 1)
        left = place.long().clamp(max=KNOTS - 2)
        channel = torch.arange(sigma.shape[1], device=sigma.device).reshape(1, -1, *[1] * (sigma.ndim - 2))
        return torch.lerp(u[left, channel], u[left + 1, channel], place - left)


class DenoiserTraining(lightning.LightningModule):
    """Trains `Preconditioned(HaarUNet)` on patches whose targets may be noisy.

    What has `requires_grad` when the run starts is trained and averaged; the rest stays (a fine-tune's frozen weights).

    Args:
        config: The run.
        kinds: Values of the condition `kind`.
        sigma_data: Standard deviation of the patches, one for all channels or one each.
        mean_data: Mean that the denoiser takes off, one a channel; None: 0.

    Attributes:
        denoiser: The network that trains.
        ema: Its averages.
        average: Which average ships, in words, once it is chosen.
    """

    def __init__(
        self,
        config: TrainingConfig,
        kinds: tuple[str, ...],
        sigma_data: float | Sequence[float],
        mean_data: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.denoiser = Preconditioned(
            HaarUNet(network_config(config, kinds)),
            torch.tensor(sigma_data).expand(config.network.channels),
            config.noise.sigma_min,
            config.noise.sigma_max,
            None if mean_data is None else torch.tensor(mean_data),
            [channel > 0 for channel in range(config.network.channels)],
        )
        if config.start_from is not None:
            start_from(self.denoiser, config.start_from, grow=config.method != "lora")
        if config.method == "lora":
            add_low_rank(self.denoiser.network, config.lora_rank, config.seed)
        self.denoiser.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.ema = WeightAverages(self.denoiser, config.optimiser.ema)
        self.guard = Guard(config.guard)
        self.average = ""
        self.level_weight = LevelWeight(config.noise.sigma_min, config.noise.sigma_max, config.network.channels)
        self.colour_weight = nn.Linear(6, 1, bias=False)  # coloured noise leaves more error at the same level
        nn.init.zeros_(self.colour_weight.weight)
        self.maps = MapDistribution(
            tuple(LevelRange(part.low, part.high, part.weight) for part in config.noise.levels),
            config.noise.sigma_min,
            config.noise.sigma_max,
            config.noise.p_constant,
        )
        self._figures: list[Tensor] = []
        self._patches: list[str] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of one micro-batch; what is random depends on the seed, the step and the patches' numbers alone."""
        target, tau, observed = batch["target"], batch["tau"], batch.get("observed")
        taught = batch.get("taught")
        numbers = self._numbers(batch, batch_idx)
        drawn = draw_batch(self.maps, target, numbers, self.config.seed, self.global_step, observed, taught)
        pairs, correlation = corrupt_patches(target, tau, drawn, self.config.noise.p_coloured)
        y, total = torch.cat([p.y for p in pairs]), torch.cat([p.level for p in pairs])
        told = told_conditions(batch, drawn, self.config.data.condition_dropout)
        nothing = (drawn.keep[:, 2] < P_UNKNOWN_COLOUR)[:, None]
        told[NOISE_CORRELATION] = torch.where(nothing, float("nan"), correlation)
        unknown = (drawn.keep[:, 1] < P_UNKNOWN_SPACING)[:, None]
        spacing = torch.where(unknown, float("nan"), batch["spacing_mm"])
        level = torch.where(drawn.level >= self.denoiser.sigma_max, torch.inf, total)  # nothing is observed there
        denoised, log_odds = self.denoiser.with_log_odds(y, level, spacing, told)
        error = torch.cat(
            [
                denoising_error(denoised.mean[i : i + 1], pair, target[i : i + 1], self.denoiser.sigma_data)
                for i, pair in enumerate(pairs)
            ]
        )
        masks = self.denoiser.masks
        if log_odds is not None:
            error = torch.where(masks, mask_error(log_odds, target), error)
        known = torch.ones_like(tau) if observed is None else observed * (1 if taught is None else taught)
        clean = (tau == 0).to(target) * known * ~masks  # a mask's variance follows from its mean
        u = self.level_weight(total.float()) + self.colour_weight(correlation)[:, :, None, None, None]
        u = torch.where(masks, 0, u)
        relative = torch.cat(
            [
                expected_error(
                    denoised.log_variance[i : i + 1], pair, tau[i : i + 1], u[i : i + 1], self.denoiser.sigma_data
                )
                for i, pair in enumerate(pairs)
            ]
        )
        relative = torch.where(masks, 1, relative)
        reweighted = (known * error * torch.exp(-u.detach()) / relative).mean()
        learn_u = ((error.detach() * torch.exp(-u) + u) * clean).mean()
        # times the share of clean patches: a sum over patches, so that micro-batches and processes add up to the whole
        variance = clean.mean() * log_variance_loss(denoised, target, clean)
        loss = reweighted + learn_u + 0.1 * variance
        if self.config.class_balance > 0:
            slots = cast(HaarUNet, self.denoiser.network).config.slots
            other = self.denoiser(y, level, spacing, balanced_conditions(told, slots, drawn)).mean
            span = (self.denoiser.sigma_min, self.denoiser.sigma_max)
            apart = class_balancing_error(denoised.mean, other, total, self.denoiser.sigma_data, span)
            loss = loss + self.config.class_balance * (known * apart * torch.exp(-u.detach())).mean()
        self._figures.append(torch.stack([loss.detach(), (known * error.detach()).mean(), reweighted.detach()]))
        if not bool(torch.isfinite(loss)):
            self._patches.append(f"patches {_listed(numbers)}, {_sources(batch, self.denoiser)}")
            return loss + denoised.mean.mean() * float("nan")  # the gradient of every process must show it
        return loss

    def _numbers(self, batch: dict[str, Any], batch_idx: int) -> list[int]:
        """The patches' numbers in the run; a loader that does not say gives them in the order of Contract 2."""
        if "number" in batch:
            return batch["number"].tolist()
        micro, steps = batch["target"].shape[0], self.config.scale.accumulate
        trainer = self.trainer
        first = self.global_step * micro * steps * trainer.world_size
        first += (batch_idx % steps * trainer.world_size + trainer.global_rank) * micro
        return list(range(first, first + micro))

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Judge and clip the gradient of the whole step; leave the update out where it is a spike."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        clip = self.config.optimiser.clip
        if self._sharded:
            norm = self.trainer.model.clip_grad_norm_(clip)  # type: ignore[union-attr, operator]
        else:
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        norm = float(norm)
        self._log_step(norm)
        where = f"step {self.global_step + 1}"
        if not math.isfinite(norm):
            of_every_process = [words for words in gathered("; ".join(self._patches)) if words]
            where += f" ({'; '.join(of_every_process) or 'the loss is finite, its gradient is not'})"
        self._patches.clear()
        reason = self.guard.skip(norm, where)
        if reason is not None:
            say(f"warning: {where}: the update is left out, {reason} ({self.guard.skipped} so far).")
            for parameter in parameters:
                parameter.grad = None

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Done with the guard, which needs the norm too."""

    def _log_step(self, norm: float) -> None:
        figures = mean_over_processes(torch.stack(self._figures).mean(dim=0))
        self._figures.clear()
        for name, value in zip(("loss", "error", "reweighted"), figures, strict=True):
            self.log(f"train/{name}", value, prog_bar=name != "loss")
        self.log("train/gradient", norm)
        self.log("train/skipped", float(self.guard.skipped))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the averages: together, so that no checkpoint falls between them."""
        super().optimizer_step(*args, **kwargs)
        if not self._sharded:
            return self.ema.update()
        from torch.distributed.fsdp import FullyShardedDataParallel

        with FullyShardedDataParallel.summon_full_params(cast(Any, self.trainer.model), writeback=False):
            return self.ema.update()

    @property
    def _sharded(self) -> bool:
        return type(self.trainer.strategy).__name__ == "FSDPStrategy"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Averages and the guard's memory."""
        checkpoint["averages"], checkpoint["guard"] = self.ema.state_dict(), self.guard.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Averages and the guard's memory."""
        self.ema.load_state_dict(checkpoint["averages"])
        self.guard.load_state_dict(checkpoint["guard"])

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Error of the averaged weights on fixed patches of val, then of train, see `validation`."""
        split = self.trainer.datamodule.fixed_splits[dataloader_idx]  # type: ignore[attr-defined]
        for name, value in validation_figures(self.averaged, batch, batch_idx, split).items():
            self.log(name, value, prog_bar=split == "val", add_dataloader_idx=False)

    @property
    def averaged(self) -> Preconditioned:
        """The denoiser with averaged weights: what is validated, drawn and shipped."""
        return cast(Preconditioned, self.ema.module)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Of what trains, see `make_optimiser`."""
        dtype = torch.bfloat16 if self.trainer.precision == "bf16-mixed" else torch.float32
        return make_optimiser(self.named_parameters(), self.config.optimiser, dtype, self._sharded)

    def set_learning_rate(self, step: int, progress: float) -> float:
        """Set and return the rate of a step, see `learning_rate`."""
        rate = learning_rate(self.config.optimiser, step, progress)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        return rate


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _sources(batch: dict[str, Any], denoiser: Preconditioned) -> str:
    """Where the patches come from, as far as the batch tells."""
    slots = cast(HaarUNet, denoiser.network).config.slots.categorical
    values = slots["kind"].values if "kind" in slots else ()
    kinds = [values[int(i) - 1] if 0 < int(i) <= len(values) else "unknown" for i in batch["kind"]]
    return f"from {', '.join(kinds)}" + (
        "" if bool(torch.isfinite(batch["target"]).all()) else ", not finite themselves"
    )


def network_config(config: TrainingConfig, kinds: tuple[str, ...]) -> NetConfig:
    """The run's network with the condition `kind` filled in."""
    slots: ConditionSlots = config.network.slots
    categorical = {**slots.categorical, "kind": CategoricalSlot(values=kinds)}
    return config.network.model_copy(update={"slots": slots.model_copy(update={"categorical": categorical})})
