"""Tiles against the whole scan: `python -m benchmarks.tiles`, the shipped prior on a head phantom, no data needed."""

from __future__ import annotations

import torch

from medidiff.phantoms import head_phantom
from medidiff.prior import Prior
from medidiff.tiling import denoise_tiled

LEVELS = (0.06, 0.18, 0.3, 1.0)
TILE = (64, 64, 64)


def main() -> None:
    """Print rms and largest difference in percent of the noise level."""
    phantom = head_phantom((112, 112, 96), seed=900_100)
    prior = Prior.load("general")
    denoiser = prior.denoiser("cpu")
    clean = torch.from_numpy(prior.card.normalisation.fit(phantom.data).forward(phantom.data))[None, None].float()
    print(f"tiles of {TILE} against the whole {tuple(clean.shape[2:])}, {denoiser.choice.dtype}")
    print("| level, normalised | rms, % of level | largest, % of level |\n|---|---|---|")
    for level in LEVELS:
        y = clean + level * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        whole = denoiser(y, level, phantom.spacing_mm).mean
        tiled = denoise_tiled(denoiser, y, torch.tensor(level), tile=TILE, spacing_mm=phantom.spacing_mm).mean
        difference = (tiled - whole) / level * 100
        print(f"| {level:g} | {float(difference.square().mean().sqrt()):.2f} | {float(difference.abs().max()):.1f} |")


if __name__ == "__main__":
    main()
