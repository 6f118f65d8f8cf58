"""How alike two scans are, however one of them was moved, mirrored, brightened, blurred or made a little noisy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from medidiff.errors import InputError
from medidiff.privacy.high_pass import checked_images, prepared
from medidiff.privacy.pose import centred_grid
from medidiff.privacy.pose_refine import pair_correlation, refined
from medidiff.privacy.pose_search import CoarseSearch

Progress = Callable[[int, int], None]
_TIE = 1e-5
"""Coarse correlations nearer than this are equal: rounding decides nothing."""


class PoseSearch(BaseModel):
    """Settings of the search. Lengths are in voxels of the scan, where it is searched at half its resolution."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    inner: float = Field(default=0.7, ge=0)
    """What is finer than this Gaussian is not compared: noise, and what a blur takes away."""
    outer: float = Field(default=3.0, gt=0)
    """What is coarser is not compared: shading, contrast, and the anatomy that all patients share."""
    local: float = Field(default=4.0, gt=0)
    """Window in which the contrast is made equal."""
    most_degrees: float = Field(default=10.0, ge=0, le=45)
    """Rotations searched about every axis."""
    step_degrees: float = Field(default=10.0, gt=0, le=45)
    """Side of the cube of the lattice of rotations; none is further than 0.75 of it from a searched one."""
    most_shift: int = Field(default=4, ge=0, le=16)
    """Shifts searched along every axis, voxels."""
    flips: bool = True
    """Search the mirror image along axis 0 too."""
    candidates: int = Field(default=8, ge=2)
    """Scans of the gallery, for each query, whose pose is made better step by step."""
    starts: int = Field(default=1, ge=1)
    """Rotations of the coarse search that each of them starts from."""
    steps: int = Field(default=5, ge=0)
    """Steps from each start."""

    def factor(self, shape: tuple[int, ...]) -> int:
        """Voxels that become one in the coarse search, so that a scan has about 12 000 there."""
        voxels = int(np.prod(shape))
        if voxels <= 8000 or min(shape) < 16:
            return 1
        return max(2, min(round((voxels / 12000) ** (1 / 3)), min(shape) // 8))


class InvariantSimilarity:
    """Correlation of the fine anatomy of two scans at their best pose.

    Both scans are band-passed at equal local contrast (`high_pass`). At reduced resolution every rotation, shift and
    mirror image of the query is correlated with every scan of the gallery, over the voxels that both show. For the
    scans of the gallery that come nearest, the pose is then made better step by step, and the correlation computed at
    full resolution in the same band. The others keep the coarse figure, at most the lowest of those made better.

    A query is treated alone: its row does not depend on the other queries, nor on the order of the gallery, and no
    random number is drawn. What a patient shares with all others counts too, so strangers do not score 0.

    Args:
        settings: See `PoseSearch`.
    """

    def __init__(self, settings: PoseSearch | None = None) -> None:
        self.settings = settings or PoseSearch()
        self._last: tuple[str, _Gallery] | None = None

    def matrix(self, queries: np.ndarray, gallery: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Similarity of every query with every scan of the gallery.

        Args:
            queries: (n, x, y, z), any intensity unit.
            gallery: (g, x, y, z) on the same grid.
            progress: Called with the number of queries done and of all.

        Returns:
            (n, g) float32 in [-1, 1]; 1: the same picture. 0 for a scan without contrast.

        Raises:
            InputError: Not four axes, sides below 8 voxels, different grids, or not finite.
        """
        queries, gallery = checked_images(queries, "queries"), checked_images(gallery, "gallery")
        if queries.shape[1:] != gallery.shape[1:]:
            raise InputError(
                f"queries of {queries.shape[1:]} and gallery of {gallery.shape[1:]} voxels: bring them to one grid."
            )
        queries, gallery = (self._whole_blocks(images) for images in (queries, gallery))
        rows = np.empty((len(queries), len(gallery)), np.float32)
        with _one_thread_each() as workers, torch.inference_mode():
            row_of = self._prepared(gallery)
            for i, row in enumerate(workers.map(lambda query: _alone(row_of, query), queries)):
                rows[i] = row
                if progress is not None:
                    progress(i + 1, len(queries))
        return rows

    def _whole_blocks(self, images: np.ndarray) -> np.ndarray:
        """Without what is no whole block at the reduced resolution, so that its middle is that of the scan.

        With a plane left over, mirror images of 45 x 60 x 60 scans lay a voxel away from where they were looked for
        (similarity 0.84 to 0.94 to themselves).
        """
        factor = self.settings.factor(images.shape[1:])
        x, y, z = (side - side % factor for side in images.shape[1:])
        return np.ascontiguousarray(images[:, :x, :y, :z])

    def _prepared(self, images: np.ndarray) -> _Gallery:
        """The gallery ready for queries; the last one is kept, since an audit comes back to it."""
        content = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest() + str((images.shape, images.dtype))
        if self._last is None or self._last[0] != content:
            self._last = None  # its memory first
            self._last = (content, _Gallery(images, self.settings))
        return self._last[1]


@contextmanager
def _one_thread_each() -> Iterator[ThreadPoolExecutor]:
    """As many queries at a time as PyTorch has threads, each in one: their steps are too small to be shared.

    Shared steps took ten times the processor time on a busy machine, and a row would depend on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as workers:
            yield workers
    finally:
        torch.set_num_threads(threads)


def _alone(row_of: _Gallery, query: np.ndarray) -> np.ndarray:
    if torch.get_num_threads() != 1:  # the number is each thread's own
        torch.set_num_threads(1)
    with torch.inference_mode():
        return row_of(query).numpy()


class _Gallery:
    """A gallery, prepared once, against which queries are held one at a time."""

    def __init__(self, images: np.ndarray, settings: PoseSearch) -> None:
        self._settings = settings
        self._factor = settings.factor(images.shape[1:])
        coarse, self._fine = self._levels(images)
        reach = -(-settings.most_shift // self._factor)
        self._search = CoarseSearch(coarse, settings.most_degrees, settings.step_degrees, reach, settings.flips)
        self._coarse = coarse
        self._grid, self._fine_grid = centred_grid(coarse.shape[1:]), centred_grid(self._fine.shape[1:])

    def _levels(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Scans at the coarse resolution and at their own, in the same band."""
        factor, setting = self._factor, self._settings
        inner, outer, local = (length * factor / 2 for length in (setting.inner, setting.outer, setting.local))
        averaged = (factor**2 - 1) / 12  # variance of a cube of so many voxels, which the coarse scan is averaged over
        fine = prepared(images, float(np.hypot(inner, averaged**0.5)), outer, local)
        return (fine if factor == 1 else prepared(images, inner, outer, local, factor)), fine

    def __call__(self, image: np.ndarray) -> Tensor:
        """Similarity of one scan with every one of the gallery, (g,)."""
        setting = self._settings
        coarse, fine = (level[0] for level in self._levels(image[None]))
        found = self._search(coarse, setting.starts)
        row = found.correlation[:, 0].clone()
        least = row.topk(min(setting.candidates, len(row))).values[-1]
        chosen = torch.nonzero(row >= least - _TIE)[:, 0]
        starts = found.correlation.shape[1]
        pairs = (chosen[:, None] * starts + torch.arange(starts)).flatten()
        values, poses = refined(
            coarse.expand(len(pairs), *coarse.shape),
            self._coarse[chosen.repeat_interleave(starts)],
            found.pose.take(pairs),
            self._grid,
            steps=setting.steps,
            most_degrees=1.5 * setting.most_degrees,
            most_shift=setting.most_shift / self._factor + 1,
        )
        best = values.reshape(-1, starts).argmax(dim=1) + torch.arange(len(chosen)) * starts
        queries = fine.expand(len(chosen), *fine.shape)
        exact = pair_correlation(queries, self._fine[chosen], poses.take(best).scaled(self._factor), self._fine_grid)
        row = row.clamp(max=float(exact.min()))
        row[chosen] = exact
        return row.clamp(-1, 1)


__all__ = ["InvariantSimilarity", "PoseSearch"]
