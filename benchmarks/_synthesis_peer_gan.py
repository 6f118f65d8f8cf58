"""A 3D GAN: transposed convolutions after DCGAN, hinge loss, spectral norm in the critic, averaged generator.

Sources: Radford et al. 2016 (architecture); Lim and Ye 2017 (hinge); Miyato et al. 2018 (spectral norm, rates).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from benchmarks._synthesis_data import WINDOW, Pairs
from benchmarks._synthesis_peer import CHANNELS, Sampler, batch_of, channels_of, weights_of
from benchmarks._synthesis_train import Budget, Spent, autocast, train

LATENT, BATCH, RATE, EMA = 128, 8, 2e-4, 0.995
_START = tuple(n // 8 for n in WINDOW)


class Generator(nn.Module):
    """Latent (n, LATENT) to scans (n, CHANNELS, *WINDOW): a linear layer, three doublings, a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(LATENT, 128 * _START[0] * _START[1] * _START[2])
        layers: list[nn.Module] = []
        for inside, outside in ((128, 64), (64, 32), (32, 16)):
            layers += [nn.GroupNorm(8, inside), nn.ReLU(), nn.ConvTranspose3d(inside, outside, 4, 2, 1)]
        self.rest = nn.Sequential(*layers, nn.GroupNorm(8, 16), nn.ReLU(), nn.Conv3d(16, CHANNELS, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        return self.rest(self.first(z).unflatten(1, (128, *_START)))


class Critic(nn.Module):
    """Scans to one score each."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in ((CHANNELS, 16), (16, 32), (32, 64), (64, 128)):
            layers += [spectral_norm(nn.Conv3d(inside, outside, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.rest = nn.Sequential(*layers, nn.Flatten(), spectral_norm(nn.Linear(128 * 2 * 3 * 2, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(x)[:, 0]


class GanSampler:
    """The averaged generator."""

    nfe = 1

    def __init__(self, generator: Generator) -> None:
        self.generator, self.note = generator.eval(), f"DCGAN-like, hinge, spectral norm ({weights_of(generator)})"

    def sample(self, seed: int) -> Tensor:
        z = torch.randn(1, LATENT, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode(), autocast():
            return self.generator(z)[0].float()


def train_gan(pairs: Pairs, budget: Budget, seed: int, checkpoint: Path) -> tuple[Sampler, Spent]:
    """See `Peer`. A step is one of the critic and one of the generator."""
    torch.manual_seed(seed)
    data, generator, averaged, critic = channels_of(pairs), Generator(), Generator(), Critic()
    averaged.load_state_dict(generator.state_dict())
    optimisers = [torch.optim.Adam(net.parameters(), RATE, betas=(0.0, 0.9)) for net in (generator, critic)]

    def step(number: int, _progress: float) -> None:
        real = batch_of(data, BATCH, seed, number)
        with autocast():
            made = generator(torch.randn(BATCH, LATENT))
            of_real, of_made = critic(real).float(), critic(made.detach()).float()
        optimisers[1].zero_grad()
        (F.relu(1 - of_real) + F.relu(1 + of_made)).mean().backward()
        optimisers[1].step()
        with autocast():
            score = critic(made).float()
        optimisers[0].zero_grad()
        (-score.mean()).backward()
        optimisers[0].step()
        keep = min(EMA, (number + 1) / (number + 10))
        with torch.no_grad():
            for own, latest in zip(averaged.parameters(), generator.parameters(), strict=True):
                own.lerp_(latest, 1 - keep)

    parts: dict[str, nn.Module | torch.optim.Optimizer] = {
        "net": generator, "averaged": averaged, "critic": critic, "of_net": optimisers[0], "of_critic": optimisers[1]
    }  # fmt: skip
    spent = train(parts, step, budget, checkpoint, seed)
    return GanSampler(averaged), spent
