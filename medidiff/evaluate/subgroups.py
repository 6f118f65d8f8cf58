"""Fairness and coverage: who a synthetic set shows, and whether it shows everybody equally well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.band import Band, real_band
from medidiff.evaluate.features import balanced
from medidiff.evaluate.groups import LEAST, NOT_RECORDED, Attributes, Gap, Group, gaps_of, groups_of
from medidiff.evaluate.intervals import Interval, paired_t
from medidiff.evaluate.mmd import Kernel, checked_features, median_bandwidth
from medidiff.evaluate.mmd_interval import Estimate, mmd2_estimate
from medidiff.significance import holm

FEWEST = 10
"""Real patients, and synthetic scans, below which a subgroup is not compared."""
_BAND_DRAWS = 300
_SERVED_WORSE = 0.05


@dataclass(frozen=True)
class SubgroupRow:
    """One subgroup.

    Attributes:
        attribute: Name of the column.
        label: The subgroup, such as `F` or `20 to 40`.
        patients: Real patients in it.
        scans: Their scans.
        synthetic: Synthetic scans in it; None where the synthetic set does not say.
        share_real: Of the real scans.
        share_synthetic: Of the synthetic scans; None where they do not say.
        status: `compared`, `few`, `empty` (of one side) or `not said`.
        mmd: Unbiased squared MMD (RBF) of the subgroup's synthetic scans to its real ones, with the jackknife's 95%
            interval over patients.
        band: The same distance between halves of the subgroup's real patients; None where they are too few.
        gap: `mmd` minus that of everybody else: above 0 the subgroup is shown less faithfully.
        p_value: One-sided, of a gap of 0.
        p_adjusted: The same by Holm over all subgroups of the table.
        utility: Mean over the subgroup's real patients of what a net trained on synthetic scans reached.
        findings: What else was found for it, such as verdicts of the audit, by name.
    """

    attribute: str
    label: str
    patients: int
    scans: int
    synthetic: int | None
    share_real: float
    share_synthetic: float | None
    status: str
    mmd: Interval | None = None
    band: Band | None = None
    gap: Interval | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    utility: Interval | None = None
    findings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stratum(self) -> str:
        """As the audit names it."""
        return f"{self.attribute} {self.label}"

    @property
    def words(self) -> str:
        """One plain sentence."""
        if self.status == "not said":
            return "The synthetic set does not say who of it belongs here."
        if self.status == "empty":
            return "Nobody real." if not self.patients else "Nobody synthetic."
        if self.status == "few":
            return f"Too few to compare: {self.patients} patients, {self.synthetic} synthetic scans."
        worse = self.p_adjusted is not None and self.p_adjusted <= _SERVED_WORSE
        return "Shown less faithfully than the others." if worse else "Not shown to be less faithful than the others."

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        told = asdict(replace(self, findings={})) | {"words": self.words, "findings": dict(self.findings)}
        for name in ("mmd", "gap", "utility"):
            interval = getattr(self, name)
            told[name] = None if interval is None else interval._asdict()
        return told


@dataclass(frozen=True)
class Subgroups:
    """All subgroups, and what the cohort lacks."""

    rows: list[SubgroupRow]
    gaps: list[Gap]

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {"rows": [row.to_dict() for row in self.rows], "gaps": [asdict(gap) for gap in self.gaps]}


def subgroups(
    real_features: np.ndarray,
    synthetic_features: np.ndarray,
    real_attributes: Attributes,
    synthetic_attributes: Attributes,
    patients: Sequence[str],
    **options: Any,
) -> Subgroups:
    """`subgroup_rows` and what the cohort lacks, by the same groups (`edges`, `groups` as there)."""
    groups = options.pop("groups", None) or groups_of(real_attributes, options.pop("edges", None))
    options.pop("edges", None)
    rows = subgroup_rows(
        real_features, synthetic_features, real_attributes, synthetic_attributes, patients, groups=groups, **options
    )
    return Subgroups(rows, gaps_of(groups, real_attributes, patients, synthetic_attributes))


def subgroup_rows(
    real_features: np.ndarray,
    synthetic_features: np.ndarray,
    real_attributes: Attributes,
    synthetic_attributes: Attributes,
    patients: Sequence[str],
    *,
    utility: np.ndarray | None = None,
    findings: Mapping[str, Mapping[str, Any]] | None = None,
    groups: Sequence[Group] | None = None,
    edges: Mapping[str, Sequence[float]] | None = None,
    fewest: int = FEWEST,
    seed: int = 0,
) -> list[SubgroupRow]:
    """Count every subgroup, and compare its synthetic scans with its real ones.

    Features are in units of both sets together (`balanced`) and one kernel serves all subgroups, so that distances are
    in one unit. The unbiased distance does not depend on how many scans a subgroup has; its interval does.

    Args:
        real_features: (n, d).
        synthetic_features: (m, d).
        real_attributes: What is known of each real scan, n.
        synthetic_attributes: Of each synthetic scan, m.
        patients: Whose each real scan is, n.
        utility: A figure of each real scan (n,), larger is better, such as Dice; NaN where there is none.
        findings: What else was found, by stratum (`sex F`).
        groups: The subgroups; None makes them from the real attributes.
        edges: Limits of bands, see `groups_of`.
        fewest: Patients and synthetic scans that a comparison needs.
        seed: Of the bands' halvings.

    Raises:
        InputError: Lengths do not fit, or see `checked_features` and `groups_of`.
    """
    real, made = checked_features(real_features, synthetic_features)
    lengths = (len(real_attributes), len(patients), len(real) if utility is None else len(utility))
    if lengths != (len(real),) * 3 or len(synthetic_attributes) != len(made):
        raise InputError(
            f"{len(real)} real and {len(made)} synthetic scans, but attributes of {lengths[0]} and "
            f"{len(synthetic_attributes)}, patients of {lengths[1]}, figures of {lengths[2]}: one for each scan."
        )
    groups = groups_of(real_attributes, edges) if groups is None else groups
    table = _Table(real, made, np.asarray(patients), fewest, seed)
    rows = []
    for group in groups:
        said = any(_says(row, group.attribute) for row in synthetic_attributes)
        of_made = group.members(synthetic_attributes) if said else None
        row = table.row(group, group.members(real_attributes), of_made)
        if utility is not None:
            row = replace(row, utility=_by_patient(utility, table.patients, group.members(real_attributes)))
        rows.append(replace(row, findings=(findings or {}).get(group.stratum, {})))
    adjusted = holm([row.p_value for row in rows])
    return [replace(row, p_adjusted=p) for row, p in zip(rows, adjusted, strict=True)]


class _Table:
    """Kernel matrices of all scans, cut for each subgroup."""

    def __init__(self, real: np.ndarray, made: np.ndarray, patients: np.ndarray, fewest: int, seed: int) -> None:
        self.made, self.real = balanced(made, real)
        self.patients, self.fewest, self.seed = patients, fewest, seed
        self.kernel = Kernel("rbf", bandwidth=median_bandwidth(self.real))
        self.within_real = self.kernel(self.real, self.real)
        self.within_made = self.kernel(self.made, self.made)
        self.between = self.kernel(self.real, self.made)

    def row(self, group: Group, of_real: np.ndarray, of_made: np.ndarray | None) -> SubgroupRow:
        """Counts, and the comparison where it can be made."""
        count = len(set(self.patients[of_real].tolist()))
        made = None if of_made is None else int(of_made.sum())
        row = SubgroupRow(
            attribute=group.attribute,
            label=group.label,
            patients=count,
            scans=int(of_real.sum()),
            synthetic=made,
            share_real=float(of_real.mean()),
            share_synthetic=None if of_made is None else float(of_made.mean()),
            status="not said",
        )
        if of_made is None or made is None:
            return row
        if not count or not made:
            return replace(row, status="empty")
        if min(count, made) < self.fewest:
            return replace(row, status="few")
        here = self.estimate(of_real, of_made)
        row = replace(row, status="compared", mmd=here.interval(), band=self.band(of_real, made))
        rest = ~of_real, ~of_made
        others = len(set(self.patients[rest[0]].tolist()))
        if group.label == NOT_RECORDED or min(others, int(rest[1].sum())) < self.fewest:
            return row
        gap, p = here.above(self.estimate(*rest))
        return replace(row, gap=gap, p_value=p)

    def estimate(self, of_real: np.ndarray, of_made: np.ndarray) -> Estimate:
        """Distance of some synthetic scans to some real ones."""
        return mmd2_estimate(
            self.within_real[np.ix_(of_real, of_real)],
            self.within_made[np.ix_(of_made, of_made)],
            self.between[np.ix_(of_real, of_made)],
            self.patients[of_real].tolist(),
            np.flatnonzero(of_made).tolist(),
        )

    def band(self, of_real: np.ndarray, made: int) -> Band | None:
        """Of halves of the subgroup's real patients, as large as they allow."""
        names = self.patients[of_real].tolist()
        most = max(names.count(name) for name in set(names))
        size = min(made, len(names) // 2 + 1 - most)
        if size < 2:
            return None
        return real_band(self.real[of_real], names, size, self.kernel, _BAND_DRAWS, self.seed)


def _says(row: Mapping[str, Any], name: str) -> bool:
    return row.get(name) not in (None, "")


def _by_patient(values: np.ndarray, patients: np.ndarray, chosen: np.ndarray) -> Interval | None:
    usable = chosen & np.isfinite(values)
    means = [float(values[usable & (patients == name)].mean()) for name in sorted(set(patients[usable].tolist()))]
    return paired_t(means, [0.0] * len(means)) if means else None


__all__ = ["FEWEST", "LEAST", "SubgroupRow", "Subgroups", "subgroup_rows", "subgroups"]
