"""An audit of a prior without samples: does it know whom it was trained on?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from medidiff.cohort.scan_set import ScanSet
from medidiff.privacy.finding import Finding
from medidiff.privacy.judge import Judgement, judge
from medidiff.privacy.material import Subjects, gather
from medidiff.privacy.thresholds import Thresholds

NO_PASS = (
    "An audit of a prior alone gives no PASS: nothing planted shows how much it could have seen. Audit samples too."
)


def audit_prior(
    train: ScanSet, holdout: ScanSet, thresholds: Thresholds, white_box: Callable[[Subjects], Sequence[Finding]]
) -> tuple[Judgement, Subjects]:
    """The white-box tests, by Holm at the level of a main test.

    Args:
        train: Scans that the prior was trained on.
        holdout: Scans of people that it has never seen, assigned by chance.
        thresholds: Fixed beforehand.
        white_box: From `of_prior.asked_of_prior`.

    Returns:
        FAIL or INCONCLUSIVE, never PASS; and who was compared.

    Raises:
        InputError: See `material.gather`.
    """
    subjects = gather(train.take([]), train, holdout)
    found = [replace(f, role="primary") if f.role == "secondary" else f for f in white_box(subjects)]
    judgement = judge(found, thresholds)
    if judgement.verdict == "FAIL":
        return judgement, subjects
    tests = [f for f in judgement.findings if f.role == "primary"]
    least = min(float(f.figures["adjusted_p"]) for f in tests)
    words = f"No membership shows in {len(tests)} white-box tests (smallest p after Holm {least:.3f}). {NO_PASS}"
    return Judgement("INCONCLUSIVE", judgement.findings, words, {}), subjects


__all__ = ["NO_PASS", "audit_prior"]
