"""Parallel-beam CT of all slices at once: project, filter, project back; and the variance of what comes out.

Lengths are in cm throughout, so that attenuation in 1/cm gives path integrals without unit. Each view is one sparse
matrix from voxels to detectors with linear weights, the same for all slices; it is made when it is needed.

Source: Kak and Slaney 1988, chapter 3 (the band-limited ramp is their eq. 61).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.sparse import csr_array

WINDOWS = ("ramp", "shepp-logan", "cosine", "hamming", "hann")
MARGIN = 16  # detectors on each side of the field: the tails of the ramp filter reach in from there


@dataclass(frozen=True)
class View:
    """One angle.

    Args:
        spread: (voxels, detectors), two weights a row, that sum to 1.
        at: Middles of the detectors in cm from the axis of rotation.
    """

    spread: csr_array
    at: np.ndarray


@dataclass(frozen=True)
class ParallelBeam:
    """Detectors one voxel wide round a field of nx by ny square voxels.

    Args:
        shape: (nx, ny).
        step_cm: Voxel side and detector width in cm.
        views: Angles over half a turn.
        window: Apodisation of the ramp: ramp (none), shepp-logan, cosine, hamming or hann; from sharp to smooth.
        cutoff: Frequency above which nothing is left, as a share of the Nyquist frequency.
    """

    shape: tuple[int, int]
    step_cm: float
    views: int
    window: str = "hann"
    cutoff: float = 1.0

    @property
    def detectors(self) -> int:
        """How many detectors: the diagonal of the field and the margin."""
        return math.ceil(math.hypot(*self.shape)) + 2 * MARGIN + 1

    def each_view(self) -> Iterator[View]:
        """The views, one by one; angles lie in the middle of their steps, so none runs along the grid's diagonal."""
        n = self.detectors
        x = np.arange(self.shape[0])[:, None] - (self.shape[0] - 1) / 2
        y = np.arange(self.shape[1])[None, :] - (self.shape[1] - 1) / 2
        rows = np.arange(0, 2 * x.size * y.size + 1, 2, dtype=np.int32)
        at = (np.arange(n) - (n - 1) / 2) * self.step_cm
        for angle in (np.arange(self.views) + 0.5) * math.pi / self.views:
            place = (x * math.cos(angle) + y * math.sin(angle) + (n - 1) / 2).ravel()
            low = place.astype(np.int32)
            share = (place - low).astype(np.float32)
            weights = np.stack([1 - share, share], axis=1).ravel()
            columns = np.stack([low, low + 1], axis=1).ravel()
            yield View(csr_array((weights, columns, rows), shape=(len(low), n)), at)

    def project(self, view: View, mu: np.ndarray) -> np.ndarray:
        """Path integrals (detectors, slices) of the attenuation `mu` in 1/cm, (voxels, slices)."""
        return np.asarray(view.spread.T @ mu) * self.step_cm

    def filter(self, sinogram: np.ndarray) -> np.ndarray:
        """The ramp filter and its window along the detectors, (detectors, slices); in 1/cm."""
        return self._convolve(self._responses[0], sinogram)

    def back(self, view: View, filtered: np.ndarray) -> np.ndarray:
        """One view's share of the image in 1/cm, (voxels, slices)."""
        return np.asarray(view.spread @ filtered) * np.float32(math.pi / self.views)

    def back_variance(self, view: View, variance: np.ndarray) -> np.ndarray:
        """One view's share of the image's variance, exactly, from that of its detectors, (detectors, slices).

        Neighbouring filtered values correlate, and interpolation between them mixes them:
        (1-a)^2 V_j + a^2 V_(j+1) + 2 a (1-a) C_(j,j+1).
        """
        own, shared = (self._convolve(response, variance) for response in self._responses[1:])
        both = view.spread.copy()
        weights = view.spread.data.reshape(-1, 2)
        both.data = np.stack([2 * weights[:, 0] * weights[:, 1], np.zeros(len(weights), np.float32)], axis=1).ravel()
        result = view.spread.power(2) @ own + both @ shared
        return np.asarray(result) * np.float32((math.pi / self.views) ** 2)

    def _convolve(self, response: np.ndarray, values: np.ndarray) -> np.ndarray:
        n = 2 * (len(response) - 1)
        spectrum = np.asarray(scipy.fft.rfft(values.astype(np.float32, copy=False), n, axis=0))
        spectrum *= response[:, None]
        return np.asarray(scipy.fft.irfft(spectrum, n, axis=0))[: self.detectors]

    @functools.cached_property
    def _responses(self) -> tuple[np.ndarray, ...]:
        """Fourier transforms of g, of g^2 and of g_k g_(k+1), where the filter makes g of a detector reading of 1."""
        n = 2 ** math.ceil(math.log2(2 * self.detectors))
        lag = np.minimum(np.arange(n), n - np.arange(n))
        with np.errstate(divide="ignore"):
            ramp = np.where(lag % 2 == 1, -1 / (np.pi * lag) ** 2, 0.0)
        ramp[0] = 1 / 4
        f = np.fft.rfftfreq(n) * 2 / self.cutoff  # 1 at the cutoff
        window = {
            "ramp": np.ones_like(f),
            "shepp-logan": np.sinc(f / 2),
            "cosine": np.cos(np.pi * f / 2),
            "hamming": 0.54 + 0.46 * np.cos(np.pi * f),
            "hann": 0.5 + 0.5 * np.cos(np.pi * f),
        }[self.window]
        g = np.fft.irfft(np.fft.rfft(ramp).real * np.where(f <= 1, window, 0.0), n) / self.step_cm
        return tuple(np.fft.rfft(a).astype(np.complex64) for a in (g, g**2, g * np.roll(g, -1)))


__all__ = ["WINDOWS", "ParallelBeam", "View"]
