"""One audit from scans to judgement: similarities, embeddings, the battery, the verdict, samples to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medidiff.cohort.scan_set import ScanSet
from medidiff.errors import InputError
from medidiff.privacy.battery import Evidence, run_battery
from medidiff.privacy.encoder import Encoder, phantom_references, train_encoder
from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Nearest, nearest_patients
from medidiff.privacy.judge import Judgement, judge
from medidiff.privacy.material import Material, Subjects, gather, measure
from medidiff.privacy.report_record import CaseNote
from medidiff.privacy.similarity import InvariantSimilarity
from medidiff.privacy.strata import strata_of
from medidiff.privacy.thresholds import Thresholds

PHANTOMS = 16
"""Procedural volumes that the encoder learns from, beside the reference scans: with more of them few scans are seen."""
SMALLEST_SIDE = 16
"""Voxels along each axis of the window: less shows too little of anybody."""
LOOKED_AT = 10
"""Random samples, and worst samples, that a person shall look at."""
Progress = Callable[[str, int, int], None]
Embed = Callable[[np.ndarray], np.ndarray]
Embedding = Callable[[np.ndarray], Embed]
"""What to embed with, given the gallery: features may be standardised over it, whoever is train or holdout in it."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What came out.

    Attributes:
        judgement: Verdict, findings, words.
        subjects: Who was compared, in the audit's own order.
        main: The similarities that decided.
        nearest: The patient nearest to each synthetic, by them.
        worst: Numbers of the synthetics that single out a patient most strongly.
        random: Numbers of synthetics drawn for a person to look at.
        features: Of the encoder: synthetics and gallery.
    """

    judgement: Judgement
    subjects: Subjects
    main: Material
    nearest: Nearest
    worst: np.ndarray
    random: np.ndarray
    features: tuple[np.ndarray, np.ndarray]

    def flagged(self) -> list[str]:
        """Synthetics that are a patient's scan, or nearer to one than strangers come to anybody, most striking first.

        A holdout patient's count too: whoever he is, he must not be given away.
        """
        found = {f.test: f.figures for f in self.judgement.findings if not f.stratum}
        gap = float(found["copy rate"]["flag_above_log_gap"]) if "copy rate" in found else np.inf
        same = float(found["identical scans"]["limit"]) if "identical scans" in found else np.inf
        chosen = (self.nearest.gap > gap) | (self.nearest.first >= same)
        return [self.subjects.names[i] for i in _by_gap(self.nearest) if chosen[i]]

    def notes(self) -> tuple[tuple[CaseNote, ...], tuple[CaseNote, ...]]:
        """Random and worst samples for the report."""
        found, flagged = self.nearest, set(self.flagged())

        def note(i: int, why: str) -> CaseNote:
            return CaseNote(file=self.subjects.names[i], similarity=float(found.first[i]), why=why)

        worst = []
        for i in self.worst:
            side = "train" if self.subjects.gallery.is_train[found.patient[i]] else "holdout"
            part = np.exp(-found.gap[i])
            why = f"its distance to one {side} patient is {part:.0%} of that to anybody else"
            worst.append(note(i, f"{'FLAGGED: ' if self.subjects.names[i] in flagged else ''}{why}"))
        return tuple(note(i, "drawn at random") for i in self.random), tuple(worst)


def run_audit(
    synthetic: ScanSet,
    train: ScanSet,
    holdout: ScanSet,
    thresholds: Thresholds,
    *,
    reference: ScanSet | None = None,
    more_spaces: Sequence[tuple[str, Embedding]] = (),
    white_box: Callable[[Subjects], Sequence[Finding]] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit synthetics against the patients whom their prior was trained on, and others whom it was not.

    Args:
        synthetic: The set.
        train: Scans that the prior was trained on.
        holdout: Scans of people whom nothing of the prior has seen, assigned by chance.
        thresholds: Fixed beforehand.
        reference: Scans of neither, such as val, that the encoder learns from beside phantoms.
        more_spaces: (name, embedding) of the prior's own; features of unit norm.
        white_box: Findings on the prior itself, given who is compared.
        progress: Told (what, done, of).

    Raises:
        InputError: See `gather`; or the window has fewer than 16 voxels along an axis; or the reference shares patients
            with train or holdout.
    """
    _check_window(synthetic)
    subjects = gather(synthetic, train, holdout)
    encoder = _encoder(reference, train, holdout, synthetic.images.shape[1:], thresholds)
    main = measure(subjects, InvariantSimilarity().matrix, thresholds, progress=progress)
    features = (encoder.embed(subjects.synthetic), encoder.embed(subjects.real))
    others = [_in_space(subjects, "encoder", *features)]
    for name, embedding in more_spaces:
        embed = embedding(subjects.real)
        space = _in_space(subjects, name, embed(subjects.synthetic), embed(subjects.real))
        others.append(replace(space, of_prior=True))
    train_rows = [subjects.real_attributes[i] for i in subjects.train_scans]
    evidence = Evidence(
        subjects,
        main,
        others,
        features,
        strata_of(subjects.attributes, train_rows),
        () if white_box is None else white_box(subjects),
    )
    judgement = judge(run_battery(evidence, thresholds), thresholds)
    found = nearest_patients(main.synthetic, subjects.gallery)
    return Audit(judgement, subjects, main, found, *_to_look_at(found, thresholds), features)


def _encoder(
    reference: ScanSet | None,
    train: ScanSet,
    holdout: ScanSet,
    shape: tuple[int, ...],
    thresholds: Thresholds,
) -> Encoder:
    phantoms = phantom_references((shape[0], shape[1], shape[2]), PHANTOMS, thresholds.seed)
    own, steps = np.arange(len(phantoms)), thresholds.encoder_steps
    if reference is None:
        return train_encoder(phantoms, own, seed=thresholds.seed, steps=steps)
    _check_apart(reference, train, holdout)
    _, people = np.unique(np.array(reference.patients), return_inverse=True)
    images = np.concatenate([reference.images, phantoms])
    return train_encoder(images, np.concatenate([people, own + people.max() + 1]), seed=thresholds.seed, steps=steps)


def _check_window(synthetic: ScanSet) -> None:
    shape = synthetic.images.shape[1:]
    if min(shape) < SMALLEST_SIDE:
        raise InputError(
            f"{synthetic.where}: the window that all scans fill has {' x '.join(map(str, shape))} voxels, an audit "
            f"needs {SMALLEST_SIDE} along each axis. Leave the smallest scans out, or compare at finer voxels."
        )


def _check_apart(reference: ScanSet, train: ScanSet, holdout: ScanSet) -> None:
    for name, other in (("train", train), ("holdout", holdout)):
        shared = set(reference.patients) & set(other.patients)
        if shared:
            raise InputError(
                f"--reference {reference.where}: {len(shared)} of its patients are in {name} too. The encoder must "
                "learn from people who are in neither."
            )


def _in_space(subjects: Subjects, name: str, made: np.ndarray, real: np.ndarray) -> Material:
    """Similarities of unit features; copies are planted for the main similarity alone."""
    return Material(name, np.clip(made @ real.T, -1, 1), np.clip(real @ real.T, -1, 1))


def _by_gap(found: Nearest) -> np.ndarray:
    """Numbers of the synthetics, those that single out a patient most strongly first."""
    return np.lexsort((-found.first, -found.gap))


def _to_look_at(found: Nearest, thresholds: Thresholds) -> tuple[np.ndarray, np.ndarray]:
    worst = _by_gap(found)[:LOOKED_AT]
    rng = np.random.default_rng([thresholds.seed, len(found.gap)])
    others = np.setdiff1d(np.arange(len(found.gap)), worst)
    drawn = rng.choice(others, min(LOOKED_AT, len(others)), replace=False)
    return worst, np.sort(drawn)


__all__ = ["LOOKED_AT", "Audit", "run_audit"]
