"""The noise of a scan by the prior itself: that under which its residual is what it expects.

`tweedie.py` has the identity. Where its two sides agree, the likelihood of the scan under the prior is stationary in
the level: it is the fixed point of expectation maximisation. EM itself creeps there; and a trained network, told a
wrong level, adapts to it so far that its own error estimate finds any level consistent. The ratio of the two sides is
not fooled: on phantoms ln(ratio) is 0.37 to 0.5 of the error of ln(level), whatever the level and the anatomy, so
a step of about twice that ratio arrives, and the secant does the rest.

Once one level is right, more blocks show whether it differs from place to place: `tasks/local_level.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from medidiff.diffusion.noise_shape import NoiseShape, noise_shape
from medidiff.tasks.blocks import choose_blocks, noisy_voxels
from medidiff.tasks.level_field import LevelField
from medidiff.tasks.local_level import Scan, find_local
from medidiff.tasks.tweedie import Denoise, Moments, half_log

Correlation = tuple[float, ...]

_STEP = 2.2  # of ln(residual / expected) towards the root, in the first round
_STEPS_ALLOWED = (0.9, 4.0)  # of the later ones, by the secant; 1 is exact for a linear denoiser of what is smooth
_CLOSE = 0.03  # of ln(level) and of a correlation: another round would change little
_MOST_ROUNDS = 3
_NEARLY, _OWN_ERROR = 0.03, 0.01
"""A first estimate whose ln(ratio) is below the first number is nearly confirmed and moved by what exceeds the second:
on phantoms told the true level, from 1 to 9%, it is 0.011 (rms), up to 0.02."""
_LARGEST_STEP, _LARGEST_FACTOR = math.log(2.5), math.log(4.0)
_OWN_COLOUR = (0.04, 0.13)
"""Differences of correlation that the prior has of itself, told the true one: the first number and the second times the
largest correlation. Measured on phantoms with version 1 in training (step 526): up to 0.07 at 0.51, 0.14 at 0.78."""
_COLOURED = 0.12  # from which the correlation is put right first: a wrong one draws the level with it
_UNDER_WRONG_COLOUR = 0.1  # error of ln(level) while the correlation was still moving
_NOT_WHITE = 0.15  # correlation of the residual that a prior for white noise cannot explain
_UNSETTLED = (0.35, 0.7)  # last step of ln(level) from which it is not believed, by the fixed step and by the secant
_LEFT_OVER = 0.15  # of the last step: what it may be wrong by; chosen, not measured
_DISAGREE = math.log(1.6)  # largest over smallest level of the blocks: chosen, not measured
_FLOOR, _FLOOR_MAP = 0.025, 0.04  # of ln(level): the same 0.011 times the step; as `noise.estimate` has it


@dataclass(frozen=True)
class Refined:
    """Noise as the prior finds it, in normalised (stabilised) units.

    Args:
        sigma: Level: 0-dim, or a map (1, 1, x, y, z) where one came in or the level differs from place to place.
        correlation: Of the noise one and two voxels apart (x1, x2, y1, y2, z1, z2), or None as it came in.
        interval: An interval of the true level as factors of `sigma`, (low, high), meant for 95%; its coverage has
            not been checked.
        nfe: Work, in evaluations of a whole scan.
        trusted: Whether to use it: where not, `sigma` and `correlation` are what came in.
        warnings: Why not.
    """

    sigma: Tensor
    correlation: Correlation | None
    interval: tuple[float, float]
    nfe: float
    trusted: bool = True
    warnings: list[str] = field(default_factory=list)


def refine_noise(
    denoise: Denoise,
    y: Tensor,
    sigma: Tensor,
    correlation: Correlation | None,
    spacing_mm: Sequence[float] | None,
    where: Bool[np.ndarray, "x y z"] | None = None,
    *,
    seed: int = 0,
    budget: float = 1.01,
) -> Refined:
    """Level, level map and correlation of the noise by the prior's own residual, on a few blocks of the scan.

    At most three rounds of two evaluations on at most eight blocks of 32^3 voxels: 7% of two passes over
    256 x 256 x 180 voxels, at most one pass over a small one (two over one that is hardly larger than a block). Then
    two on at most 32 blocks for the map, 9% of two passes, two passes over a small scan; where there is none, a
    quarter of that, a half over one of few blocks.

    Args:
        denoise: Denoiser of the prior.
        y: Noisy scan (1, 1, x, y, z), normalised, stabilised where it was Rician.
        sigma: First estimate of its level, 0-dim or a map; right within a factor of 3 (over 4 is refused).
        correlation: First estimate of the noise's correlation, zeros for white noise or where it is not known. None for
            a prior that is not told: the noise must be white, and where it is not this is noticed.
        spacing_mm: Voxel spacing.
        where: Voxels that were measured; None: all. Values that a mask repeats are left out in any case.
        seed: Of the probes.
        budget: Most work before the map, in evaluations of the scan; one round is done in any case.

    Returns:
        The refined noise; the first estimate, not trusted, where there is no fixed point near it.

    Source: Efron 2011 (Tweedie); Stein 1981; Ramani, Blu and Unser 2008 (the probe).
    """
    noisy = noisy_voxels(y[0, 0].float().cpu().numpy(), where)
    blocks = choose_blocks(noisy)
    if not blocks:
        return _unchanged(sigma, correlation, 0.0, "there is hardly any noise in it to judge by")
    work = 2 * sum(math.prod(b.shape) for b in blocks) / noisy.size
    search = _Search(correlation)
    scan = Scan(denoise, y, torch.from_numpy(noisy).to(y), spacing_mm, torch.Generator().manual_seed(seed))
    rounds = 0
    while rounds < max(1, min(_MOST_ROUNDS, int(budget / work))):
        told = search.told
        parts = [scan.measure(sigma, search.factor, told, block) for block in blocks]
        rounds += 1
        if search.update(parts):
            break
    nfe = rounds * work
    problem = search.problem()
    if problem:
        return _unchanged(sigma, correlation, nfe, problem)
    field, more = find_local(scan, sigma, search.factor, search.told, is_map=sigma.ndim > 0)
    nfe += more
    if field is None and search.spread > _DISAGREE:
        why = f"parts of the scan ask for levels that differ {math.exp(search.spread):.2g} times"
        return _unchanged(sigma, correlation, nfe, why)
    field = field or LevelField.one(noisy.shape)
    spread = 1.96 * math.hypot(_FLOOR if field.flat else _FLOOR_MAP, search.standard_error)
    factor = field.whole().to(sigma).mul_(search.factor)
    level = sigma * (factor[None, None] if factor.ndim else factor)
    return Refined(level, search.correlation, (math.exp(-spread), math.exp(spread)), nfe)


class _Search:
    """Where the rounds stand: the correction of the level, the correlation, and what the latest round found."""

    def __init__(self, correlation: Correlation | None) -> None:
        self.logarithm, self.correlation = 0.0, correlation
        self.standard_error, self.spread = 0.0, 0.0
        self._step, self._last = _STEP, 0.0
        self._previous: tuple[float, float] | None = None
        self._by_secant, self._coloured = False, 0.0

    @property
    def factor(self) -> float:
        """Of the level that came in."""
        return math.exp(self.logarithm)

    @property
    def told(self) -> NoiseShape | None:
        """What the prior is told of the correlation; None for a prior that is not told."""
        return None if self.correlation is None else noise_shape(self.correlation)

    def update(self, parts: list[Moments]) -> bool:
        """Take one round's moments in; true when another round would change little."""
        sums = np.sum([p.lags for p in parts], axis=0)
        recoloured = self._update_correlation(sums)
        if recoloured > _COLOURED:
            self._previous, self.standard_error = None, _UNDER_WRONG_COLOUR
            return False  # the level waits for the correlation
        ratio = half_log(*sums[0])
        if self._previous:
            before, there = self._previous
            moved, fell = self.logarithm - before, there - ratio
            self._by_secant = moved * fell > 0
            self._step = float(np.clip(moved / fell, *_STEPS_ALLOWED)) if self._by_secant else _STEP
        nearly = self._previous is None and abs(ratio) < _NEARLY
        believed = float(np.sign(ratio)) * max(abs(ratio) - _OWN_ERROR, 0.0) if nearly else ratio
        self._previous = (self.logarithm, ratio)
        self._last = float(np.clip(self._step * believed, -_LARGEST_STEP, _LARGEST_STEP))
        self.logarithm += self._last
        per_block = self._step * np.array([p.ratio for p in parts])
        self.spread = float(np.ptp(per_block))
        between = float(per_block.std(ddof=1) / math.sqrt(len(parts))) if len(parts) > 1 else 0.0
        self.standard_error = math.hypot(between, _LEFT_OVER * self._last)
        settled = abs(self._last) < _CLOSE or self.spread > _DISAGREE  # what differs from place to place comes next
        return settled and recoloured < _CLOSE

    def problem(self) -> str | None:
        """Why the result is not to be trusted; None where it is."""
        if self.correlation is None and self._coloured > _NOT_WHITE:
            return f"its residual is correlated by {self._coloured:.2f}, and this prior knows white noise only"
        if abs(self.logarithm) > _LARGEST_FACTOR:
            return f"it ran off to {self.factor:.2g} times the first estimate"
        if abs(self._last) > _UNSETTLED[self._by_secant]:
            return "it did not settle"
        return None

    def _update_correlation(self, sums: np.ndarray) -> float:
        """Move the correlation by what the residual's differs from the expected; the largest move."""
        difference = sums[1:, 0] / sums[0, 0] - sums[1:, 1] / sums[0, 1]
        self._coloured = float(difference[[0, 2, 4]].max())
        if self.correlation is None:
            return 0.0
        band = _OWN_COLOUR[0] + _OWN_COLOUR[1] * max(abs(r) for r in self.correlation)
        change = np.sign(difference) * np.maximum(np.abs(difference) - band, 0)
        by_axis = np.abs(change).reshape(3, 2).max(axis=1)
        change[np.repeat(by_axis < 0.5 * by_axis.max(), 2)] = 0  # one axis told wrongly shows in the others too
        moved = np.clip(np.asarray(self.correlation) + change, -0.6, 0.95)
        self.correlation = tuple(float(r) for r in moved)
        return float(np.abs(change).max())


def _unchanged(sigma: Tensor, correlation: Correlation | None, nfe: float, why: str) -> Refined:
    return Refined(
        sigma,
        correlation,
        (float("nan"), float("nan")),
        nfe,
        False,
        [f"the prior could not confirm the noise level: {why}. The first estimate was used; check it."],
    )


__all__ = ["Correlation", "Denoise", "Refined", "refine_noise"]
