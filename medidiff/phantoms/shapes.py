"""Signed distances (negative inside) of the leaves that occlude each other in a dead-leaves volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medidiff.phantoms.fields import Array

Kind = Literal["ellipsoid", "superellipsoid", "box", "tube", "shell", "sheet"]


@dataclass(frozen=True)
class Leaf:
    """One object: its kind, half axes and bend, in its own frame turned by `rotation` (rows are its axes)."""

    kind: Kind
    centre: np.ndarray
    half: np.ndarray
    rotation: np.ndarray
    thickness: float
    bend: tuple[float, float, float]
    """Amplitude over size, waves per half length, and phase of the bend of a tube or a sheet."""

    def extent(self) -> np.ndarray:
        """Half size of the box around the leaf along x, y, z."""
        half = self.half
        if self.kind == "tube":
            half = half + np.array([1, 1, 0]) * self.bend[0] * self.half[2]
        elif self.kind == "sheet":
            half = half + np.array([0, 0, 1]) * self.bend[0] * self.half[0]
        elif self.kind == "shell":
            half = half + self.thickness / 2
        return np.abs(self.rotation).T @ half

    def frame(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Coordinates in the leaf's frame from offsets to its centre along each axis."""
        r = self.rotation.astype(np.float32)
        dx, dy, dz = x[:, None, None], y[None, :, None], z[None, None, :]
        p, q, s = ((dx * r[i, 0] + dy * r[i, 1]) + dz * r[i, 2] for i in range(3))
        return p, q, s

    def distance(self, p: Array, q: Array, s: Array) -> Array:
        """Approximate signed distance at coordinates of the leaf's own frame, right to first order at the surface."""
        if self.kind == "tube":
            return self._tube(p, q, s)
        if self.kind == "sheet":
            return self._sheet(p, q, s)
        if self.kind == "superellipsoid":
            return self._quartic(p, q, s)
        a, b, c = self.half.astype(np.float32)
        if self.kind == "box":
            return np.maximum(np.maximum(np.abs(p) - a, np.abs(q) - b), np.abs(s) - c)
        distance = self._ellipsoid(p, q, s)
        return np.abs(distance) - np.float32(self.thickness / 2) if self.kind == "shell" else distance

    def _ellipsoid(self, p: Array, q: Array, s: Array) -> Array:
        a, b, c = (1 / self.half**2).astype(np.float32)
        p2, q2, s2 = p * p, q * q, s * s
        f2 = a * p2 + b * q2 + c * s2
        slope2 = a * a * p2 + b * b * q2 + c * c * s2
        f = np.sqrt(f2)  # distance = (f - 1) / |grad f|, with |grad f| = sqrt(slope2) / f
        return (f2 - f) / np.sqrt(slope2 + np.float32(1e-12)) - np.float32(1e-3)

    def _quartic(self, p: Array, q: Array, s: Array) -> Array:
        a, b, c = (1 / self.half).astype(np.float32)
        u, v, w = (a * p) ** 2, (b * q) ** 2, (c * s) ** 2
        f4 = u * u + v * v + w * w  # distance = (f4 - 1) / |grad f4| near the surface; bounded far inside
        slope = np.sqrt(u**3 * a * a + v**3 * b * b + w**3 * c * c) * 4
        return (f4 - 1) / (slope + np.float32(0.5 / self.half.min()))

    def _tube(self, p: Array, q: Array, s: Array) -> Array:
        amplitude, waves, phase = self.bend
        length, size = float(self.half[2]), float(self.half[2] * amplitude)
        angle = s * np.float32(waves / length) + np.float32(phase)
        dp, dq = p - np.float32(size) * np.sin(angle), q - np.float32(0.7 * size) * np.cos(angle)
        slant = np.float32(1 / np.sqrt(1 + 0.5 * (size * waves / length) ** 2))
        taper = np.float32(self.half[0]) * (1 - np.float32(0.45 / length) * (s + np.float32(length)) / 2)
        return np.maximum((np.sqrt(dp * dp + dq * dq) - taper) * slant, np.abs(s) - np.float32(length))

    def _sheet(self, p: Array, q: Array, s: Array) -> Array:
        amplitude, waves, phase = self.bend
        size = float(self.half[0])
        height = np.float32(size * amplitude) * np.sin(p * np.float32(waves / size) + np.float32(phase))
        slant = np.float32(1 / np.sqrt(1 + 0.5 * (amplitude * waves) ** 2))
        face = np.abs(s - height) * slant - np.float32(self.thickness / 2)
        return np.maximum(face, np.maximum(np.abs(p) - np.float32(size), np.abs(q) - np.float32(self.half[1])))
