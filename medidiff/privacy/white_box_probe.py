"""A prior asked about real scans: of a scan nothing is told but its voxels, as an attacker has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from medidiff.cohort.body import body_frame
from medidiff.errors import InputError
from medidiff.nets.embedding import NOISE_CORRELATION, POSITION
from medidiff.prior import Prior
from medidiff.tiling import TiledDenoiser

EDGE = 96
"""Voxels along an axis that are looked at, in the middle of the scan: priors learn from patches no larger."""


class Probe:
    """D(x; sigma) of a prior for scans of one grid, with unknown conditions and masks that are not observed.

    Args:
        prior: The prior; one of its channels is the image.
        spacing_mm: Voxel spacing of the scans.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.

    Attributes:
        sigma_min: Lowest level that the prior knows.
        nfe: Evaluations so far.

    Raises:
        InputError: The prior is of masks alone.
    """

    def __init__(
        self, prior: Prior, spacing_mm: Sequence[float], *, device: str = "auto", precision: str = "auto"
    ) -> None:
        if "image" not in prior.card.channels:
            raise InputError(f"prior {prior.card.name}: has no image among its channels {prior.card.channels}.")
        self.prior, self.spacing_mm = prior, tuple(map(float, spacing_mm))
        denoiser = prior.denoiser(device, precision)
        self._denoise, self.device = TiledDenoiser(denoiser), denoiser.device
        self.sigma_min = prior.card.sigma_min

    @property
    def nfe(self) -> int:
        """Evaluations so far."""
        return self._denoise.nfe

    def normalised(self, image: np.ndarray) -> Tensor:
        """The middle of a scan as the prior has learned scans, (x, y, z) float32 on the CPU.

        Args:
            image: (x, y, z); of a prior with percentiles in any unit, of one with a window in the scan's own.

        Raises:
            InputError: Empty, constant, or not finite.
        """
        whole = np.asarray(image, dtype=np.float32)
        data = self.prior.card.normalisation.fit(whole).forward(whole)
        box = tuple(slice(max(0, n - EDGE) // 2, max(0, n - EDGE) // 2 + min(n, EDGE)) for n in data.shape)
        return torch.from_numpy(np.ascontiguousarray(data[box], dtype=np.float32))

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D(x; sigma) of one normalised scan (x, y, z), on the CPU."""
        told: dict[str, Tensor] = {}
        network = self.prior.card.network
        if network.position:  # as a sampler tells it: the scan fills the body
            frame = body_frame(np.diag([*self.spacing_mm, 1.0]), (0, 0, 0), tuple(x.shape))
            told[POSITION] = torch.from_numpy(frame).float()[None].to(self.device)
        if network.noise_correlation:
            told[NOISE_CORRELATION] = torch.zeros(1, 6, device=self.device)
        out = self._denoise(x.to(self.device)[None, None], float(sigma), self.spacing_mm, told or None)
        return out.mean[0, 0].cpu()


__all__ = ["EDGE", "Probe"]
