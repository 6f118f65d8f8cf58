"""MONAI's DiffusionModelUNet after its 3D tutorial (generation/3d_ddpm), sampled with DDIM in 50 steps.

From the tutorial: three levels of two residual blocks, attention with one head at the last, 1000 steps of the
scaled-linear schedule from 0.0005 to 0.0195, noise prediction, mean squared error, Adam, no average of weights.
Not from it, each to the peer's advantage: its 256, 256 and 512 channels would see a handful of scans in a budget of CPU
minutes, so there are 16, 32 and 64 (0.45 s a scan on one core; 32, 64 and 128 take 1.1 s) and the learning rate is that
of a narrow network; clipping is to the range of the train scans and not to [-1, 1], which would cut every bright voxel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from monai.networks.schedulers.ddim import DDIMScheduler
from monai.networks.schedulers.ddpm import DDPMScheduler
from torch import Tensor
from torch.nn import functional as F

from benchmarks._synthesis_data import WINDOW, Pairs
from benchmarks._synthesis_peer import CHANNELS, Sampler, batch_of, channels_of, weights_of
from benchmarks._synthesis_train import Budget, Spent, autocast, train

WIDTHS, BATCH, RATE, DDIM_STEPS = (16, 32, 64), 2, 2e-4, 50
_SCHEDULE = {"num_train_timesteps": 1000, "schedule": "scaled_linear_beta", "beta_start": 0.0005, "beta_end": 0.0195}


def ddpm_net(widths: tuple[int, int, int] = WIDTHS) -> DiffusionModelUNet:
    """The tutorial's network, narrower; three levels."""
    return DiffusionModelUNet(
        spatial_dims=3,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        channels=widths,
        attention_levels=(False, False, True),
        num_head_channels=(0, 0, widths[-1]),  # one head
        num_res_blocks=2,
        norm_num_groups=min(32, widths[0] // 4),
    )


class DdimSampler:
    """DDIM (Song et al. 2021) from a trained network."""

    nfe = DDIM_STEPS

    def __init__(self, net: DiffusionModelUNet, low: float, high: float) -> None:
        self.net, self.note = net.eval(), f"DDPM, DDIM {DDIM_STEPS} ({weights_of(net)})"
        self.scheduler = DDIMScheduler(**_SCHEDULE, clip_sample=True, clip_sample_min=low, clip_sample_max=high)
        self.scheduler.set_timesteps(DDIM_STEPS)

    def sample(self, seed: int) -> Tensor:
        x = torch.randn(1, CHANNELS, *WINDOW, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            for t in self.scheduler.timesteps:
                with autocast():
                    noise = self.net(x, torch.tensor([int(t)]))
                x, _ = self.scheduler.step(noise.float(), int(t), x)
        return x[0]


def train_ddpm(pairs: Pairs, budget: Budget, seed: int, checkpoint: Path) -> tuple[Sampler, Spent]:
    """See `Peer`."""
    torch.manual_seed(seed)
    data, net = channels_of(pairs), ddpm_net()
    net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # a tenth to a third faster
    scheduler, optimiser = DDPMScheduler(**_SCHEDULE), torch.optim.Adam(net.parameters(), RATE)

    def step(number: int, _progress: float) -> None:
        batch = batch_of(data, BATCH, seed, number)
        noise = torch.randn_like(batch)
        t = torch.from_numpy(np.random.default_rng([seed, number, 1]).integers(0, 1000, BATCH))
        with autocast():
            predicted = net(scheduler.add_noise(batch, noise, t), t)
        optimiser.zero_grad()
        F.mse_loss(predicted.float(), noise).backward()
        optimiser.step()

    spent = train({"net": net, "optimiser": optimiser}, step, budget, checkpoint, seed)
    return DdimSampler(net, float(data.min()), float(data.max())), spent
