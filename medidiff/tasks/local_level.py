"""How the level of noise differs from place to place, by the prior's residual in cells of many blocks of a scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medidiff.diffusion.noise_shape import NoiseShape
from medidiff.tasks.blocks import CELL, Block, choose_blocks
from medidiff.tasks.level_field import LevelField, enough_cells, fit_field
from medidiff.tasks.tweedie import Denoise, Moments, measure

_MOST_BLOCKS, _SHARE = 32, 1  # at most two evaluations of a small scan, a fifth of one of 256 x 256 x 180 voxels
_SLOPE, _LEAST_SHARE = 0.6, 0.25
"""Of ln(ratio) against the error of ln(level), over the share of the noise that is expected to be removed: where the
prior cannot tell noise from anatomy, its residual says little of it. Measured on cells of 8^3 of train phantoms, at one
level for noise that varies: 0.23 for a share of 0.27, 0.25 for 0.42, 0.32 for 0.57, 0.38 for 0.72, 0.55 for 0.9, for
white noise, correlated noise and CT alike."""
_FULLEST = 0.5  # share of the fullest cell's voxels that a cell needs
_LARGEST = math.log(4.0)  # of one cell
_SCATTER, _OF_STEP = 0.04, 0.25
"""Error of a full cell's ln(ratio), and what a step may be wrong by, over its length. The first is 0.03 for white
noise, 0.06 for correlated noise, 0.08 for CT; the second chosen, not measured."""
_TURNS = 4
_GAIN, _SPAN = 0.2, 1.15
"""From which a field is believed where one level was told. First quarter of 16 train phantoms of one level (Gaussian,
Rician, correlated): gains up to 0.13, 13 of them 0.00. Varying 2 to 6% and 4 to 12%, CT: 0.41 to 3.3 (7 scans)."""


@dataclass(frozen=True)
class Scan:
    """A scan to be measured block by block.

    Args:
        denoise: Denoiser of the prior.
        y: Noisy scan (1, 1, x, y, z), normalised.
        mask: Voxels that hold noise, (x, y, z), 0 or 1.
        spacing_mm: Voxel spacing.
        generator: Of the probes.
    """

    denoise: Denoise
    y: Tensor
    mask: Tensor
    spacing_mm: Sequence[float] | None
    generator: torch.Generator

    def measure(self, sigma: Tensor, factor: float | Tensor, told: NoiseShape | None, block: Block) -> Moments:
        """Both sides of the identity on one block, told `sigma` times `factor` (of the block)."""
        level = (sigma if sigma.ndim == 0 else sigma[(..., *block.place)]) * factor
        return measure(self.denoise, self.y, level, self.mask, told, self.spacing_mm, block, self.generator)


def find_local(
    scan: Scan, sigma: Tensor, factor: float, told: NoiseShape | None, is_map: bool
) -> tuple[LevelField | None, float]:
    """The smooth factor that the level needs from place to place, and the work in evaluations of the scan.

    Every cell of 8^3 voxels tells the level that it asks for. A quarter of the blocks is measured as the level is told,
    each further quarter at the field through those before, so that it is nearer to the truth. The field goes through
    all. As soon as there are enough cells and they show no field, nothing else is measured.

    Args:
        scan: To be measured.
        sigma: Level so far, 0-dim or a map (1, 1, x, y, z).
        factor: On it.
        told: Shape of the noise; None: white.
        is_map: Whether `sigma` is a map already: then any field is believed that cross-validation prefers.

    Returns:
        None where one factor will do.
    """
    shape = (scan.mask.shape[0], scan.mask.shape[1], scan.mask.shape[2])
    blocks = choose_blocks(scan.mask.cpu().numpy() > 0, _MOST_BLOCKS, _SHARE)
    if not enough_cells(shape, sum(math.prod(b.shape) for b in blocks) // CELL**3):
        return None, 0.0
    field, work = LevelField.one(shape), 0.0
    cells: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for turn in range(_TURNS):
        part = blocks[turn::_TURNS]
        if not part:
            break
        cells.append(_cells([scan.measure(sigma, factor * field.at(b).to(sigma), told, b) for b in part], field))
        work += sum(2 * math.prod(b.shape) for b in part) / math.prod(shape)
        centres, wanted, weights = (np.concatenate(c) for c in zip(*cells, strict=True))
        if not enough_cells(shape, len(wanted)):
            continue
        field = fit_field(shape, centres, wanted, weights)
        if field.flat or not (is_map or (field.gain > _GAIN and field.span > _SPAN)):
            return None, work
    return (None if field.flat else field), work


def _cells(found: list[Moments], field: LevelField) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the cells that are full enough: place, ln(factor) asked for, and weight."""
    cells, centres = (np.concatenate(x) for x in zip(*[(f.cells, f.centres) for f in found], strict=True))
    full = cells[:, 2] >= max(_FULLEST * cells[:, 2].max(), 1.0)
    observed, expected, voxels = cells[full].T
    slope = _SLOPE * np.clip(expected / voxels, _LEAST_SHARE, 1.0)
    ratio = 0.5 * np.log(np.maximum(observed, 1e-9) / np.maximum(expected, np.maximum(0.02 * observed, 1e-9)))
    step = np.clip(ratio / slope, -_LARGEST, _LARGEST)
    weight = 1 / (_SCATTER**2 * CELL**3 / (voxels * np.square(slope)) + (_OF_STEP * step) ** 2)
    return centres[full], step + field.logarithm(centres[full]), weight


__all__ = ["Scan", "find_local"]
