"""Any width of weight average, rebuilt after the run from a few snapshots.

Each snapshot holds the averages that were kept during the run. The wanted average is the linear combination of them
whose profile over the run's steps is nearest to the wanted profile in least squares: the same combination of the
snapshots' weights is then the average, but for what the profiles cannot express.

Source: Karras et al. 2024 (EDM2), section 3.2 and appendix C.2; here with the exact profiles of whole steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from medidiff.io import atomic_open
from medidiff.training.averages import WeightAverages, gamma_of, profile

FOLDER = "averages"
KEPT = 16
"""Snapshots of a run; when there are more, the distance between them doubles and every second one goes."""
_CHUNK = 16384
"""Steps whose profiles are in memory at a time."""

Key = tuple[int, float]
"""A stored average: step of its snapshot and sigma_rel."""


def coefficients(stored: Sequence[Key], wanted: Key) -> tuple[np.ndarray, float]:
    """Factors, summing to 1, of the stored averages whose sum is nearest to the wanted profile, and what is left of it.

    Args:
        stored: (step, sigma_rel) of each.
        wanted: (step, sigma_rel) of the average to rebuild.

    Returns:
        One factor a stored average, and the residual's norm relative to the wanted profile's (0: exact).
    """
    last = max(step for step, _ in [*stored, wanted])
    gram, target, norm = np.zeros((len(stored), len(stored))), np.zeros(len(stored)), 0.0
    for first in range(1, last + 1, _CHUNK):
        steps = np.arange(first, min(first + _CHUNK, last + 1), dtype=np.float64)
        rows = np.stack([profile(steps, step, width) for step, width in stored])
        aim = profile(steps, *wanted)
        gram, target, norm = gram + rows @ rows.T, target + rows @ aim, norm + float(aim @ aim)
    scale = 1 / np.sqrt(np.diag(gram))  # profiles of unit length: the problem is as well conditioned as it can be
    both = np.stack([scale * target, scale], axis=1)
    best, ones = (scale[:, None] * np.linalg.lstsq(gram * np.outer(scale, scale), both, rcond=1e-13)[0]).T
    factors = best + ones * (1 - best.sum()) / ones.sum()  # of all that sum to 1: others would scale the weights
    residual = norm - 2 * float(factors @ target) + float(factors @ gram @ factors)
    return factors, float(np.sqrt(max(residual, 0.0) / norm))


class Snapshots:
    """Sparse snapshots of the averages in a run's folder.

    Which steps have one depends on the step alone, so a resumed run writes the same ones.

    Args:
        folder: The run's folder.
        every: Steps between snapshots at first.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder / FOLDER, max(1, every)

    def due(self, step: int) -> bool:
        """Whether a snapshot of `step` is kept once the run is there."""
        return step > 0 and step % self._distance(step) == 0

    def take(self, averages: WeightAverages) -> None:
        """Write the snapshot of this step (float32) and drop those that are no longer on the grid.

        Raises:
            OutputError: It cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{width}/{name}": tensor.contiguous()
            for width, average in zip(averages.widths, averages.tensors, strict=True)
            for name, tensor in average.items()
        }
        with atomic_open(self._path(averages.steps)) as file:
            file.write(save(tensors))
        for step in self.steps():
            if step > averages.steps or not step % self._distance(averages.steps) == 0:
                self._path(step).unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """Steps that have a snapshot."""
        return sorted(int(path.stem.split("-")[1]) for path in self.folder.glob("step-*.safetensors"))

    def forget_after(self, step: int) -> None:
        """Drop snapshots of steps that a resumed run has still before it."""
        for later in self.steps():
            if later > step:
                self._path(later).unlink(missing_ok=True)

    def rebuild(self, averages: WeightAverages, sigma_rel: float) -> tuple[dict[str, Tensor], float]:
        """The average of any width after the steps so far, from the snapshots and the averages at hand.

        Returns:
            Weights by name (float32), and the part of the profile that could not be expressed (0: exact).
        """
        before = [step for step in self.steps() if step < averages.steps]
        stored = [(step, width) for step in [*before, averages.steps] for width in averages.widths]
        factors, left = coefficients(stored, (averages.steps, sigma_rel))
        result = {name: torch.zeros_like(t, dtype=torch.float64) for name, t in averages.tensors[0].items()}
        for factor, (key, name, tensor) in self._stream(averages, before, dict(zip(stored, factors, strict=True))):
            del key
            result[name].add_(tensor.to(result[name]), alpha=factor)
        return {name: tensor.float() for name, tensor in result.items()}, left

    def _stream(
        self, averages: WeightAverages, before: list[int], factors: dict[Key, float]
    ) -> Iterator[tuple[float, tuple[Key, str, Tensor]]]:
        for step in before:
            with safe_open(self._path(step), framework="pt") as file:
                for label in file.keys():
                    width, name = label.split("/", 1)
                    key = (step, float(width))
                    yield float(factors[key]), (key, name, file.get_tensor(label))
        for width, average in zip(averages.widths, averages.tensors, strict=True):
            key = (averages.steps, width)
            for name, tensor in average.items():
                yield float(factors[key]), (key, name, tensor)

    def remove(self) -> None:
        """Delete the snapshots: the run is over and its weights are chosen."""
        for step in self.steps():
            self._path(step).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _distance(self, step: int) -> int:
        distance = self.every
        while step // distance > KEPT:
            distance *= 2
        return distance

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.safetensors"


__all__ = ["FOLDER", "KEPT", "Snapshots", "coefficients", "gamma_of"]
