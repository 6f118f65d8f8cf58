"""What one test of the audit found: the record that verdict, report, JSON and data card are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Role = Literal["gate", "control", "primary", "secondary", "descriptive"]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Finding:
    """One test, or one control, on one set of data.

    Attributes:
        test: Name of the test, such as "label permutation"; the same in every audit.
        role: `gate` and `control` say whether the audit can speak, `primary` and `secondary` decide, `descriptive`
            figures never do.
        null: The hypothesis that `p_value` is about, in words; empty where there is none.
        source: Paper or section that the formula comes from.
        statistic: Value of the test's statistic; None where the test could not be made.
        p_value: One-sided, valid under `null` for the sample sizes at hand; None for what is no test.
        interval: Limits of `statistic`, 95%; None where there are none.
        stratum: Condition whose samples alone were tested, such as "volume_ml 2.4 to 2.9"; empty: all.
        verdict: By the thresholds fixed beforehand; None until `judge` has seen all findings, and for descriptive ones.
        words: One plain sentence for a clinician.
        figures: Whatever else was measured, JSON types.
    """

    test: str
    role: Role
    null: str = ""
    source: str = ""
    statistic: float | None = None
    p_value: float | None = None
    interval: tuple[float, float] | None = None
    stratum: str = ""
    verdict: Verdict | None = None
    words: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def shown(self) -> Shown:
        """Its numbers as every table has them."""
        interval = "" if self.interval is None else " to ".join(f"{limit:.4g}" for limit in self.interval)
        adjusted = self.figures.get("adjusted_p")
        return Shown(
            "" if self.statistic is None else f"{self.statistic:.4g}",
            interval,
            "" if self.p_value is None else f"{self.p_value:.4f}",
            "" if adjusted is None else f"{adjusted:.4f}",
        )


class Shown(NamedTuple):
    """Texts for a table; empty where there is none.

    Attributes:
        statistic: The statistic.
        interval: Its limits.
        p_value: As it is.
        adjusted: By Holm, which the verdict was given on.
    """

    statistic: str
    interval: str
    p_value: str
    adjusted: str
