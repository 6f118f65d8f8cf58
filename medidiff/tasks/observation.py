"""A scan as the prior sees it: variance stabilised, intensities normalised; and the way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medidiff.errors import InputError
from medidiff.intensity import Normalisation
from medidiff.noise import stabilise, unstabilise
from medidiff.prior import Prior
from medidiff.tasks.known_noise import KnownNoise, Told, find_noise
from medidiff.volume import Volume


@dataclass(frozen=True, eq=False)
class Observation:
    """A noisy scan and what is known of its noise.

    Args:
        y: Scan (x, y, z), float32: a magnitude stabilised, normalised.
        noise: What is known of its noise, in the scan's unit.
        normalisation: From the (stabilised) scan's unit to the prior's.
        where: Voxels it was judged by; None: all.
    """

    y: np.ndarray
    noise: KnownNoise
    normalisation: Normalisation
    where: np.ndarray | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def sigma(self) -> float | np.ndarray:
        """The noise level in the prior's units, one number or a map."""
        return self.normalisation.noise_forward(self.noise.level)

    @property
    def figures(self) -> dict[str, Any]:
        """What was found out about the noise."""
        return self.noise.told()

    def to_scan(self, clean: np.ndarray) -> np.ndarray:
        """A clean scan from the prior's units to the scan's, float32."""
        values = self.normalisation.inverse(clean.astype(np.float32, copy=False)).astype(np.float32, copy=False)
        if not self.noise.magnitude:
            return values
        return unstabilise(values, self.noise.level, **coils_of(self.noise))

    def std_to_scan(self, clean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """The standard deviation of an estimate from the prior's units to the scan's, float32.

        Through the inverse of a magnitude's transform by half the difference between one deviation above and one below.
        """
        if not self.noise.magnitude:
            return self.normalisation.noise_inverse(std).astype(np.float32, copy=False)
        spread = self.to_scan(clean + std)
        spread -= self.to_scan(clean - std)
        return np.abs(spread, out=spread) / 2

    def level_map(self) -> np.ndarray:
        """The noise level in the scan's unit, voxel by voxel, float32; read only."""
        return np.broadcast_to(np.asarray(self.noise.level, dtype=np.float32), self.y.shape)


def observe(
    volume: Volume,
    prior: Prior,
    noise: Told | KnownNoise,
    where: np.ndarray | None = None,
) -> Observation:
    """Find out a scan's noise and put it into the prior's units.

    Args:
        volume: Scan, checked.
        prior: Gives the normalisation.
        noise: What was said about the noise; or all that is to be known of it.
        where: Voxels to judge by; None: all. The scan's unmeasured voxels never are: they take the smallest
            measured value.

    Raises:
        NoNoiseError: There is no noise that can be measured.
        NoiseError: The level is not positive and finite, it cannot be estimated, or the scan cannot be a magnitude.
        GeometryError: A noise map lies on another grid.
        InputError: The scan is too small to estimate its noise.
    """
    data, where = values_of(volume, where)
    known = noise if isinstance(noise, KnownNoise) else find_noise(volume, data, noise, where)
    even = stabilise(data, known.level, **coils_of(known)) if known.magnitude else data
    normalisation = prior.card.normalisation.fit(even if where is None else even[where])
    y = normalisation.forward(even).astype(np.float32, copy=False)
    return Observation(y, known, normalisation, where, list(known.warnings))


def as_clean(volume: Volume, prior: Prior, where: np.ndarray | None = None) -> Observation:
    """A scan without measurable noise, taken at the prior's smallest level."""
    data, where = values_of(volume, where)
    level = prior.card.normalisation.fit(data if where is None else data[where]).noise_inverse(prior.card.sigma_min)
    known = KnownNoise("gaussian", float(level), source="none measured")
    return observe(volume, prior, known, where)


def values_of(volume: Volume, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """A scan's values, float32, unmeasured ones replaced by the smallest measured; and the voxels to judge by.

    Raises:
        InputError: Every voxel that counts is padding.
    """
    data = volume.data.astype(np.float32)
    if volume.unmeasured is not None:
        where = ~volume.unmeasured if where is None else where & ~volume.unmeasured
        if not where.any():
            raise InputError(f"{volume.name or 'volume'}: every voxel is padding: nothing was measured.")
        data[volume.unmeasured] = data[where].min()
    return data, where


def coils_of(known: KnownNoise) -> dict[str, int]:
    """Keyword of `stabilise` and `unstabilise`."""
    return {"coils": known.coils} if known.coils != 1 else {}


__all__ = ["Observation", "as_clean", "coils_of", "observe", "values_of"]
