"""What an audit cannot see, said in every report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medidiff.privacy.judge import Judgement

ALWAYS = (
    "Copies altered more strongly than the planted ones, or hidden under noise as strong as what tells patients apart.",
    "Copies turned by a quarter, or with axes exchanged: a prior trained with `axes` or `flip` can make such.",
    "Parts of a scan: the whole window is compared, so a copied detail in an otherwise new scan is not found.",
    "A few altered copies, or copies of one or two patients only; an unaltered one is looked for by itself.",
    "Attacks that know more than this audit: another prior trained on some of the same patients, or other records.",
    "Patients of kinds that stand neither in train nor in holdout.",
    "Whether train and holdout were assigned by chance: every p-value rests on it, and the audit cannot prove it.",
)
_MOST_GAPS = 10
_FEW = 5


def few(count: int) -> str:
    """A count of people, told so that nobody is singled out."""
    return "none" if count == 0 else f"fewer than {_FEW}" if count < _FEW else str(count)


def limits_of(
    judgement: Judgement, with_prior: bool, gaps: Sequence[Mapping[str, Any]] = (), checked: bool = False
) -> tuple[str, ...]:
    """A sentence each.

    Args:
        judgement: Of this audit: transforms that were blind are named.
        with_prior: Whether the prior itself was asked.
        gaps: What the cohort lacks, from `evaluate.subgroups`.
        checked: Whether the train patients were held against the prior's commitment.
    """
    blind = [str(f.figures["transform"]) for f in judgement.findings if f.figures.get("visible") is False]
    found = [f"Copies under {', '.join(blind)}: the planted ones were not found."] if blind else []
    if not checked:
        found.append("Whether --train is whom the prior was trained on: taken on trust (--run with --prior checks it).")
    if not with_prior:
        found.append("What the prior itself gives away: it was not given; nothing is said about releasing its weights.")
    found += [
        f"People who are {' and '.join(gap['cell'])}: the cohort has {few(gap['patients'])}."
        for gap in list(gaps)[:_MOST_GAPS]
    ]
    return (*found, *ALWAYS)


__all__ = ["ALWAYS", "limits_of"]
