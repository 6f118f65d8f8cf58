"""From findings to a verdict, by rules that were fixed before the data were seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medidiff.privacy.finding import Finding, Verdict
from medidiff.privacy.plan import expected_bound, needed_holdout, needed_synthetics
from medidiff.privacy.thresholds import DONE, Thresholds
from medidiff.significance import holm

IDENTITY = "identical scans"
"""The test without a p-value: one that is found is a FAIL, whatever the rate."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on all findings.

    Attributes:
        verdict: FAIL: a test rejects. PASS: none does, and this audit would have seen `Thresholds.copy_rate`.
            INCONCLUSIVE else.
        findings: As given, each with its verdict; the p-values adjusted for the others are in `figures["adjusted_p"]`.
        words: Why, in plain sentences; with a PASS what the audit cannot see.
        needed: `holdout_patients` and `synthetics` that would decide an INCONCLUSIVE: each the number with the other as
            it is, None where that alone is not enough; empty for other verdicts, or where a number is not what is
            missing.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    words: str
    needed: dict[str, int | None]


def judge(findings: Sequence[Finding], thresholds: Thresholds) -> Judgement:
    """Verdict per finding and overall.

    A synthetic that is a train patient's scan makes the audit FAIL. A primary test rejects by Holm over the primary
    tests (one a stratum) at `alpha_primary`, a secondary one by Holm over all secondary tests at `alpha_secondary`.
    Either makes the audit FAIL, and no gate or control takes that back. A PASS needs, besides, that every gate and
    every control holds (`figures["holds"]`), of the whole set and of every stratum, since the worst governs: each
    transform of `must_see` visible, sensitivity and bound within `copy_rate`. A finding not made holds nothing.

    Args:
        findings: Of all tests; the primary's figures name the numbers of patients and synthetics.
        thresholds: Of the audit.
    """
    judged = _with_verdicts(findings, thresholds)
    failed = [f for f in judged if f.verdict == "FAIL" and f.role in ("primary", "secondary")]
    doubts = _doubts(judged, thresholds)
    if failed:
        gates = [f for f in judged if f.role == "gate" and f.verdict == "INCONCLUSIVE"]
        words = "Copying or membership shows. " + " ".join(f"({f.test}) {_named(f)}" for f in failed)
        words += "".join(f" But mind: {f.words}" for f in gates)
        return Judgement("FAIL", judged, words, {})
    if doubts:
        needed = _needed(judged, thresholds)
        return Judgement("INCONCLUSIVE", judged, " ".join([*doubts, *_needed_words(needed)]), needed)
    return Judgement("PASS", judged, _pass_words(judged, thresholds), {})


def _with_verdicts(findings: Sequence[Finding], thresholds: Thresholds) -> tuple[Finding, ...]:
    adjusted: dict[int, float] = {}
    for role in ("primary", "secondary"):
        found = holm([f.p_value if f.role == role else None for f in findings])
        adjusted.update({i: p for i, p in enumerate(found) if p is not None})
    alpha = {"primary": thresholds.alpha_primary, "secondary": thresholds.alpha_secondary}
    seen = {f.stratum: bool(f.figures.get("holds")) for f in findings if f.test == "sensitivity"}
    judged = []
    for i, f in enumerate(findings):
        verdict: Verdict | None = None
        if i in adjusted:
            quiet: Verdict = "PASS" if f.role == "secondary" or seen.get(f.stratum, False) else "INCONCLUSIVE"
            verdict = "FAIL" if adjusted[i] <= alpha[f.role] else quiet
            f = replace(f, figures={**f.figures, "adjusted_p": adjusted[i], "alpha": alpha[f.role]})
        elif f.test == IDENTITY:
            verdict = "FAIL" if f.figures["found"] else "PASS"
        elif f.role in ("gate", "control"):
            verdict = "PASS" if f.figures.get("holds") else "INCONCLUSIVE"
        judged.append(replace(f, verdict=verdict))
    return tuple(judged)


def _doubts(judged: Sequence[Finding], thresholds: Thresholds) -> list[str]:
    """Why the silence of the tests shows nothing yet, one sentence each."""
    doubts = [_named(f) for f in judged if f.role == "gate" and f.verdict == "INCONCLUSIVE"]
    transforms = {f.figures.get("transform") for f in judged if f.role == "control"}
    missing = [name for name in thresholds.must_see if name not in transforms]
    if missing:
        doubts.append(f"No planted copies were tried under: {', '.join(missing)}.")
    blind = _blind(judged)
    if blind:
        counts = ", ".join(f"{f.figures['transform']} ({f.figures['found']} of {f.figures['planted']})" for f in blind)
        doubts.append(
            f"This audit is blind to copies under: {counts}; planted copies found, {thresholds.visible_recall:.0%} are "
            "asked for. More patients do not mend that; scans that show more of each patient may."
        )
    limit = f"{thresholds.copy_rate:.0%}"
    for test, asked in (
        ("sensitivity", f"Copies must be found at {limit} with a probability of {thresholds.power:.0%}"),
        ("copy rate", f"The share of copies must be bounded at {limit}"),
    ):
        made = [f for f in judged if f.test == test and f.role == "control"]
        if not any(not f.stratum for f in made):
            doubts.append(f"The {test} was not measured.")
        short = [f for f in made if f.verdict == "INCONCLUSIVE"]
        doubts += [f"{asked}: {' '.join(_named(f) for f in short)}"] if short else []
    if not any(f.role == "primary" and f.p_value is not None for f in judged):
        doubts.append("The primary test, label permutation, was not made.")
    return doubts


def _blind(judged: Sequence[Finding]) -> list[Finding]:
    return [f for f in judged if f.figures.get("transform") and f.verdict == "INCONCLUSIVE"]


def _named(finding: Finding) -> str:
    return f"[{finding.stratum}] {finding.words}" if finding.stratum else finding.words


def _needed(judged: Sequence[Finding], thresholds: Thresholds) -> dict[str, int | None]:
    """Sizes that would decide, the largest of all strata, where sizes are what lacks: not for a blind transform."""
    sizes = {f.stratum: f.figures for f in judged if f.role == "primary" and "train_patients" in f.figures}
    whole = "synthetics" in sizes.get("", {})  # a prior alone has none
    every = [_needed_in(stratum, judged, sizes, thresholds) for stratum in sizes if whole]
    names = [name for name in ("holdout_patients", "synthetics") if any(name in one for one in every)]
    asked = {name: [one[name] for one in every if name in one] for name in names}
    return {name: None if None in values else max(v for v in values if v is not None) for name, values in asked.items()}


def _needed_in(
    stratum: str, judged: Sequence[Finding], sizes: Mapping[str, Mapping[str, Any]], thresholds: Thresholds
) -> dict[str, int | None]:
    """Of one stratum; its synthetics are told as those of a whole set with the same share of it."""
    blind = {f.figures["transform"] for f in _blind(judged)}
    m, h, n = (int(sizes[stratum][key]) for key in ("train_patients", "holdout_patients", "synthetics"))
    whole = int(sizes[""]["synthetics"])
    needed: dict[str, int | None] = {}
    for f in judged:
        if f.stratum != stratum or f.role != "control" or f.verdict != "INCONCLUSIVE":
            continue
        if f.test == "sensitivity" and _short(f.figures["smallest_rate"], blind, thresholds):
            needed["holdout_patients"] = _more(needed_holdout(m, n, thresholds), h)
            needed["synthetics"] = _scaled(_more(needed_synthetics(m, h, thresholds), n), whole, n)
        elif f.test == "copy rate" and _short(f.figures["bound_by_transform"], blind, thresholds):
            needed.setdefault("synthetics", _scaled(_more(needed_synthetics(m, h, thresholds), n), whole, n))
            if expected_bound(n, thresholds) > thresholds.copy_rate:
                needed["holdout_patients"] = None  # more people do not bound a share of few samples
    return needed


def _scaled(value: int | None, whole: int, part: int) -> int | None:
    return None if value is None else -(-value * whole // part)


def _short(rates: Mapping[str, float | None], blind: set[str], thresholds: Thresholds) -> bool:
    """Whether a transform that is visible is out of reach all the same."""
    seen = [rates.get(name) for name in thresholds.must_see if name not in blind]
    return any(rate is None or rate > thresholds.copy_rate for rate in seen)


def _more(value: int | None, have: int) -> int | None:
    """A number that is there already did not help: then half as many again."""
    return value if value is None or value > have else -(-3 * have // 2)


def _needed_words(needed: dict[str, int | None]) -> list[str]:
    names = {"holdout_patients": "holdout patients", "synthetics": "synthetics"}
    said = [f"about {value} {names[key]}" for key, value in needed.items() if value is not None]
    if said:
        return [f"It would be decided by {' or '.join(said)}."]
    return ["No number of holdout patients or synthetics alone would decide it: both must grow."] if needed else []


def _pass_words(judged: Sequence[Finding], thresholds: Thresholds) -> str:
    reach, must_see = _reach(judged), thresholds.must_see
    above = reach.pop("", None)
    known = {str(f.figures["transform"]): f for f in judged if f.figures.get("transform")}
    blind = [name for name, f in known.items() if not f.figures.get("visible")]
    unseen = [
        "a smaller share of copies, altered copies of one or two patients alone",
        f"copies altered more than the planted ones ({', '.join(DONE[name] for name in DONE if name in must_see)})",
        *([f"copies under {', '.join(blind)}"] if blind else []),
        "patients of kinds that are not in the holdout",
    ]
    limits = f"{', '.join(unseen[:-1])}, or {unseen[-1]}"
    looser = "; ".join(f"{name}: {_percent(rate)}" for name, rate in reach.items())
    strata = f" Within a condition it is no copying above: {looser}." if looser else ""
    said = f"No copying above {_percent(above)} detected; this audit cannot see {limits}.{strata}"
    return f"{said}{_close_call(judged, thresholds)}"


def _reach(judged: Sequence[Finding]) -> dict[str, float | None]:
    """Stratum -> share of copies that is found reliably and excluded; None where one of both is not known."""
    found: dict[str, list[float | None]] = {}
    for f in judged:
        if f.test in ("sensitivity", "copy rate"):
            found.setdefault(f.stratum, []).append(f.statistic if f.test == "sensitivity" else f.figures.get("bound"))
    known = {name: [rate for rate in rates if rate is not None] for name, rates in found.items()}
    return {name: max(known[name]) if len(known[name]) == len(found[name]) else None for name in found}


def _percent(rate: float | None) -> str:
    return "an unknown share" if rate is None else f"{rate:.1%}"


def _close_call(judged: Sequence[Finding], thresholds: Thresholds) -> str:
    """The strongest of the tests that did not reject, where Holm alone kept it from it or nearly so."""
    tests = [f for f in judged if f.role == "secondary" and f.p_value is not None]
    if not tests:
        return ""
    nearest = min(tests, key=lambda f: (f.figures["adjusted_p"], f.p_value))
    if nearest.figures["adjusted_p"] > thresholds.alpha_primary:
        return ""
    return (
        f" Nearly rejected: {nearest.test}{f' [{nearest.stratum}]' if nearest.stratum else ''}, p = "
        f"{nearest.p_value:.4f}, {nearest.figures['adjusted_p']:.4f} by Holm over {len(tests)} tests, where "
        f"{thresholds.alpha_secondary:g} rejects."
    )


__all__ = ["Judgement", "judge"]
