"""Coloured noise: white noise through a power spectrum, and what the prior is told of it.

A power spectrum is a tensor on the rfft grid of a volume, (x, y, z // 2 + 1), with mean 1 over all frequencies, so that
filtered white noise keeps unit variance. It is told to a denoiser as six correlations: one and two voxels apart, along
each axis (x1, x2, y1, y2, z1, z2). They can be measured on any scan and name no kernel.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

Shape = tuple[int, int, int]


def frequencies(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Cycles per voxel along each axis, broadcastable to the rfft grid of `shape`."""
    x, y, z = shape
    fx = torch.fft.fftfreq(x)[:, None, None]
    fy = torch.fft.fftfreq(y)[None, :, None]
    return fx, fy, torch.fft.rfftfreq(z)[None, None, :]


def normalised(power: Tensor, shape: Shape) -> Tensor:
    """The spectrum scaled to mean 1 over all frequencies."""
    return power / torch.fft.irfftn(power.to(torch.complex64), s=shape)[0, 0, 0].clamp_min(1e-12)


def gaussian_power(shape: Shape, widths: tuple[float, float, float]) -> Tensor:
    """Spectrum of white noise blurred by a Gaussian kernel.

    Args:
        shape: The volume.
        widths: Standard deviation of the kernel in voxels along each axis; 0 leaves it white along that axis.
    """
    exponent = sum((2 * math.pi * s * f) ** 2 for s, f in zip(widths, frequencies(shape), strict=True))
    return normalised(torch.exp(-torch.as_tensor(exponent)), shape)


def correlations(power: Tensor, shape: Shape) -> Float[Tensor, " 6"]:
    """Correlation of the noise one and two voxels apart along x, y and z, by the Wiener-Khinchin theorem."""
    covariance = torch.fft.irfftn(power.to(torch.complex64), s=shape)
    near = []
    for axis in range(3):
        for lag in (1, 2):
            place = [0, 0, 0]
            place[axis] = lag % shape[axis]
            near.append(covariance[tuple(place)])
    return torch.stack(near) / covariance[0, 0, 0]


def colour(white: Float[Tensor, "... x y z"], power: Tensor) -> Float[Tensor, "... x y z"]:
    """White noise of unit variance made to have the spectrum `power`, periodic at the borders."""
    spectrum = torch.fft.rfftn(white, dim=(-3, -2, -1)) * power.clamp_min(0).sqrt().to(white.device)
    return torch.fft.irfftn(spectrum, s=tuple(white.shape[-3:]), dim=(-3, -2, -1))


def draw_power(shape: Shape, generator: Generator) -> Tensor:
    """A spectrum as scanners and their software make them, for training.

    Half are Gaussian kernels (in a plane, equal along all axes, or different), then windows in k-space (zero filling,
    Hann), linear interpolation, and CT kernels (a ramp that rolls off, in a plane). Every second one has a white floor.
    """
    order = torch.randperm(3, generator=generator).tolist()
    f = frequencies(shape)
    chosen = [f[axis] for axis in order]
    draw = (_gaussian, _gaussian, _gaussian, _window, _interpolation, _ct)[int(_integer(6, generator))]
    power = normalised(draw(chosen, generator).expand(*shape[:2], shape[2] // 2 + 1), shape)
    if _uniform(0, 1, generator) < 0.5:
        floor = _uniform(0, 0.3, generator)
        power = floor + (1 - floor) * power
    return power


def _uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _integer(n: int, generator: Generator) -> int:
    return int(torch.randint(n, (), generator=generator))


def _gaussian(f: list[Tensor], generator: Generator) -> Tensor:
    kind, s = _uniform(0, 1, generator), _uniform(0.25, 1.3, generator)
    widths = [s, s, 0.0] if kind < 0.5 else [s, s, s]
    if kind > 0.75:
        widths = [_uniform(0, 1.3, generator) for _ in range(3)]
    return torch.exp(-sum((2 * math.pi * w * g) ** 2 for w, g in zip(widths, f, strict=True)))  # type: ignore[arg-type]


def _window(f: list[Tensor], generator: Generator) -> Tensor:
    """Zero filling or a Hann window in k-space along one to three axes."""
    hann = _uniform(0, 1, generator) < 0.5
    power = torch.ones(1, 1, 1)
    for g in f[: 1 + _integer(3, generator)]:
        cut = _uniform(0.25, 0.5, generator) * (1.6 if hann else 1.0)
        amplitude = torch.cos(math.pi / 2 * (g / cut).clamp(-1, 1)) ** 2 if hann else (g.abs() <= cut).float()
        power = power * amplitude**2
    return power


def _interpolation(f: list[Tensor], generator: Generator) -> Tensor:
    """Linear interpolation by a fixed fraction of a voxel along one to three axes."""
    power = torch.ones(1, 1, 1)
    for g in f[: 1 + _integer(3, generator)]:
        share = _uniform(0.1, 0.5, generator)
        power = power * (1 - 2 * share * (1 - share) * (1 - torch.cos(2 * math.pi * g)))
    return power


def _ct(f: list[Tensor], generator: Generator) -> Tensor:
    """Filtered back projection: the ramp times a kernel that rolls off, in a plane; slices may share noise."""
    radius = (f[0] ** 2 + f[1] ** 2).sqrt()
    roll_off = torch.exp(-((radius / _uniform(0.12, 0.4, generator)) ** 2))
    along = torch.exp(-((2 * math.pi * _uniform(0, 0.8, generator) * f[2]) ** 2))
    return (radius + 0.01) ** _uniform(0.5, 1.0, generator) * roll_off * along


__all__ = ["colour", "correlations", "draw_power", "frequencies", "gaussian_power", "normalised"]
