"""Small networks against what is known exactly: `python -m benchmarks.gaussian_field` (about ten minutes, one thread).

A stationary Gaussian field on a periodic grid has the Wiener filter as its best denoiser. Three networks learn it:
`clean` from clean fields, `noisy` from fields with noise of their own and the loss that allows for it, `naive` from
the same noisy fields taken for clean. The weights go to tests/data/gaussian_field.safetensors; the tests hold them
against the exact figures printed here.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from medidiff.diffusion.gaussian import wiener_denoise, wiener_error
from medidiff.diffusion.losses import corrupt, denoising_error, log_variance_loss
from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.nets.unet import HaarUNet, NetConfig

WEIGHTS = Path(__file__).resolve().parents[1] / "tests" / "data" / "gaussian_field.safetensors"
SIZE, SIGMA_DATA, TAU = 16, 0.5, 0.3
"""Voxels along each axis of the field, its standard deviation, and the noise of the noisy targets."""
LOW, HIGH = 0.1, 2.0
"""Levels that the networks are trained on."""
WIDTHS = {"clean": (16, 24), "noisy": (12, 16), "naive": (12, 16)}


def power_spectrum() -> Tensor:
    """Variance of each orthonormal Fourier coefficient: 1 / (1 + (k / k0)^2)^2, mean SIGMA_DATA^2; (x, y, z)."""
    k = torch.fft.fftfreq(SIZE, dtype=torch.float64) * SIZE
    squared = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2
    power = 1 / (1 + squared / 2.0**2) ** 2
    return power * SIGMA_DATA**2 / power.mean()


def draw_fields(n: int, generator: Generator) -> Tensor:
    """`n` fields (n, 1, x, y, z), float32."""
    white = torch.randn(n, 1, SIZE, SIZE, SIZE, generator=generator)
    axes = (-3, -2, -1)
    return torch.fft.ifftn(torch.fft.fftn(white, dim=axes) * power_spectrum().sqrt().float(), dim=axes).real


def build(name: str) -> Preconditioned:
    """The untrained network `name`, periodic like the field: zero padding would spoil the bound at the border."""
    net = HaarUNet(NetConfig(widths=WIDTHS[name], blocks=(1, 1), embedding=16))
    for module in net.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (3, 3, 3):
            module.padding_mode = "circular"
    return Preconditioned(net, torch.tensor([SIGMA_DATA]), LOW, HIGH)


def load(name: str, path: Path = WEIGHTS) -> Preconditioned:
    """The stored network `name`."""
    denoiser = build(name)
    with safe_open(path, framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(f"{name}.")]
        denoiser.load_state_dict({key.removeprefix(f"{name}."): file.get_tensor(key).float() for key in keys})
    return denoiser.eval()


def train(name: str, steps: int, batch: int = 16, rate: float = 4e-3) -> Preconditioned:
    """Train the network `name`; the same seed and steps give the same network on the same machine."""
    torch.manual_seed(0)
    generator = Generator().manual_seed(1)
    denoiser = build(name)
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.05)
    own = torch.full((batch, 1, 1, 1, 1), 0.0 if name == "clean" else TAU)
    started = time.perf_counter()
    for step in range(steps):
        target = draw_fields(batch, generator)
        target = target + own * torch.randn(target.shape, generator=generator)
        low = LOW if name == "clean" else 1.05 * TAU
        level = low * (HIGH / low) ** torch.rand(batch, 1, 1, 1, 1, generator=generator)
        noise = torch.randn(target.shape, generator=generator)
        # The naive network is given the same inputs; it takes the target for clean and the added noise for all noise.
        told, tau = (level, own) if name != "naive" else ((level**2 - own**2).sqrt(), torch.zeros_like(own))
        pair = corrupt(target, tau, told, noise)
        denoised = denoiser(pair.y, pair.level)
        loss = denoising_error(denoised.mean, pair, target, denoiser.sigma_data).mean()
        total = loss + log_variance_loss(denoised, target, (tau == 0).float())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        schedule.step()
        if step % 250 == 0 or step == steps - 1:
            print(f"{name} {step:5d} loss {float(loss.detach()):.4f} {time.perf_counter() - started:.0f} s", flush=True)
    return denoiser.eval()


@torch.no_grad()
def against_wiener(denoiser: Preconditioned, sigma: float, n: int = 32) -> dict[str, float]:
    """Mean squared errors of network and Wiener filter on the same fields, of seeds not trained on."""
    generator = Generator().manual_seed(2)
    clean = draw_fields(n, generator)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    denoised = denoiser(noisy, torch.tensor(sigma))
    best = wiener_denoise(noisy.double(), power_spectrum(), sigma)
    return {
        "network": float((denoised.mean - clean).pow(2).mean()),
        "wiener": float((best - clean).pow(2).mean()),
        "exact": wiener_error(power_spectrum(), sigma),
        "predicted": float(denoised.log_variance.exp().mean()),
    }


@torch.no_grad()
def against_noisy_target(denoiser: Preconditioned, name: str, level: float, n: int = 32) -> dict[str, float]:
    """Mean squared distance of the output to the clean field and to the noisy target it came from."""
    generator = Generator().manual_seed(3)
    clean = draw_fields(n, generator)
    target = clean + TAU * torch.randn(clean.shape, generator=generator)
    added = math.sqrt(level**2 - TAU**2)
    y = target + added * torch.randn(clean.shape, generator=generator)
    output = denoiser(y, torch.tensor(added if name == "naive" else level)).mean
    return {
        "to_clean": float((output - clean).pow(2).mean()),
        "to_noisy": float((output - target).pow(2).mean()),
        "exact": wiener_error(power_spectrum(), level),
    }


def figures(networks: dict[str, Preconditioned]) -> dict[str, dict[str, float]]:
    """All figures, by what they measure."""
    table = {f"clean sigma {s}": against_wiener(networks["clean"], s) for s in (0.2, 0.5, 1.0)}
    for name in ("noisy", "naive"):
        table |= {f"{name} level {s}": against_noisy_target(networks[name], name, s) for s in (0.4, 0.6, 1.0)}
    return table


def main() -> None:
    """Train, measure, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="of the clean network; the others take half")
    parser.add_argument("--measure", action="store_true", help="measure the stored networks, train nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.measure:
        networks = {name: load(name) for name in WIDTHS}
    else:
        networks = {name: train(name, args.steps if name == "clean" else args.steps // 2) for name in WIDTHS}
        tensors = {f"{name}.{key}": t for name, net in networks.items() for key, t in net.state_dict().items()}
        WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: t.contiguous() for key, t in tensors.items()}, WEIGHTS, {"steps": str(args.steps)})
    for what, row in figures(networks).items():
        print(what, json.dumps({key: round(value, 5) for key, value in row.items()}))


if __name__ == "__main__":
    main()
