"""What samples shall show, from the options of `medidiff synth`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medidiff.errors import UsageError
from medidiff.prior import Card
from medidiff.synthesis.controls import matched
from medidiff.synthesis.request import Plan
from medidiff.tasks.condition_request import ConditionPlan, parse_requests
from medidiff.tasks.condition_table import plan_from_table, plan_like

if TYPE_CHECKING:
    from medidiff.cli.synth_run import Wanted


def make_plan(wanted: Wanted, card: Card) -> Plan | None:
    """The plan that --cond, --cond-table, --like, --balance and --controls make together; None: nothing was asked.

    Raises:
        UsageError: Options that contradict each other, or a condition that the prior does not know.
    """
    if wanted.controls not in ("matched", "none"):
        raise UsageError(f"--controls {wanted.controls}: must be matched or none.")
    if wanted.cond_table is not None and wanted.like is not None:
        raise UsageError("--cond-table, --like: two tables. Give one.")
    slots, texts = card.conditions, wanted.cond
    asked = {text.partition("=")[0].strip() for text in texts}
    with_controls = wanted.balance is not None and wanted.balance in asked and wanted.controls == "matched"
    plan: ConditionPlan
    if wanted.like is not None:
        evenly = [wanted.balance] if wanted.balance is not None and wanted.balance not in asked else []
        plan = plan_like(slots, wanted.like, evenly, texts, extrapolate=wanted.extrapolate)
    elif wanted.cond_table is not None:
        plan = plan_from_table(slots, wanted.cond_table, texts, extrapolate=wanted.extrapolate)
    elif texts:
        plan = parse_requests(slots, texts, extrapolate=wanted.extrapolate)
    elif wanted.balance is None:
        return None
    else:
        plan = parse_requests(slots, (), extrapolate=wanted.extrapolate)
    if wanted.balance is None:
        return plan
    if with_controls:
        return matched(plan, wanted.balance, slots)
    if wanted.like is None and not (wanted.balance in asked and wanted.controls == "none"):
        return matched(plan, wanted.balance, slots)  # refuses, and says what to give
    return plan


__all__ = ["make_plan"]
