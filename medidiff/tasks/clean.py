"""The prior's estimate of the clean scan, missing slices filled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from medidiff.tasks.gaps import Gaps, fill_gaps
from medidiff.tasks.observation import Observation
from medidiff.tasks.session import Session
from medidiff.tasks.shifts import shifted_mean
from medidiff.volume import Volume


@dataclass(frozen=True, eq=False)
class Clean:
    """A scan and its clean estimate, normalised.

    Args:
        seen: The observation, on the whole scan's grid.
        y: What the sampler observes, (1, 1, x, y, z).
        sigma: Its level, 0-dim or a map.
        mean: Clean scan (x, y, z), float32.
        std: Standard deviation of its error.
    """

    seen: Observation
    y: Tensor
    sigma: Tensor
    mean: np.ndarray
    std: np.ndarray


def estimate_clean(
    session: Session, seen: Observation, gaps: Gaps, shifts: int, measured: Volume, whole: Volume
) -> Clean:
    """Run the prior on an observation of the measured slices.

    Args:
        session: Prior at work.
        seen: Observation of the measured slices.
        gaps: Which slices are missing.
        shifts: Evaluations to average.
        measured: The scan of the measured slices; only its affine counts.
        whole: The whole scan, likewise.
    """
    session.know_correlation(seen.noise.correlation)
    session.check_level(seen.sigma)
    session.know_body_of(measured.affine_ras, seen.y)
    y, sigma = session.tensor(seen.y), session.level(seen.sigma)
    out = shifted_mean(session, y, sigma, shifts)
    if gaps.missing:
        session.spacing_mm = whole.spacing_mm
        session.know_body_of(whole.affine_ras, gaps.expand(seen.y))
        y, sigma, out = fill_gaps(session, seen, out, gaps)
        seen = gaps.expand_observation(seen)
    mean, log_variance = (part[0, 0].float().cpu().numpy() for part in out)
    return Clean(seen, y, sigma, mean, np.exp(log_variance / 2))


__all__ = ["Clean", "estimate_clean"]
