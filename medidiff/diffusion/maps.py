"""Noise maps drawn for training, as the sampler will use them: constant, smooth, two-level with holes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Generator, Tensor

_TOGETHER, _GIVEN = 0.45, 0.15
"""Several channels: share of patches with one level for all, and shares in which the others are known, the first is
well observed (up to a hundred times the lowest level), or the others are not observed; the rest have their own."""


@dataclass(frozen=True)
class LevelRange:
    """One part of the distribution of levels: ln(sigma) uniform between two levels.

    Attributes:
        low: Lowest level, normalised units.
        high: Highest level.
        weight: Share of the draws, relative to the other parts.
    """

    low: float
    high: float
    weight: float


@dataclass(frozen=True)
class MapDistribution:
    """Distribution of noise maps e = (1/m^2 + 1/t^2)^(-1/2) met in training.

    Attributes:
        levels: Mixture of ranges of ln(sigma).
        sigma_min: Lowest level the prior knows.
        sigma_max: Level that stands for "not observed".
        p_constant: Share of batches with one level per scan; of the rest half are smooth and half two-level.
        smooth_factor: Smooth maps span up to this factor up and down from their level.
    """

    levels: tuple[LevelRange, ...]
    sigma_min: float
    sigma_max: float
    p_constant: float = 0.5
    smooth_factor: float = 3.0

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw the maps of a batch.

        Args:
            shape: (b, c, x, y, z).
            generator: Source of randomness; the same state gives the same maps.

        Returns:
            (b, c, 1, 1, 1) when the batch has constant levels, else (b, c, x, y, z); within sigma_min and sigma_max.
        """
        if torch.rand((), generator=generator) < self.p_constant:
            levels = self.draw_levels(shape[0], generator).reshape(-1, 1, 1, 1, 1)
            return levels.expand(shape[0], shape[1], 1, 1, 1).clone()
        maps = [self._draw_map(shape[1:], generator) for _ in range(shape[0])]
        return torch.stack(maps)

    def draw_patch(self, shape: tuple[int, ...], constant: bool, generator: Generator) -> Tensor:
        """Draw the map of one patch (c, x, y, z): (c, 1, 1, 1) where its batch has constant levels, else of `shape`."""
        if shape[0] > 1:
            return self._draw_channels(shape, constant, generator)
        if constant:
            return self.draw_levels(1, generator).reshape(1, 1, 1, 1).expand(shape[0], 1, 1, 1).clone()
        return self._draw_map(shape, generator)

    def draw_levels(self, n: int, generator: Generator) -> Float[Tensor, " n"]:
        """`n` levels from the mixture."""
        weights = torch.tensor([part.weight for part in self.levels])
        part = torch.multinomial(weights, n, replacement=True, generator=generator)
        low = torch.tensor([p.low for p in self.levels]).log()[part]
        high = torch.tensor([p.high for p in self.levels]).log()[part]
        return (low + (high - low) * torch.rand(n, generator=generator)).exp()

    def _draw_channels(self, shape: tuple[int, ...], constant: bool, generator: Generator) -> Tensor:
        """The map of the first channel and of the others, as one prior is asked: for all channels together, for some
        given the others, for some without the others, or for all with levels of their own."""
        first = self.draw_patch((1, *shape[1:]), constant, generator)
        other = self.draw_patch((1, *shape[1:]), constant, generator)
        pick = float(torch.rand((), generator=generator))
        if pick < _TOGETHER:
            other = first
        elif pick < _TOGETHER + _GIVEN:
            other = torch.full_like(first, self.sigma_min)
        elif pick < _TOGETHER + 2 * _GIVEN:
            first = torch.minimum(first, self.sigma_min * 10 ** (2 * torch.rand((), generator=generator)))
        elif pick < _TOGETHER + 3 * _GIVEN:
            other = torch.full_like(first, self.sigma_max)
        return torch.cat([first, other.expand(shape[0] - 1, *other.shape[1:])])

    def _draw_map(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        level = self.draw_levels(1, generator)
        if torch.rand((), generator=generator) < 0.5:
            field = smooth_field(shape[1:], generator)
            field = field / field.abs().max().clamp_min(1e-6)
            spread = math.log(self.smooth_factor) * torch.rand((), generator=generator)
            sigma = level * torch.exp(spread * field)
        else:
            region = random_region(shape, generator)
            low, high = self._two_levels(level, generator)
            sigma = torch.where(region, high, low)
        return sigma.expand(shape).clamp(self.sigma_min, self.sigma_max)

    def _two_levels(self, level: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        low, high = level, self.draw_levels(1, generator)
        low, high = torch.minimum(low, high), torch.maximum(low, high)
        pick = torch.rand(2, generator=generator)
        if pick[0] < 0.25:
            low = torch.full_like(low, self.sigma_min)
        if pick[1] < 0.5:
            high = torch.full_like(high, self.sigma_max)
        return low, high


def smooth_field(shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "x y z"]:
    """A smooth random field: white noise on a coarse grid of 2 to 6 knots an axis, interpolated."""
    knots = int(torch.randint(2, 7, (), generator=generator))
    coarse = torch.randn(1, 1, knots, knots, knots, generator=generator)
    return nnf.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0, 0]


def random_region(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """A region to hide: a box, an ellipsoid, every k-th slice, a lesion-like blob, or a whole channel.

    Args:
        shape: (c, x, y, z).
        generator: Source of randomness.

    Returns:
        Boolean (c, x, y, z), true where the scan is less well (or not) observed.
    """
    kinds = 5 if shape[0] > 1 else 4
    kind = int(torch.randint(kinds, (), generator=generator))
    if kind == 4:
        region = torch.zeros(shape, dtype=torch.bool)
        region[int(torch.randint(shape[0], (), generator=generator))] = True
        return region
    draw = (_box, _ellipsoid, _slices, _blob)[kind]
    return draw(shape[1:], generator).expand(shape)


def _grid(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Voxel coordinates from -1 to 1 along each axis."""
    return torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")


def _place(generator: Generator) -> tuple[Tensor, Tensor]:
    """Centre and half-widths of an object in coordinates from -1 to 1."""
    return 1.6 * torch.rand(3, generator=generator) - 0.8, 0.1 + 0.7 * torch.rand(3, generator=generator)


def _box(shape: tuple[int, ...], generator: Generator) -> Tensor:
    centre, half = _place(generator)
    distances = [(g - c).abs() / h for g, c, h in zip(_grid(shape), centre, half, strict=True)]
    return torch.stack(distances).amax(dim=0) < 1


def _ellipsoid(shape: tuple[int, ...], generator: Generator) -> Tensor:
    centre, half = _place(generator)
    squares = [((g - c) / h) ** 2 for g, c, h in zip(_grid(shape), centre, half, strict=True)]
    return torch.stack(squares).sum(dim=0) < 1


def _slices(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Some slices along one axis: all but every k-th, or one to four that are missing."""
    axis = int(torch.randint(3, (), generator=generator))
    if torch.rand((), generator=generator) < 0.5:
        missing = int(torch.randint(1, 5, (), generator=generator))
        first = int(torch.randint(max(1, shape[axis] - missing), (), generator=generator))
        index = torch.arange(shape[axis])
        hidden = (index >= first) & (index < first + missing)
        return hidden.reshape([-1 if i == axis else 1 for i in range(3)]).expand(shape)
    step = int(torch.randint(2, 6, (), generator=generator))
    start = int(torch.randint(step, (), generator=generator))
    hidden = (torch.arange(shape[axis]) - start) % step != 0
    return hidden.reshape([-1 if i == axis else 1 for i in range(3)]).expand(shape)


def _blob(shape: tuple[int, ...], generator: Generator) -> Tensor:
    field = smooth_field(shape, generator)
    share = 0.05 + 0.5 * torch.rand((), generator=generator)
    return field > torch.quantile(field.flatten()[:: max(1, field.numel() // 4096)], 1 - share)
