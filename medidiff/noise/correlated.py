"""Correlated noise: unit noise of a given spectrum times the level, and what its neighbours have in common.

Scanners and their software correlate the noise of neighbouring voxels: filters and zero filling in k-space, resampling
to another grid, the reconstruction kernel of CT. A kernel here is a power spectrum. Conventions as in
`medidiff/diffusion/colour.py`: on the rfft grid of a volume, (x, y, z // 2 + 1), with mean 1 over all frequencies, so
filtered white noise keeps unit variance at every voxel, exactly; the noise is periodic at the borders. The level stays
the marginal standard deviation of a voxel, a number or a map: noise = level * (unit coloured noise).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import scipy.fft
from jaxtyping import Float, Shaped

from medidiff.errors import NoiseError
from medidiff.noise.gaussian import check_level, in_type, scaled

Shape = tuple[int, int, int]
Widths = tuple[float, float, float]


@runtime_checkable
class Kernel(Protocol):
    """Anything with a power spectrum, up to a factor, at frequencies in cycles per voxel."""

    def power(self, fx: np.ndarray, fy: np.ndarray, fz: np.ndarray) -> np.ndarray:
        """The spectrum at frequencies that broadcast to the grid."""
        ...


@dataclass(frozen=True)
class GaussianKernel:
    """White noise blurred by a Gaussian kernel: power exp(-sum_i (2 pi s_i f_i)^2).

    Args:
        widths: Standard deviation of the kernel in voxels along x, y, z; 0 leaves it white along that axis.
    """

    widths: Widths

    def __post_init__(self) -> None:
        _check("widths", self.widths, 0, 50, "voxels")

    def power(self, fx: np.ndarray, fy: np.ndarray, fz: np.ndarray) -> np.ndarray:
        """The square of the kernel's Fourier transform."""
        return np.exp(-sum((2 * np.pi * s * f) ** 2 for s, f in zip(self.widths, (fx, fy, fz), strict=True)))


@dataclass(frozen=True)
class KSpaceWindow:
    """k-space filled up to a share of its range and zero beyond (zero filling), or tapered to zero there.

    Args:
        kept: Share of the frequencies that was measured along x, y, z, over 0 to 1; 1 is all of them.
        taper: none: measured frequencies as they are. hann: falling to zero at the edge, cos^2(pi/2 f / edge), along
            the axes with less than all frequencies or not (an axis with `kept` 1 falls to zero at the Nyquist
            frequency).
    """

    kept: Widths
    taper: Literal["none", "hann"] = "none"

    def __post_init__(self) -> None:
        _check("kept", self.kept, 0.05, 1, "of the frequencies")

    def power(self, fx: np.ndarray, fy: np.ndarray, fz: np.ndarray) -> np.ndarray:
        """1 inside the window (or its taper squared), 0 outside."""
        result = np.ones((1, 1, 1))
        for share, f in zip(self.kept, (fx, fy, fz), strict=True):
            edge = share / 2
            if self.taper == "hann":
                result = result * np.cos(np.pi / 2 * np.clip(f / edge, -1, 1)) ** 4
            else:
                result = result * (np.abs(f) <= edge * (1 + 1e-9))
        return result


@dataclass(frozen=True)
class LinearInterpolation:
    """A scan resampled linearly to a grid displaced by a fixed share of a voxel: power 1 - 2a(1-a)(1 - cos 2 pi f).

    Args:
        shift: Displacement along x, y, z in voxels, from 0 (none) to 1; 0.5 correlates the most.
    """

    shift: Widths

    def __post_init__(self) -> None:
        _check("shift", self.shift, 0, 1, "voxels")

    def power(self, fx: np.ndarray, fy: np.ndarray, fz: np.ndarray) -> np.ndarray:
        """|(1 - a) + a exp(2 pi i f)|^2 along each axis."""
        result = np.ones((1, 1, 1))
        for a, f in zip(self.shift, (fx, fy, fz), strict=True):
            result = result * (1 - 2 * a * (1 - a) * (1 - np.cos(2 * np.pi * f)))
        return result


@dataclass(frozen=True)
class CtKernel:
    """Filtered back projection in a plane: power f exp(-(f / roll_off)^2), with f the radius in the x-y plane.

    The ramp makes the noise of CT rise with frequency before the kernel cuts it off (Riederer, Pelc and Chesler 1978:
    power proportional to |G(f)|^2 / f, with G the ramp times the kernel's window).

    Args:
        roll_off: Frequency in cycles per voxel where the kernel has cut the power to 1/e: 0.1 (smooth) to 0.5 (sharp).
        width_z: Slices that share noise, as the standard deviation of a Gaussian kernel along z in voxels.
    """

    roll_off: float = 0.25
    width_z: float = 0.0

    def __post_init__(self) -> None:
        _check("roll_off", (self.roll_off,), 0.02, 10, "cycles per voxel")
        _check("width_z", (self.width_z,), 0, 50, "voxels")

    def power(self, fx: np.ndarray, fy: np.ndarray, fz: np.ndarray) -> np.ndarray:
        """The ramp, rolled off; 0.01 keeps a little at frequency zero, as the finite scan does."""
        radius = np.sqrt(fx**2 + fy**2)
        along = np.exp(-((2 * np.pi * self.width_z * fz) ** 2))
        return (radius + 0.01) * np.exp(-((radius / self.roll_off) ** 2)) * along


def power_spectrum(kernel: Kernel, shape: Shape) -> Float[np.ndarray, "x y h"]:
    """Spectrum of the noise on the rfft grid of a volume, (x, y, z // 2 + 1), mean 1 over all frequencies."""
    half = (np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2]))
    power = np.broadcast_to(kernel.power(*np.ix_(*half)), tuple(map(len, half)))
    twice = np.full(len(half[2]), 2.0)  # frequencies of the rfft grid that stand for their mirror image too
    twice[0] = 1
    if shape[2] % 2 == 0:
        twice[-1] = 1
    return power * (np.prod(shape) / (power * twice).sum())


def full_spectrum(kernel: Kernel, shape: Shape) -> Float[np.ndarray, "x y z"]:
    """Spectrum on the whole FFT grid of a volume, mean 1.

    BM4D takes this times noise_std^2 times the number of voxels as its `sigma_psd`.
    """
    power = np.broadcast_to(kernel.power(*np.ix_(*map(np.fft.fftfreq, shape))), shape)
    return power / power.mean()


def kernel_correlations(kernel: Kernel, shape: Shape = (64, 64, 64)) -> tuple[float, ...]:
    """Correlation of the noise of two voxels one and two apart: (x1, x2, y1, y2, z1, z2), by Wiener-Khinchin.

    Args:
        kernel: Shape of the noise.
        shape: The volume it is made on; exact for it. The default is as good as infinite for kernels of a few voxels.
    """
    covariance = np.asarray(scipy.fft.irfftn(power_spectrum(kernel, shape), s=shape))
    near = []
    for axis, lag in itertools.product(range(3), (1, 2)):
        place = [0, 0, 0]
        place[axis] = lag % shape[axis]
        near.append(float(covariance[tuple(place)] / covariance[0, 0, 0]))
    return tuple(near)


def measured_correlations(
    noise: Float[np.ndarray, "x y z"], where: Shaped[np.ndarray, "x y z"] | None = None
) -> tuple[float, ...]:
    """The same six correlations of a noise volume with mean zero; `where` (bool) are the voxels to take."""
    weight = np.ones(noise.shape, bool) if where is None else where
    near = []
    for axis, lag in itertools.product(range(3), (1, 2)):
        if noise.shape[axis] <= lag:
            near.append(float("nan"))
            continue
        one = (*(slice(None),) * axis, slice(lag, None))
        two = (*(slice(None),) * axis, slice(None, -lag))
        both = weight[one] & weight[two]
        a, b = noise[one][both].astype(np.float64), noise[two][both].astype(np.float64)
        near.append(float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())))
    return tuple(near)


def unit_noise(shape: Shape, kernel: Kernel, rng: np.random.Generator) -> Float[np.ndarray, "x y z"]:
    """Noise of the kernel's spectrum with unit variance at every voxel, float32."""
    spectrum = np.asarray(scipy.fft.rfftn(rng.standard_normal(shape, dtype=np.float32)))
    spectrum *= np.sqrt(power_spectrum(kernel, shape)).astype(np.float32)
    return np.asarray(scipy.fft.irfftn(spectrum, s=shape, overwrite_x=True))


def add_correlated(
    clean: Shaped[np.ndarray, "x y z"],
    noise_std: float | Float[np.ndarray, "x y z"],
    rng: np.random.Generator,
    kernel: Kernel,
) -> Shaped[np.ndarray, "x y z"]:
    """The scan with Gaussian noise added whose neighbours correlate.

    Args:
        clean: Noise-free scan. A scan of whole numbers comes back in its type, rounded.
        noise_std: Standard deviation of every voxel in the scan's unit, whatever the kernel; one number or a map.
        rng: Source of randomness.
        kernel: How the noise correlates: GaussianKernel, KSpaceWindow, LinearInterpolation, CtKernel or your own.

    Raises:
        NoiseError: The level is negative or not finite, or its map has another shape than the scan.
    """
    check_level(noise_std, clean.shape)
    shape = (clean.shape[0], clean.shape[1], clean.shape[2])
    return in_type(clean + scaled(unit_noise(shape, kernel, rng), noise_std), clean.dtype)


def add_correlated_rician(
    clean: Shaped[np.ndarray, "x y z"],
    noise_std: float | Float[np.ndarray, "x y z"],
    rng: np.random.Generator,
    kernel: Kernel,
) -> Shaped[np.ndarray, "x y z"]:
    """The magnitude of a complex scan whose real and imaginary noise is correlated as `add_correlated` makes it.

    Where the signal is strong, the noise of the magnitude correlates by the kernel's r; where there is none, by less
    (about r^2, as powers of Gaussian variables do).

    Args:
        clean: Noise-free scan, not negative. A scan of whole numbers comes back in its type, rounded.
        noise_std: Standard deviation of each part in the scan's unit, one number or a map.
        rng: Source of randomness.
        kernel: As for `add_correlated`.

    Raises:
        NoiseError: The level is negative or not finite, or its map has another shape than the scan.
    """
    check_level(noise_std, clean.shape)
    shape = (clean.shape[0], clean.shape[1], clean.shape[2])
    real = clean + scaled(unit_noise(shape, kernel, rng), noise_std)
    imaginary = scaled(unit_noise(shape, kernel, rng), noise_std)
    return in_type(np.hypot(real, imaginary), clean.dtype)


def _check(name: str, values: tuple[float, ...], low: float, high: float, unit: str) -> None:
    for value in values:
        if not low <= value <= high:
            raise NoiseError(f"{name} {value:g}: must be from {low:g} to {high:g} {unit}.")


__all__ = [
    "CtKernel",
    "GaussianKernel",
    "KSpaceWindow",
    "Kernel",
    "LinearInterpolation",
    "add_correlated",
    "add_correlated_rician",
    "full_spectrum",
    "kernel_correlations",
    "measured_correlations",
    "power_spectrum",
    "unit_noise",
]
