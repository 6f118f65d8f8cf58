from __future__ import annotations

from dataclasses import replace

import pytest

from medidiff.privacy.controls import control_findings
from medidiff.privacy.copies import copy_rate
from medidiff.privacy.finding import Finding
from medidiff.privacy.judge import judge
from medidiff.privacy.membership import black_box_membership
from medidiff.privacy.permutation import label_permutation
from medidiff.privacy.sensitivity import sensitivity
from medidiff.privacy.split_gate import split_overlap
from medidiff.privacy.thresholds import Thresholds
from medidiff.significance import holm
from tests.privacy.worlds import World, shuffled, world

LIMITS = Thresholds(must_see=("exact", "noise"), permutations=999)


def audit(w: World) -> list[Finding]:
    controls = control_findings(w.controls, w.sources, w.real, w.gallery, LIMITS)
    return [
        split_overlap(w.real, w.gallery),
        *controls,
        sensitivity(w.sim, w.gallery, w.controls, LIMITS),
        label_permutation(w.sim, w.gallery, LIMITS),
        copy_rate(w.sim, w.real, w.gallery, LIMITS, controls),
        black_box_membership(w.sim, w.gallery, LIMITS),
    ]


def good(seed: int = 12, **kw: float) -> World:
    return world(seed, 100, 100, 200, transforms=LIMITS.must_see, **kw)  # pyright: ignore


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert len(holm([])) == 0


def test_a_quiet_audit_that_sees_passes_and_says_what_it_cannot_see() -> None:
    found = judge(audit(good()), LIMITS)
    assert found.verdict == "PASS"
    assert found.words.startswith("No copying above ")
    assert "this audit cannot see" in found.words
    assert {f.verdict for f in found.findings} == {"PASS"}
    assert found.needed == {}


def test_copies_fail_whatever_else_holds() -> None:
    findings = audit(good(rate=0.1))
    found = judge(findings, LIMITS)
    assert found.verdict == "FAIL"
    blind = [replace(f, figures={**f.figures, "holds": False}) for f in findings]
    assert judge(blind, LIMITS).verdict == "FAIL"
    assert "But mind" in judge(blind, LIMITS).words  # the gate


def test_few_holdout_patients_are_inconclusive_and_more_are_named() -> None:
    w = world(14, 100, 15, 200, transforms=LIMITS.must_see)
    found = judge(audit(w), LIMITS)
    assert found.verdict == "INCONCLUSIVE"
    assert (found.needed["holdout_patients"] or 0) > 15
    assert f"{found.needed['holdout_patients']} holdout patients" in found.words


def test_more_patients_do_not_bound_a_share_of_few_samples() -> None:
    w = world(14, 100, 15, 60, transforms=LIMITS.must_see)  # 60 samples without a copy bound the share at 5.5%
    found = judge(audit(w), LIMITS)
    assert found.verdict == "INCONCLUSIVE"
    assert found.needed["holdout_patients"] is None
    assert (found.needed["synthetics"] or 0) > 60
    assert "holdout patients" not in found.words.partition("It would be decided")[2]


def test_a_blind_transform_is_never_a_pass_and_patients_do_not_mend_it() -> None:
    for seed in range(4):
        found = judge(audit(good(seed, control_noise=20.0)), LIMITS)
        assert found.verdict != "PASS"
        if found.verdict == "INCONCLUSIVE":
            assert "blind to copies under: exact" in found.words
            assert found.needed == {}


@pytest.mark.parametrize("left_out", ["control: noise", "sensitivity", "copy rate", "label permutation"])
def test_what_was_not_made_holds_nothing(left_out: str) -> None:
    findings = [f for f in audit(good()) if f.test != left_out]
    assert judge(findings, LIMITS).verdict == "INCONCLUSIVE"


def test_holm_over_strata_and_over_secondary_tests() -> None:
    findings = audit(good())
    primary = next(f for f in findings if f.role == "primary")
    strata = [replace(primary, stratum=f"s{i}", p_value=p) for i, p in enumerate([0.03, 0.5, 0.5])]
    assert judge([*findings, *strata], LIMITS).verdict == "PASS"  # 4 x 0.03 is above 0.05
    strata[0] = replace(strata[0], p_value=0.012)
    found = judge([*findings, *strata], LIMITS)
    assert found.verdict == "FAIL"
    assert "[s0]" in found.words
    second = replace(next(f for f in findings if f.role == "secondary"), p_value=0.006)
    assert judge([*findings, second], LIMITS).verdict == "PASS"  # 2 x 0.006 is above 0.01
    assert judge([*findings, replace(second, p_value=0.004)], LIMITS).verdict == "FAIL"


def test_the_worst_stratum_governs_and_says_how_many_samples_it_needs() -> None:
    w = good()
    findings = audit(w)
    controls = [f for f in findings if f.figures.get("transform")]
    large = copy_rate(w.sim, w.real, w.gallery, LIMITS, controls, "sex M")
    assert judge([*findings, large], LIMITS).verdict == "PASS"
    small = copy_rate(w.sim[:30], w.real, w.gallery, LIMITS, controls, "sex F")  # 9.5% over the recall's limit
    tested = label_permutation(w.sim[:30], w.gallery, LIMITS, "sex F")
    found = judge([*findings, tested, small], LIMITS)
    assert found.verdict == "INCONCLUSIVE"
    assert "[sex F]" in found.words
    assert found.findings[-1].verdict == "INCONCLUSIVE"
    whole, in_stratum = found.needed["synthetics"], judge([tested, small], LIMITS).needed
    assert in_stratum == {}  # without the whole set nothing is told
    assert whole is not None
    assert whole >= len(w.sim)


def test_an_unfair_split_is_inconclusive() -> None:
    gate = Finding("split classifier", "gate", p_value=0.001, words="They CAN be told apart.", figures={"holds": False})
    found = judge([gate, *audit(good())], LIMITS)
    assert (found.verdict, found.needed) == ("INCONCLUSIVE", {})
    assert "CAN be told apart" in found.words


def test_the_verdict_and_its_figures_do_not_depend_on_the_order_of_files() -> None:
    w = good(rate=0.02, noise=0.5)
    expected, found = (judge(audit(x), LIMITS) for x in (w, shuffled(w, 3)))
    assert (found.verdict, found.words, found.needed) == (expected.verdict, expected.words, expected.needed)
    for a, b in zip(found.findings, expected.findings, strict=True):
        assert a.statistic == pytest.approx(b.statistic, rel=1e-9)
        assert a.p_value == b.p_value


def test_a_pass_names_the_test_that_holm_alone_kept_from_rejecting() -> None:
    findings = audit(good())
    second = replace(next(f for f in findings if f.role == "secondary"), p_value=0.006, stratum="sex F")
    found = judge([*findings, second], LIMITS)
    assert found.verdict == "PASS"
    assert "Nearly rejected: black-box membership [sex F], p = 0.0060, 0.0120 by Holm over 2 tests" in found.words
    assert "Nearly rejected" not in judge([*findings, replace(second, p_value=0.2)], LIMITS).words


def test_a_pass_tells_the_whole_set_and_its_conditions_apart() -> None:
    w = good()
    findings = audit(w)
    controls = [f for f in findings if f.figures.get("transform")]
    found = judge([*findings, copy_rate(w.sim[:150], w.real, w.gallery, LIMITS, controls, "sex M")], LIMITS)
    seen = next(f for f in findings if f.test == "sensitivity").statistic
    bound = next(f for f in findings if f.test == "copy rate").figures["bound"]
    part = found.findings[-1].figures["bound"]
    assert found.verdict == "PASS"
    assert seen is not None
    assert found.words.startswith(f"No copying above {max(seen, bound):.1%} detected")
    assert f"Within a condition it is no copying above: sex M: {part:.1%}." in found.words
