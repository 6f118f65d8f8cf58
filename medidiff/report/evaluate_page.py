"""Pages of `medidiff evaluate fidelity|utility|calibration`, drawn from the same values as their JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medidiff.report.page import Picture, Section, Table, render_page

Told = Mapping[str, Any]
_FOUR = ("precision", "recall", "density", "coverage")


def fidelity_page(told: Told, pictures: Sequence[Picture] = ()) -> str:
    """Distances, neighbourhoods, diversity, subgroups.

    Args:
        told: The JSON object of the evaluation.
        pictures: Of synthetic scans; none of patients.
    """
    outside = [name for name, one in told["features"].items() if not one["inside"]]
    words = "inside what real patients differ by" if not outside else f"outside: {', '.join(outside)}"
    distances = Section(
        "Distances",
        lead="Unbiased squared MMD of equal numbers of synthetic and real scans, over many draws. The band holds 95% "
        "of the distances between two halves of the real PATIENTS at the same size: a value inside is no larger than "
        "what two groups of patients differ by. It does not say that no scan is odd.",
        status=words,
        caution=bool(outside),
        tables=[_distances(told["features"])],
    )
    near = Section(
        "Neighbourhoods",
        lead="Precision and density: do synthetic scans lie among real ones. Recall and coverage: do they reach all of "
        "them. In brackets: what one half of the real patients reaches against the other.",
        tables=[_neighbourhoods(told["features"])],
    )
    alike = told["ms_ssim"]
    sections = [distances, near]
    if alike is not None:
        rows = [(kind, f"{one['ms_ssim']:.3f} ± {one['standard_error']:.3f}") for kind, one in alike.items()]
        lead = "Mean MS-SSIM of pairs, 1 where all are copies. Synthetic scans more alike than real ones lack variety."
        sections.append(Section("Diversity", lead=lead, rows=rows))
    sections += subgroup_sections(told["subgroups"])
    if pictures:
        sections.append(Section("Some synthetic scans", pictures=pictures))
    return _page("Fidelity of a synthetic set", told, sections)


def utility_page(told: Told) -> str:
    """What nets trained on synthetic scans reach, and whether they are told apart."""
    rows = [
        [
            one["name"], one["figure"], _interval(one["real"]), _interval(one["synthetic"]),
            _interval(one["difference"], "+"), _number(one["chance"]), str(one["trained_on"]), str(one["patients"]),
        ]
        for one in told["tasks"]
    ]  # fmt: skip
    header = ["task", "figure", "trained on real", "on synthetic", "difference", "no scan seen", "scans", "patients"]
    caption = (
        f"Means over patients with 95% intervals; every patient is judged by nets that have not seen him. "
        f"{told['steps']} steps of the same small net for each, with as many scans of either kind. Dice and share "
        "right: higher is better; absolute error: lower."
    )
    tasks = Section(
        "Trained on synthetic, tested on real",
        lead=told["why_tasks"],
        tables=[Table(header, rows, caption)] if rows else [],
    )
    sections = [tasks]
    if told["shortcut"] is not None:
        found = told["shortcut"]
        lead = (
            f"Area under the ROC curve of a net told to tell synthetic from real scans: {_interval(found['auc'])}; "
            "0.5 would mean that it cannot. Near 1 a classifier can take 'synthetic' for the disease: keep the share "
            "of synthetic scans equal in every class."
        )
        sections.append(Section("Shortcut test", lead=lead))
    return _page("Utility of a synthetic set", told, [*sections, *subgroup_sections(told["subgroups"])])


def calibration_page(told: Told) -> str:
    """Coverage of the prior's 90% intervals."""
    header = ["noise", "patients", "scans", "factor", "coverage of 90% intervals", "factor that would fit", ""]
    rows = [
        [
            one["noise"], str(one["patients"]), str(one["scans"]),
            f"{one['factor']:.3f}{'' if one['calibrated'] else '*'}", _interval(one["coverage"], percent=True),
            _number(one["needed_factor"]), one["verdict"],
        ]
        for one in told["kinds"]
    ]  # fmt: skip
    levels = [
        [one["noise"], f"{level['percent']:g}%", str(level["patients"]), _interval(level["coverage"], percent=True)]
        for one in told["kinds"]
        for level in one["levels"]
    ]
    section = Section(
        "Coverage on these patients",
        lead="Noise of a known level was added to scans, and removed knowing it. Share of voxels whose true value lies "
        "within estimate ± factor times uncertainty, mean over PATIENTS with its 95% interval. Right is 90%.",
        tables=[
            Table(header, rows, "The factor is that of the prior's card; *: it has none, a Gaussian's was taken."),
            Table(["noise", "level", "patients", "coverage"], levels, "By level, in percent of the scan's range."),
        ],
    )
    return _page("Calibration of a prior's uncertainty", told, [section])


def subgroup_sections(told: Told | None) -> list[Section]:
    """Tables of `medidiff.evaluate.subgroups.Subgroups.to_dict()`; nothing where nothing is known of the patients."""
    if told is None or not told["rows"]:
        return []
    header = ["subgroup", "patients", "synthetic", "share real", "share synthetic", "MMD²", "minus others", "p (Holm)"]
    useful = any(row["utility"] for row in told["rows"])
    rows = [
        [
            f"{row['attribute']} {row['label']}", str(row["patients"]), _number(row["synthetic"]),
            f"{row['share_real']:.0%}", "-" if row["share_synthetic"] is None else f"{row['share_synthetic']:.0%}",
            _interval(row["mmd"]), _interval(row["gap"], "+"), _number(row["p_adjusted"]),
            *([_interval(row["utility"])] if useful else []), row["words"],
        ]
        for row in told["rows"]
    ]  # fmt: skip
    caption = (
        "Shares are of scans. MMD²: distance of the subgroup's synthetic scans to its real ones, jackknife over "
        "patients; minus others: minus that of everybody else. A small p says that the subgroup is shown worse."
    )
    sections = [Section("Subgroups", tables=[Table([*header, *(["utility"] if useful else []), ""], rows, caption)])]
    if told["gaps"]:
        cells = [[" and ".join(gap["cell"]), str(gap["patients"]), str(gap["synthetic"])] for gap in told["gaps"]]
        lead = "Fewer than five real patients: what the synthetic scans show of them is hardly learned from anybody."
        sections.append(
            Section("What the cohort lacks", lead=lead, tables=[Table(["", "patients", "synthetic scans"], cells)])
        )
    return sections


def _page(title: str, told: Told, sections: list[Section]) -> str:
    if told["warnings"]:
        sections = [Section("Before you read on", warnings=told["warnings"]), *sections]
    rows = [(name.replace("_", " "), _plain(value)) for name, value in told["about"].items()]
    sections = [*sections, Section("What was compared", rows=rows)]
    return render_page(title, sections, lead=told["words"], footer=f"medidiff {told['medidiff']}")


def _distances(features: Told) -> Table:
    rows = [
        [
            name, kernel, f"{one['mean']:.4f}", f"{one['band']['low']:.4f} to {one['band']['high']:.4f}",
            one["verdict"],
        ]
        for name, found in features.items()
        for kernel, one in found["distances"].items()
    ]  # fmt: skip
    size = next(iter(features.values()))["size"]
    return Table(["features", "kernel", "MMD²", "band of real patients", ""], rows, f"{size} scans on each side.")


def _neighbourhoods(features: Told) -> Table:
    rows = [
        [name, *(f"{one['neighbourhood'][f]['mean']:.2f} ({one['real_neighbourhood'][f]['mean']:.2f})" for f in _FOUR)]
        for name, one in features.items()
    ]
    return Table(["features", *_FOUR], rows)


def _interval(told: Told | None, sign: str = "", percent: bool = False) -> str:
    if told is None or told["mean"] is None:
        return "-"
    form = (lambda v: f"{100 * v:{sign}.1f}%") if percent else (lambda v: f"{v:{sign}.3f}")
    if told["low"] is None or told["low"] != told["low"]:
        return form(told["mean"])
    return f"{form(told['mean'])} [{form(told['low'])}, {form(told['high'])}]"


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " x ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)


__all__ = ["calibration_page", "fidelity_page", "subgroup_sections", "utility_page"]
