"""MONAI's AutoencoderKL as a sampler: a Gaussian fitted to the latent means of the train scans, then the decoder.

A standard normal latent gives noise unless the KL term is so strong that nothing is left to decode; the fitted
Gaussian (its covariance has the rank of the train set) is the sampler that works at every weight, so it is used.
Three levels and the KL weight of MONAI's 3D tutorial, without its adversarial and perceptual terms (the
latter is a download). L1 as there for the scan, squared error for the labels: under L1 labels that are rare stayed
absent (none after 208 steps).
"""

from __future__ import annotations

from pathlib import Path

import torch
from monai.networks.nets.autoencoderkl import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from benchmarks._synthesis_data import Pairs
from benchmarks._synthesis_peer import CHANNELS, Sampler, batch_of, channels_of, weights_of
from benchmarks._synthesis_train import Budget, Spent, autocast, cosine, train

WIDTHS, LATENT, BATCH, RATE, KL_WEIGHT = (16, 32, 64), 8, 2, 1e-3, 1e-6


def vae_net() -> AutoencoderKL:
    """Latents of a quarter of the sides, no attention."""
    return AutoencoderKL(
        spatial_dims=3,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        channels=WIDTHS,
        latent_channels=LATENT,
        num_res_blocks=1,
        norm_num_groups=8,
        attention_levels=(False, False, False),
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
    )


class LatentGaussianSampler:
    """Decodes mean + centred latents * random weights / sqrt(n - 1): a Gaussian with the latents' own covariance."""

    nfe = 1

    def __init__(self, net: AutoencoderKL, data: Tensor) -> None:
        self.net, self.note = net.eval(), f"AutoencoderKL, Gaussian fitted to its latents ({weights_of(net)})"
        with torch.inference_mode(), autocast():
            latents = torch.stack([net.encode(scan[None])[0][0].float() for scan in data])
        self.mean = latents.mean(dim=0)
        self.centred = (latents - self.mean) / (len(latents) - 1) ** 0.5

    def sample(self, seed: int) -> Tensor:
        weights = torch.randn(len(self.centred), generator=torch.Generator().manual_seed(seed))
        latent = self.mean + torch.einsum("n,ncxyz->cxyz", weights, self.centred)
        with torch.inference_mode(), autocast():
            return self.net.decode(latent[None])[0].float()


def train_vae(pairs: Pairs, budget: Budget, seed: int, checkpoint: Path) -> tuple[Sampler, Spent]:
    """See `Peer`."""
    torch.manual_seed(seed)
    data, net = channels_of(pairs), vae_net()
    optimiser = torch.optim.Adam(net.parameters(), RATE)

    def step(number: int, progress: float) -> None:
        cosine(optimiser, RATE, progress)
        batch = batch_of(data, BATCH, seed, number)
        with autocast():
            made, mean, std = net(batch)
        mean, std = mean.float(), std.float()
        kl = 0.5 * (mean**2 + std**2 - 2 * torch.log(std) - 1).flatten(1).sum(dim=1).mean()
        optimiser.zero_grad()
        made = made.float()
        (F.l1_loss(made[:, :1], batch[:, :1]) + F.mse_loss(made[:, 1:], batch[:, 1:]) + KL_WEIGHT * kl).backward()
        optimiser.step()

    spent = train({"net": net, "optimiser": optimiser}, step, budget, checkpoint, seed)
    return LatentGaussianSampler(net, data), spent
