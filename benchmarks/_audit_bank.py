"""The bank that audit worlds are drawn from: patients of a model that anyone has, synthetics, and copies.

A scan is a mean anatomy plus a smooth Gaussian random field of the patient plus white acquisition noise. Null
synthetics are new draws, smooth ones have 0.85 of the spread about the mean. Similarities are computed once and kept in
the cache, row by row: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from medidiff.privacy.similarity import InvariantSimilarity, PoseSearch
from medidiff.privacy.thresholds import TRANSFORMS
from medidiff.privacy.transforms import planted_copies

CACHE = Path(".work/audit")
SHAPE = (16, 16, 16)
PATIENTS, COPIED, SYNTHETIC = 220, 112, 280
SPREAD = 0.85
FINE, COARSE, NOISE = 1.2, 2.5, 0.1  # voxels, voxels, of the field's standard deviation
PROJECTED = 256
SEARCH = PoseSearch(candidates=3, starts=1, steps=4)
"""The audit's own search, with fewer candidates: the bank is a day's work of it otherwise."""
STRONG = "strong noise"
"""Copies under noise ten times as strong as the scan's detail: what this audit must say that it is blind to."""
KINDS = (*TRANSFORMS, STRONG)
_KEPT = 40  # rows between two writes


@dataclass(frozen=True)
class Bank:
    """Similarities to all patients of the bank, (n, PATIENTS) each, in two spaces: "pose" and "projection"."""

    gallery: dict[str, np.ndarray]
    synthetic: dict[str, dict[str, np.ndarray]]
    """Space -> "null" or "smooth" -> rows."""
    copies: dict[str, dict[str, np.ndarray]]
    """Space -> transform -> rows."""
    sources: dict[str, np.ndarray]
    """Transform -> (COPIED,) whose copy each is."""


def _field(rng: np.random.Generator, sigma: float) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.normal(size=tuple(s + 8 * int(sigma + 1) for s in SHAPE)), sigma, mode="wrap")
    inner = field[tuple(slice(4 * int(sigma + 1), 4 * int(sigma + 1) + s) for s in SHAPE)]
    return inner / field.std()


def mean_anatomy() -> np.ndarray:
    """What all patients share: a body with a few organs."""
    rng = np.random.default_rng(1)
    axes = np.stack(np.meshgrid(*(np.linspace(-1, 1, s) for s in SHAPE), indexing="ij"))
    body = 1 / (1 + np.exp(12 * ((axes**2).sum(axis=0) - 0.9)))
    return 3 * body + 1.5 * _field(rng, 3.0)


def deviation(seed: int) -> np.ndarray:
    """What one scan has of its own: the patient's field and the acquisition's noise."""
    rng = np.random.default_rng([7, seed])
    return (_field(rng, FINE) + _field(rng, COARSE)) / np.sqrt(2) + NOISE * rng.normal(size=SHAPE)


def _normalised(images: np.ndarray) -> np.ndarray:
    middle = images.mean(axis=(1, 2, 3), keepdims=True)
    return ((images - middle) / images.std(axis=(1, 2, 3), keepdims=True)).astype(np.float32)


def scans() -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Gallery, all other sets by name (as they are queried), and the sources of the copies."""
    mean = mean_anatomy()
    raw = np.stack([mean + deviation(i) for i in range(PATIENTS)])
    sets = {
        "null": np.stack([mean + deviation(10_000 + i) for i in range(SYNTHETIC)]),
        "smooth": np.stack([mean + SPREAD * deviation(20_000 + i) for i in range(SYNTHETIC)]),
    }
    gallery, sources = _normalised(raw), {}
    sets = {name: _normalised(images) for name, images in sets.items()}
    for name in TRANSFORMS:
        planted = planted_copies(gallery, np.arange(PATIENTS), name, COPIED, seed=3)
        sets[name], sources[name] = _normalised(planted.images.astype(np.float64)), planted.sources
    exact, rng = sets["exact"].astype(np.float64), np.random.default_rng(4)
    detail = (exact - ndimage.gaussian_filter(exact, (0, 2, 2, 2))).std()
    sets[STRONG], sources[STRONG] = _normalised(exact + 10 * detail * rng.normal(size=exact.shape)), sources["exact"]
    return gallery, sets, sources


def bank(cache: Path = CACHE, kinds: tuple[str, ...] = KINDS) -> Bank:
    """The bank, from the cache or computed; with copies of `kinds` only."""
    gallery, sets, sources = scans()
    queries = {"gallery": gallery, **sets}
    key = hashlib.sha256(b"".join(q.tobytes() for q in queries.values()) + repr(SEARCH).encode()).hexdigest()[:12]
    queries = {name: q for name, q in queries.items() if name in (*kinds, "gallery", "null", "smooth")}
    pose = pose_rows(cache / f"bank_{key}", queries, gallery, SEARCH)
    axes = np.random.default_rng(5).normal(size=(gallery[0].size, PROJECTED)).astype(np.float32)
    embedded = {name: _embedded(q, axes) for name, q in queries.items()}
    projection = {name: e @ embedded["gallery"].T for name, e in embedded.items()}
    spaces = {"pose": pose, "projection": projection}
    return Bank(
        gallery={space: rows["gallery"] for space, rows in spaces.items()},
        synthetic={space: {k: rows[k] for k in ("null", "smooth")} for space, rows in spaces.items()},
        copies={space: {k: rows[k] for k in kinds} for space, rows in spaces.items()},
        sources=sources,
    )


def _embedded(images: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(n, PROJECTED) of unit norm: the detail, projected on random axes; it stands for an encoder."""
    detail = images - ndimage.gaussian_filter(images, (0, 2, 2, 2))
    made = detail.reshape(len(images), -1) @ axes
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def pose_rows(
    stem: Path, queries: dict[str, np.ndarray], gallery: np.ndarray, search: PoseSearch
) -> dict[str, np.ndarray]:
    """Similarity of every set of queries to the gallery; rows that are in the folder `stem` are not made again."""
    similarity, rows = InvariantSimilarity(search), {}
    stem.mkdir(parents=True, exist_ok=True)
    for name, images in queries.items():
        file = stem / f"{name}.npy"
        done = np.load(file) if file.is_file() else np.empty((0, len(gallery)), np.float32)
        while len(done) < len(images):
            start = time.time()
            done = np.concatenate([done, similarity.matrix(images[len(done) : len(done) + _KEPT], gallery)])
            partial = file.with_suffix(".partial.npy")
            np.save(partial, done)
            partial.replace(file)
            print(f"{name}: {len(done)} of {len(images)} ({time.time() - start:.0f} s)", file=sys.stderr, flush=True)
        rows[name] = done
    return rows
