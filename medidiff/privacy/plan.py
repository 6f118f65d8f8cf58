"""What an audit with so many patients and synthetics will be able to show, before anything is trained."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from medidiff.errors import UsageError
from medidiff.privacy.one_run import GUESSED, one_run_bound
from medidiff.privacy.proportions import upper_bound
from medidiff.privacy.thresholds import Thresholds

NOISE_FACTOR = 0.5
"""Part of the level that a reliable rate is planned for: chance singles out patients too, as often holdout ones."""
_MOST = 100_000  # patients or synthetics that are searched for


@dataclass(frozen=True)
class Plan:
    """The limits that the numbers alone set; real data can only be worse.

    Attributes:
        n_train: Train patients.
        n_holdout: Holdout patients.
        n_synthetic: Synthetics.
        smallest_copy_rate: Smallest share of copies that the label permutation can reject, each of another patient and
            all of them seen; None where no share is enough.
        found_copy_rate: Smallest share found with `power`, where `visible_recall` of the copies are seen, or None.
        smallest_bound: Bound on the copy rate when nothing is flagged.
        false_flag_bound: Bound on the false-positive rate when no holdout patient is flagged.
        largest_epsilon: Largest one-run bound on epsilon: a fifth of the fair canaries guessed, all right.
    """

    n_train: int
    n_holdout: int
    n_synthetic: int
    smallest_copy_rate: float | None
    found_copy_rate: float | None
    smallest_bound: float
    false_flag_bound: float
    largest_epsilon: float
    thresholds: Thresholds

    @property
    def words(self) -> str:
        """Plain sentences for a clinician."""
        sizes = f"With {self.n_train} train and {self.n_holdout} holdout patients and {self.n_synthetic} synthetics"
        return (
            f"{sizes}, an audit {self._copies()} {self._pass_words()} It can bound the share of copies at "
            f"{_percent(self.smallest_bound)} at best, the false positives of an attack on membership at "
            f"{_percent(self.false_flag_bound)}, and show a privacy loss (epsilon) of at most "
            f"{self.largest_epsilon:.2f}."
        )

    def _copies(self) -> str:
        fewest = fewest_patients(self.n_train, self.n_holdout, self.thresholds.alpha_primary)
        if fewest is None:
            return "cannot find copies, however many there are: it needs more holdout patients."
        if self.smallest_copy_rate is None:
            return f"cannot find copies: {fewest} different patients must be copied, which takes more synthetics."
        usual = "cannot be relied on" if self.found_copy_rate is None else f"finds {_percent(self.found_copy_rate)}"
        return (
            f"can find copies if they are {_percent(self.smallest_copy_rate)} of the synthetics or more, and of "
            f"{fewest} different train patients or more, and {usual} with a probability of {self.thresholds.power:.0%}."
        )

    @property
    def can_pass(self) -> bool:
        """Whether the numbers allow a PASS: `copy_rate` found with `power`, and excluded with the usual false flags."""
        limit, found = self.thresholds.copy_rate, self.found_copy_rate
        enough = found is not None and max(found, expected_bound(self.n_synthetic, self.thresholds)) <= limit
        return enough and few_enough(self.n_train, self.n_holdout, self.thresholds)

    def _pass_words(self) -> str:
        limit = _percent(self.thresholds.copy_rate)
        if self.can_pass:
            return f"That is enough for a PASS, which must find {limit}; each condition of its own needs as much again."
        said = f"That is too little for a PASS, which must find {limit}"
        if not few_enough(self.n_train, self.n_holdout, self.thresholds):
            most = _percent(self.thresholds.most_patients)
            return f"{said}, and see a prior that copies {most} of its patients: it takes more patients."
        synthetics = needed_synthetics(self.n_train, self.n_holdout, self.thresholds)
        more = "more patients" if synthetics is None else f"about {synthetics} synthetics, or more holdout patients"
        return f"{said}: it takes {more}."

    def to_dict(self) -> dict[str, Any]:
        """Its numbers by name, with the words."""
        found = {name: value for name, value in asdict(self).items() if name != "thresholds"}
        return {**found, "can_pass": self.can_pass, "words": self.words}


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"


def all_on_train(k: int, n_train: int, n_holdout: int) -> float:
    """Probability that k patients chosen by chance are all train: the smallest p-value k copied ones can give."""
    if k > n_train:
        return 0.0
    total = n_train + n_holdout
    return math.exp(
        math.lgamma(n_train + 1) - math.lgamma(n_train - k + 1) - math.lgamma(total + 1) + math.lgamma(total - k + 1)
    )


def fewest_patients(n_train: int, n_holdout: int, alpha: float) -> int | None:
    """Fewest train patients to be singled out, and no holdout patient, for a rejection; None: all are too few."""
    return next((k for k in range(1, n_train + 1) if all_on_train(k, n_train, n_holdout) <= alpha), None)


def few_enough(n_train: int, n_holdout: int, thresholds: Thresholds) -> bool:
    """Whether the main test can reject where `most_patients` of the train patients are copied."""
    fewest = fewest_patients(n_train, n_holdout, thresholds.alpha_primary)
    return fewest is not None and fewest <= thresholds.most_patients * n_train


def copies_for(patients: float, n_train: int) -> float:
    """Copies of patients chosen by chance, that reach so many different ones in the mean."""
    if patients >= n_train:
        return math.inf
    return math.log1p(-patients / n_train) / math.log1p(-1 / n_train)


def plan(n_train: int, n_holdout: int, n_synthetic: int, thresholds: Thresholds | None = None) -> Plan:
    """What could be shown.

    Args:
        n_train: Patients trained on.
        n_holdout: Patients kept away from training.
        n_synthetic: Synthetics of the audit.
        thresholds: Of the audit.

    Raises:
        UsageError: Fewer than two patients on a side, or no synthetic.
    """
    thresholds = thresholds or Thresholds()
    if min(n_train, n_holdout) < 2 or n_synthetic < 1:
        raise UsageError(
            f"plan for {n_train} train, {n_holdout} holdout patients, {n_synthetic} synthetics: at least 2, 2 and 1."
        )
    # canaries are those for whom the coin was fair: the holdout, and as many of train (`Coin.is_canary`)
    made = max(1, round(GUESSED * min(n_train, n_holdout))) * 2
    return Plan(
        n_train=n_train,
        n_holdout=n_holdout,
        n_synthetic=n_synthetic,
        smallest_copy_rate=_rate(
            fewest_patients(n_train, n_holdout, thresholds.alpha_primary), n_train, n_synthetic, 1.0
        ),
        found_copy_rate=_reliable_rate(n_train, n_holdout, n_synthetic, thresholds),
        smallest_bound=upper_bound(0, n_synthetic, thresholds.confidence),
        false_flag_bound=upper_bound(0, n_holdout, thresholds.confidence),
        largest_epsilon=one_run_bound(made, made, confidence=thresholds.confidence),
        thresholds=thresholds,
    )


def _rate(patients: float | None, n_train: int, n_synthetic: int, recall: float) -> float | None:
    if patients is None:
        return None
    rate = math.ceil(copies_for(patients, n_train) / recall) / n_synthetic if patients < n_train else math.inf
    return rate if rate <= 1 else None


def _reliable_rate(n_train: int, n_holdout: int, n_synthetic: int, thresholds: Thresholds) -> float | None:
    """Smallest share found with `power`, where `visible_recall` of the copies are seen, see `NOISE_FACTOR`."""
    patients = fewest_patients(n_train, n_holdout, thresholds.alpha_primary * NOISE_FACTOR)
    return _rate(patients, n_train, n_synthetic, thresholds.visible_recall)


def needed_holdout(n_train: int, n_synthetic: int, thresholds: Thresholds, most: int = _MOST) -> int | None:
    """Fewest holdout patients with which `copy_rate` is found with `power`; None where no number is enough."""
    sizes = [2]
    while sizes[-1] < most:
        sizes.append(max(sizes[-1] + 1, int(sizes[-1] * 1.05)))
    for size in sizes:
        rate = _reliable_rate(n_train, size, n_synthetic, thresholds)
        if rate is not None and rate <= thresholds.copy_rate and few_enough(n_train, size, thresholds):
            return size
    return None


def expected_bound(n_synthetic: int, thresholds: Thresholds) -> float:
    """Bound on the copy rate where false flags come at their rate and copies are seen with `visible_recall`."""
    flagged = math.ceil(thresholds.false_flag * n_synthetic)
    return upper_bound(flagged, n_synthetic, thresholds.confidence) / thresholds.visible_recall


def needed_synthetics(n_train: int, n_holdout: int, thresholds: Thresholds) -> int | None:
    """Fewest synthetics with which `copy_rate` is found with `power` and can be excluded; None: no number is."""
    if not few_enough(n_train, n_holdout, thresholds):
        return None
    n = 10
    while n < _MOST:
        rate = _reliable_rate(n_train, n_holdout, n, thresholds)
        if rate is not None and max(rate, expected_bound(n, thresholds)) <= thresholds.copy_rate:
            return n
        n = max(n + 1, int(n * 1.05))
    return None


__all__ = [
    "Plan", "all_on_train", "copies_for", "expected_bound", "few_enough", "fewest_patients", "needed_holdout",
    "needed_synthetics", "plan",
]  # fmt: skip
