"""What a result must say of itself: already clean, extrapolated, or a residual that is more than noise."""

from __future__ import annotations

import numpy as np

from medidiff.tasks.observation import Observation
from medidiff.tasks.residual import ResidualCheck

UNCHANGED = "unchanged: already clean"
CLEAN_SIGMA = 0.002
"""Normalised units, 0.1% of the intensity range: the smallest level at which denoising improved noise-free phantoms (by
0.02 to 0.7 dB); the estimate of what is free of noise is ten times smaller."""
MOST_AT_EDGES, MOST_ALIKE = 1.12, 0.08
"""Set by hand, on the same val phantoms and scans that these figures are of. Largest with white noise of known level
(1, 3 and 9%): 1.05 and -0.02; with correlated noise that the prior is told, 1.0 and 0.01. At twice the level up to 1.28
and 0.13. Correlated, not told: likeness 0.18 to 0.52, but -0.004 and 0.035 on two cases of IXI at 3%, which are missed.
"""


def is_clean(seen: Observation) -> bool:
    """Whether the noise that was estimated is not worth removing; a level that was told is taken at its word."""
    return seen.noise.estimated and float(np.median(seen.sigma)) < CLEAN_SIGMA


def residual_warnings(check: ResidualCheck) -> list[str]:
    """What to know where the residual holds more than noise."""
    said = []
    if check.at_edges > MOST_AT_EDGES:
        said.append(
            f"structure in the residual: it is {check.at_edges:.2g} times as strong at edges as elsewhere. Anatomy may "
            "have been removed: look at the residual, and give a lower --noise-std if you know it."
        )
    elif check.alike > MOST_ALIKE:
        said.append(
            f"structure in the residual: neighbouring voxels are alike (correlation {check.alike:.2f} above the "
            "noise's). Anatomy may have been removed, or the noise is more correlated than was measured."
        )
    return said


def unseen_warnings(prior_name: str, unseen: list[str]) -> list[str]:
    """What to know of a scan that the prior has not seen."""
    if not unseen:
        return []
    return [f"the prior {prior_name} has not seen: {', '.join(unseen)}. Its uncertainty is not calibrated for it."]


def status_of(unseen: list[str]) -> str:
    """The status of a denoised scan."""
    return f"extrapolated: {', '.join(unseen)}" if unseen else "denoised"


__all__ = ["CLEAN_SIGMA", "UNCHANGED", "is_clean", "residual_warnings", "status_of", "unseen_warnings"]
