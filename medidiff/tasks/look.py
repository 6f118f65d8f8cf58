"""What noise a task finds in a scan: estimated, and improved with the prior itself."""

from __future__ import annotations

import numpy as np

from medidiff.errors import NoNoiseError
from medidiff.tasks.known_noise import KnownNoise, Told
from medidiff.tasks.observation import Observation, observe
from medidiff.tasks.refine import refine
from medidiff.tasks.safeguards import is_clean
from medidiff.tasks.session import Session
from medidiff.volume import Volume


def look(
    session: Session, measured: Volume, told: Told | KnownNoise, where: np.ndarray | None = None
) -> Observation | None:
    """The scan as the prior sees it; None where no noise can be measured.

    Args:
        session: Prior at work, entered.
        measured: The scan, checked; measured slices only.
        told: What was said about its noise.
        where: Voxels to judge by; None: all.

    Raises:
        NoiseError: The level is not positive and finite, or could not be estimated.
        GeometryError: A noise map lies on another grid.
        InputError: The scan is too small to estimate its noise.
    """
    try:
        seen = observe(measured, session.prior, told, where)
    except NoNoiseError:
        return None
    if seen.noise.source != "estimate" or is_clean(seen):
        return seen
    white = isinstance(told, Told) and told.correlated == "no"
    return refine(session, seen, measured, white=white)


__all__ = ["look"]
