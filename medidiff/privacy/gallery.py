"""The real patients that synthetics are held against: train and holdout in one gallery, told apart only afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medidiff.errors import InputError

FLOOR = 0.1
"""Smallest distance that a gap is measured from (a similarity of 0.995): an exact copy is no stronger evidence than a
very good one, and no single pair outweighs all others."""
ROUNDING = 1e-5
"""By which a similarity computed in single precision may pass 1."""
_BLOCK = 4_000_000  # similarities that are worked on at once


@dataclass(frozen=True)
class Gallery:
    """Whose the gallery's scans are, and which of the patients the prior was trained on.

    Attributes:
        patients: (g,) number of each scan's patient, from 0 to p - 1; a patient may have several scans.
        is_train: (p,) whether each PATIENT was trained on; the others are holdout.

    Raises:
        InputError: A number without a patient, a patient without a scan, or fewer than two patients on a side.
    """

    patients: np.ndarray
    is_train: np.ndarray

    def __post_init__(self) -> None:
        patients, is_train = np.asarray(self.patients), np.asarray(self.is_train)
        if patients.ndim != 1 or is_train.ndim != 1 or is_train.dtype != bool:
            raise InputError("gallery: patients must be a list of numbers, is_train a list of true or false.")
        if not np.array_equal(np.unique(patients), np.arange(len(is_train))):
            raise InputError(
                f"gallery: the scans' patients must be the numbers 0 to {len(is_train) - 1}, each at least once."
            )
        if self.n_train < 2 or self.n_holdout < 2:
            raise InputError(
                f"gallery: {self.n_train} train and {self.n_holdout} holdout patients: an audit needs two of each at "
                "least, and a useful one 50. `medidiff audit --plan N` says what N holdout patients can show."
            )

    @property
    def n_train(self) -> int:
        """Train patients."""
        return int(np.sum(self.is_train))

    @property
    def n_holdout(self) -> int:
        """Holdout patients."""
        return int(len(self.is_train) - self.n_train)

    @property
    def n_patients(self) -> int:
        """All patients."""
        return len(self.is_train)


@dataclass(frozen=True)
class Nearest:
    """The nearest patient of every query and how far ahead of the next one he is; all (n,).

    Attributes:
        patient: Number of the nearest patient; where two are as near, one of them, and the gap is 0.
        first: Similarity of his nearest scan.
        second: Similarity of the nearest scan of ANOTHER patient.
        gap: ln(d2 / d1), at least 0, with distances sqrt(2 (1 - similarity)) no smaller than `FLOOR`.
    """

    patient: np.ndarray
    first: np.ndarray
    second: np.ndarray
    gap: np.ndarray


def by_patient(sim: np.ndarray, gallery: Gallery) -> np.ndarray:
    """Similarity of every query to every patient, that of his nearest scan.

    Args:
        sim: (n, g), 1 = the same picture.
        gallery: Whose the g scans are.

    Returns:
        (n, p) float64.

    Raises:
        InputError: The sizes do not fit, there is no query, or a similarity is not finite or above 1.
    """
    values = np.asarray(sim, dtype=np.float64)
    if values.ndim != 2 or len(values) == 0 or values.shape[1] != len(gallery.patients):
        raise InputError(
            f"similarities of shape {values.shape}: must be (scans, {len(gallery.patients)} gallery scans), with at "
            "least one scan."
        )
    if not np.isfinite(values).all() or np.abs(values).max() > 1 + ROUNDING:
        raise InputError("similarities must be finite and between -1 and 1: a scan holds NaN, or was not normalised.")
    if len(gallery.patients) == gallery.n_patients:
        best = np.empty_like(values)
        best[:, gallery.patients] = values
        return np.minimum(best, 1.0)
    order = np.argsort(gallery.patients, kind="stable")
    starts = np.searchsorted(gallery.patients[order], np.arange(gallery.n_patients))
    return np.minimum(np.maximum.reduceat(values[:, order], starts, axis=1), 1.0)


def distance(sim: np.ndarray) -> np.ndarray:
    """sqrt(2 (1 - similarity)): the distance of two pictures of unit norm."""
    return np.sqrt(2 * np.maximum(1 - sim, 0))


def nearest(best: np.ndarray, floor: float = FLOOR) -> Nearest:
    """First and second patient of every query.

    Args:
        best: (n, p) of `by_patient`; -inf where a patient may not be the answer.
        floor: Smallest distance.
    """
    rows = np.arange(len(best))
    patient = np.argmax(best, axis=1)
    first = best[rows, patient]
    rest = best.copy()
    rest[rows, patient] = -np.inf
    second = rest.max(axis=1)
    gap = np.log(np.maximum(distance(second), floor) / np.maximum(distance(first), floor))
    return Nearest(patient, first, second, gap)


def nearest_patients(sim: np.ndarray, gallery: Gallery) -> Nearest:
    """`nearest` of `by_patient`, in blocks of rows: ten thousand against ten thousand needs no second matrix.

    Args:
        sim: (n, g), 1 = the same picture.
        gallery: Whose the g scans are.

    Raises:
        InputError: See `by_patient`.
    """
    rows = max(1, _BLOCK // max(1, len(gallery.patients)))
    blocks = [nearest(by_patient(sim[i : i + rows], gallery)) for i in range(0, max(len(sim), 1), rows)]
    return Nearest(*(np.concatenate([getattr(b, name) for b in blocks]) for name in Nearest.__dataclass_fields__))


def strangers(gallery_sim: np.ndarray, gallery: Gallery) -> Nearest:
    """The nearest patient of every gallery scan among all patients but its own: what a stranger looks like.

    Args:
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Whose they are.

    Raises:
        InputError: See `by_patient`; or the matrix is not square.
    """
    best = by_patient(gallery_sim, gallery)
    if len(best) != len(gallery.patients):
        raise InputError(f"gallery similarities of shape {np.shape(gallery_sim)}: must be square.")
    best[np.arange(len(best)), gallery.patients] = -np.inf
    return nearest(best)


def strongest_by_patient(values: np.ndarray, patients: np.ndarray, n_patients: int) -> np.ndarray:
    """Each patient's largest value, (p,), and 0 where there is none: repeated scans of one person are one vote."""
    strongest = np.zeros(n_patients)
    np.maximum.at(strongest, patients, values)
    return strongest


__all__ = [
    "FLOOR",
    "Gallery",
    "Nearest",
    "by_patient",
    "distance",
    "nearest",
    "nearest_patients",
    "strangers",
    "strongest_by_patient",
]
