"""A prior at work: scans of any size in, padded to what the network takes, in the precision that is fastest here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medidiff.device import pick_device
from medidiff.diffusion.preconditioning import Denoised, Preconditioned
from medidiff.nets.unet import NetConfig
from medidiff.precision import PrecisionChoice, choose_precision


class Denoiser:
    """Callable D(x; sigma) on one device.

    Args:
        model: Preconditioned network, float32.
        config: Its architecture.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        image: Which of several channels is the image.

    Attributes:
        nfe: Evaluations of a whole scan so far; a batch of b counts b. `tiling` counts a scan cut into tiles as one.
        choice: The precision and why it was chosen.

    Raises:
        DeviceError: The device is not there.
    """

    def __init__(
        self, model: Preconditioned, config: NetConfig, device: str = "auto", precision: str = "auto", image: int = 0
    ) -> None:
        self.device = pick_device(device)
        self.choice: PrecisionChoice = choose_precision(precision, self.device)
        self.config = config
        self.nfe, self._image = 0, image
        self.sigma_min, self.sigma_max = model.sigma_min, model.sigma_max
        self._model = model.to(self.device)
        if self.choice.dtype == "bf16":  # the preconditioning stays in float32
            self._model.network.to(torch.bfloat16)
        for module in self._model.network.modules():
            if isinstance(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
                module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @property
    def alignment(self) -> int:
        """Tiles must start at multiples of this many voxels."""
        return self.config.alignment

    @property
    def network(self) -> torch.nn.Module:
        """F, the raw network, in its precision; who listens to it must not change it."""
        return self._model.network

    @property
    def sigma_data(self) -> Tensor:
        """Standard deviation of the clean data, (1, c, 1, 1, 1)."""
        return self._model.sigma_data

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor | float,
        spacing_mm: Tensor | Sequence[float] | None = None,
        cond: dict[str, Tensor] | None = None,
    ) -> Denoised:
        """Estimate the clean scan.

        Args:
            x: Noisy, normalised scan (b, c, x, y, z) of any size; it is padded at the far ends and cropped back. One
                channel for a prior of several is its image: the others are not observed, and not returned.
            sigma: Noise standard deviation: a number, or a map broadcastable to `x`; infinite: nothing is observed.
            spacing_mm: Voxel spacing, (3,) or (b, 3); None where unknown.
            cond: Conditions by name, see `HaarUNet`.

        Returns:
            Mean and log error variance, (b, c, x, y, z), float32, on the denoiser's device.
        """
        x = x.to(self.device, torch.float32)
        sigma = torch.as_tensor(sigma, dtype=torch.float32).to(self.device)
        alone = x.shape[1] == 1 < self.config.channels
        if alone:
            x, sigma = self._beside_unobserved(x, sigma)
        spatial = tuple(x.shape[2:])
        spacing = None if spacing_mm is None else self._spacing(spacing_mm, x.shape[0])
        cond = {k: v.to(self.device) for k, v in (cond or {}).items()}
        x = pad_far(x, self.alignment)
        if sigma.ndim and tuple(sigma.shape[-3:]) != (1, 1, 1):  # a map, not one level per scan or channel
            sigma = pad_far(sigma.expand(*x.shape[:2], *spatial), self.alignment)
        cond = {k: pad_far(v, self.alignment) if v.ndim == 5 else v for k, v in cond.items()}
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.choice.dtype == "bf16")
        with torch.inference_mode(), autocast:
            out = self._model(x, sigma, spacing, cond)
        self.nfe += x.shape[0]
        channels = slice(self._image, self._image + 1) if alone else slice(None)
        crop = (slice(None), channels, *(slice(0, n) for n in spatial))
        return Denoised(out.mean[crop], out.log_variance[crop])

    def _beside_unobserved(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """An image as one of several channels, of which nothing is observed (`preconditioning.unobserved_channels`)."""
        shape = (x.shape[0], self.config.channels, *x.shape[2:])
        whole = x.new_zeros(shape)
        whole[:, self._image] = x[:, 0]
        level = sigma.reshape(1, 1, 1, 1, 1) if sigma.ndim == 0 else sigma
        levels = torch.full((level.shape[0], shape[1], *level.shape[2:]), torch.inf, device=x.device)
        levels[:, self._image] = level[:, 0]
        return whole, levels

    def _spacing(self, spacing_mm: Tensor | Sequence[float], batch: int) -> Tensor:
        values = torch.as_tensor(spacing_mm, dtype=torch.float32).to(self.device)
        return values.expand(batch, 3)


def pad_far(x: Tensor, multiple: int) -> Tensor:
    """Pad the far end of every spatial axis to a multiple: by reflection, or the last value where that is too short.

    The near end stays, so that the grid of the network's coarse levels starts at the scan's own origin.
    """
    for axis in (2, 3, 4):
        size = x.shape[axis]
        extra = -size % multiple
        if extra:
            index = torch.arange(size + extra, device=x.device)
            mirrored = torch.where(index < size, index, 2 * size - 1 - index) if extra <= size else index
            x = x.index_select(axis, mirrored.clamp(0, size - 1))
    return x


__all__ = ["Denoiser", "pad_far"]
