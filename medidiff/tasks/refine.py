"""An estimate of the noise, improved with the prior itself before the scan is denoised."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from medidiff.tasks.blind import refine_noise
from medidiff.tasks.known_noise import KnownNoise
from medidiff.tasks.observation import Observation, observe
from medidiff.tasks.session import Session
from medidiff.volume import Volume

_APART = 0.25  # of ln(level), between background and prior, from which a person should look; chosen, not measured


def refine(session: Session, seen: Observation, measured: Volume, white: bool = False) -> Observation:
    """The observation at the noise that the prior finds; the same where it finds none to trust, with a warning.

    A magnitude that was stabilised at a slightly wrong level is stabilised again at the right one.

    Args:
        session: Prior at work.
        seen: Observation at the estimated noise.
        measured: The scan it is of.
        white: The noise is white because a person says so: only its level is looked for.
    """
    told = session.card.network.noise_correlation and not white
    found = refine_noise(
        session.tiled.denoiser,
        session.tensor(seen.y),
        session.level(seen.sigma),
        seen.noise.correlation if told else None,
        session.spacing_mm,
        seen.where,
    )
    session.spent_on_parts += found.nfe
    figures = {**seen.noise.figures, "noise_refined": found.trusted, "noise_refining_evaluations": found.nfe}
    if not found.trusted:
        return replace(seen, noise=replace(seen.noise, figures=figures), warnings=[*seen.warnings, *found.warnings])
    sigma = found.sigma.float().cpu().numpy()
    if sigma.ndim == 0 and _surer(seen.noise.interval, found.interval):  # told by much background
        known = _kept(seen, sigma, figures)
    else:
        known = _at(seen, sigma, figures)
        low, high = (known.typical * factor for factor in found.interval)
        if not figures.get("noise_trusted", True):  # the prior may take fine anatomy for noise too: both are told
            low, high = float(np.fmin(low, seen.noise.interval[0])), float(np.fmax(high, seen.noise.interval[1]))
        known = replace(known, interval=(low, high))
    if told and found.correlation is not None:
        x1, x2, y1, y2, z1, z2 = found.correlation
        known = replace(known, correlation=(x1, x2, y1, y2, z1, z2))
    return observe(measured, session.prior, known, seen.where)


def _kept(seen: Observation, sigma: np.ndarray, figures: dict[str, Any]) -> KnownNoise:
    """The noise at the level of the background, with a warning where the prior finds another in the tissue."""
    apart = float(np.log(sigma / seen.sigma))
    if abs(apart) < _APART:
        return replace(seen.noise, figures=figures)
    warning = (
        f"the background tells a noise level of {seen.noise.typical:.4g}; the prior finds {math.exp(apart):.2g} times "
        "that in the rest. The background's was used; give --noise-std if you know better."
    )
    return replace(seen.noise, figures={**figures, "noise_refined": False}, warnings=[*seen.noise.warnings, warning])


def _surer(first: tuple[float, float], found: tuple[float, float]) -> bool:
    """Whether the first interval of the level is less than half as wide, as a ratio."""
    return math.log(first[1] / first[0]) < 0.5 * math.log(found[1] / found[0]) if first[0] > 0 else False


def _at(seen: Observation, sigma: np.ndarray, figures: dict[str, Any]) -> KnownNoise:
    """The noise at a level in normalised units."""
    level = seen.normalisation.noise_inverse(sigma)
    figures = {**figures, "noise_std_first": seen.noise.typical}
    return replace(seen.noise, level=level[0, 0] if level.ndim else float(level), figures=figures)


__all__ = ["refine"]
