"""Small worlds with a known answer: patients and synthetics are vectors, a similarity is their cosine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery

SPECTRUM = 1 / np.sqrt(np.arange(1, 61))
MEAN = np.random.default_rng(99).normal(size=60) / 2


class World(NamedTuple):
    """Similarities of one audit, and the features they come from."""

    sim: np.ndarray
    real: np.ndarray
    gallery: Gallery
    controls: dict[str, np.ndarray]
    sources: dict[str, np.ndarray]
    made: np.ndarray
    features: np.ndarray


def p_of(finding: Finding) -> float:
    """The p-value of a test that was made."""
    assert finding.p_value is not None
    return finding.p_value


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def world(
    seed: int,
    n_train: int = 60,
    n_holdout: int = 60,
    n_synthetic: int = 100,
    *,
    rate: float = 0.0,
    spread: float = 1.0,
    noise: float = 0.2,
    scans: int = 1,
    transforms: tuple[str, ...] = ("exact",),
    control_noise: float | None = None,
) -> World:
    """A world where a share of the synthetics are copies of train scans under noise, the others new draws."""
    rng = np.random.default_rng(seed)
    p = n_train + n_holdout
    people = MEAN + rng.normal(size=(p, 60)) * SPECTRUM
    patients = np.repeat(np.arange(p), scans)
    features = people[patients] + 0.3 * (scans > 1) * rng.normal(size=(p * scans, 60)) * SPECTRUM
    is_train = np.zeros(p, dtype=bool)
    is_train[rng.permutation(p)[:n_train]] = True
    made = MEAN + spread * rng.normal(size=(n_synthetic, 60)) * SPECTRUM
    train_scans = np.flatnonzero(is_train[patients])
    copied = rng.choice(train_scans, round(rate * n_synthetic), replace=False)
    made[: len(copied)] = features[copied] + noise * rng.normal(size=(len(copied), 60)) * SPECTRUM
    controls, sources = {}, {}
    for name in transforms:
        planted = rng.choice(train_scans, 30, replace=False)
        extra = (noise if control_noise is None else control_noise) * rng.normal(size=(30, 60)) * SPECTRUM
        controls[name] = unit(features[planted] + extra) @ unit(features).T
        sources[name] = patients[planted]
    gallery = Gallery(patients, is_train)
    real = unit(features) @ unit(features).T
    return World(unit(made) @ unit(features).T, real, gallery, controls, sources, made, features)


def shuffled(w: World, seed: int) -> World:
    """The same world with its files in another order, and other numbers for the patients."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(w.sim)), rng.permutation(len(w.real))
    number = rng.permutation(w.gallery.n_patients)  # old number -> new number
    is_train = np.empty_like(w.gallery.is_train)
    is_train[number] = w.gallery.is_train
    controls, sources = {}, {}
    for name, sim in w.controls.items():
        order = rng.permutation(len(sim))
        controls[name], sources[name] = sim[order][:, columns], number[w.sources[name][order]]
    return World(
        w.sim[rows][:, columns],
        w.real[columns][:, columns],
        Gallery(number[w.gallery.patients[columns]], is_train),
        controls,
        sources,
        w.made[rows],
        w.features[columns],
    )
