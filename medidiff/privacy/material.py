"""What an audit measures once and every test then reads: similarities of synthetics, patients and planted copies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from medidiff.cohort.scan_set import ScanSet
from medidiff.errors import InputError
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.thresholds import Thresholds
from medidiff.privacy.transforms import planted_copies

FEWEST_PATIENTS = 5
"""On each side: with fewer than 5 and 5 patients no permutation of labels reaches p = 0.004 (1 in 252)."""
Similarity = Callable[[np.ndarray, np.ndarray, Callable[[int, int], None] | None], np.ndarray]
Attributes = Mapping[str, float | str | None]


@dataclass(frozen=True, eq=False)
class Subjects:
    """Train and holdout as one gallery, and the synthetics; each in an order that their voxels decide, not file names.

    Attributes:
        gallery: Whose the gallery's scans are, and who was train.
        real: (g, x, y, z) scans of the gallery.
        real_attributes: Of each.
        synthetic: (n, x, y, z).
        names: What each synthetic is called.
        attributes: What was asked for or measured of each.
        people: Identifier of each patient, by number; it is written nowhere.
        order: (g,) place of each of the gallery's scans in train followed by holdout, as they were given.
    """

    gallery: Gallery
    real: np.ndarray
    real_attributes: tuple[Attributes, ...]
    synthetic: np.ndarray
    names: tuple[str, ...]
    attributes: tuple[Attributes, ...]
    people: tuple[str, ...] = ()
    order: np.ndarray | None = None

    @property
    def train_scans(self) -> np.ndarray:
        """Numbers of the gallery's scans of train patients."""
        return np.flatnonzero(self.gallery.is_train[self.gallery.patients])


@dataclass(frozen=True, eq=False)
class Material:
    """Similarities in one space.

    Attributes:
        space: "" for the pose-searched correlation, else the name of the embedding.
        synthetic: (n, g) synthetics to the gallery.
        real: (g, g) the gallery to itself.
        planted: Transform -> (k, g) planted copies to the gallery.
        sources: Transform -> (k,) patient number that each copy was made from.
        of_prior: Whether the audited prior itself makes the features: then they may know the train patients even where
            no sample does.
    """

    space: str
    synthetic: np.ndarray
    real: np.ndarray
    planted: Mapping[str, np.ndarray] = field(default_factory=dict)
    sources: Mapping[str, np.ndarray] = field(default_factory=dict)
    of_prior: bool = False


def gather(synthetic: ScanSet, train: ScanSet, holdout: ScanSet) -> Subjects:
    """Pool the real patients and put everything into an order that does not depend on files.

    Raises:
        InputError: A patient stands on both sides, a scan of one side is also on the other, or too few patients.
    """
    shared = sorted(set(train.patients) & set(holdout.patients))
    if shared:
        raise InputError(
            f"{len(shared)} patients stand in train and in holdout: an audit compares people who were trained on with "
            "people who were not. Split by patient, not by scan (`medidiff prepare --holdout coin`)."
        )
    keys_train, keys_holdout = [_key(x) for x in train.images], [_key(x) for x in holdout.images]
    twice = len(set(keys_train) & set(keys_holdout))
    if twice:
        raise InputError(
            f"{twice} scans of train are in holdout too, under other patients' names. Find out whose they are; an "
            "audit cannot tell a copy of train from one of holdout where they are the same."
        )
    for name, side in (("--train", train), ("--holdout", holdout)):
        people = len(set(side.patients))
        if people < FEWEST_PATIENTS:
            raise InputError(
                f"{name} {side.where}: {people} patients, an audit needs {FEWEST_PATIENTS} on each side, and 50 to say "
                "much. `medidiff audit --plan N` says what N patients can show."
            )
    real = np.concatenate([train.images, holdout.images])
    keys = keys_train + keys_holdout
    order = sorted(range(len(real)), key=keys.__getitem__)
    people = [(0, name) for name in train.patients] + [(1, name) for name in holdout.patients]
    number: dict[tuple[int, str], int] = {}
    patients = np.array([number.setdefault(people[i], len(number)) for i in order])
    is_train = np.array([side == 0 for side, _ in number])
    attributes = (*train.attributes, *holdout.attributes)
    mine = sorted(range(len(synthetic)), key=lambda i: (_key(synthetic.images[i]), synthetic.names[i]))
    return Subjects(
        Gallery(patients, is_train),
        real[order],
        tuple(attributes[i] for i in order),
        synthetic.images[mine],
        tuple(synthetic.names[i] for i in mine),
        tuple(synthetic.attributes[i] for i in mine),
        tuple(name for _, name in number),
        np.array(order),
    )


def measure(
    subjects: Subjects,
    similarity: Similarity,
    thresholds: Thresholds,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Material:
    """All similarities that the tests in the main space need.

    Args:
        subjects: Who is compared.
        similarity: (queries, gallery, progress) -> (n, g) in [-1, 1].
        thresholds: How many copies are planted, and the seed.
        progress: Told (what, done, of).
    """

    def matrix(what: str, queries: np.ndarray) -> np.ndarray:
        tell = None if progress is None else partial(progress, what)
        return np.asarray(similarity(queries, subjects.real, tell), dtype=np.float64)

    scans = subjects.train_scans
    planted, sources = {}, {}
    for name in thresholds.must_see:
        copies = planted_copies(
            subjects.real[scans], subjects.gallery.patients[scans], name, thresholds.planted, thresholds.seed
        )
        planted[name] = matrix(f"planted copies: {name}", copies.images)
        sources[name] = subjects.gallery.patients[scans[copies.sources]]
    among, real = matrix("synthetics", subjects.synthetic), matrix("patients", subjects.real)
    return Material("", among, real, planted, sources)


def _key(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image, dtype=np.float32).tobytes()).hexdigest()


__all__ = ["FEWEST_PATIENTS", "Material", "Subjects", "gather", "measure"]
