"""What a privacy audit will be able to show of a prior, said before the prior is trained."""

from __future__ import annotations

from collections.abc import Sequence

SYNTHETICS = 200
"""Samples that the audit is foreseen with."""


def audit_lines(n_train: int, n_holdout: int) -> Sequence[str]:
    """The figures as lines for the terminal.

    Args:
        n_train: Patients trained on.
        n_holdout: Patients held out.
    """
    if n_holdout < 2 or n_train < 2:
        few = "nobody is" if n_holdout == 0 else f"only {n_holdout} is" if n_holdout == 1 else f"{n_holdout} are"
        return [
            f"privacy audit: {few} held out and {n_train} are trained on, too few to audit with. `--holdout coin` "
            "keeps 30% of the patients out."
        ]
    from medidiff.privacy.plan import plan

    return [f"privacy audit: {plan(n_train, n_holdout, SYNTHETICS).words}"]


__all__ = ["audit_lines"]
