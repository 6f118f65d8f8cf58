"""`medidiff evaluate utility`: what is a synthetic set good for?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medidiff.cli.evaluate_sets import (
    FolderOption,
    RealOption,
    ScansOption,
    SplitOption,
    SyntheticArgument,
    TableOption,
    TwoSets,
    check_options,
    read_two,
    tell,
)
from medidiff.cli.options import JsonOption, OverwriteOption, SeedOption
from medidiff.cli.outcome import verb

if TYPE_CHECKING:
    from medidiff.evaluate.cross_fit import Task

_MOST_ATTRIBUTES = 2


@verb
def utility(
    synthetic: SyntheticArgument,
    real: RealOption = None,
    split: SplitOption = None,
    table: TableOption = None,
    folder: FolderOption = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Training steps of every small net.")] = 250,
    scans: ScansOption = 500,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train small nets on synthetic scans, test them on real patients.

    Where both sets have label maps: a segmentation net, by Dice. Else nets that tell what both sets know of each scan
    (at most two attributes). Each is held against the same net trained on as many real scans, on patients that neither
    has seen. And the shortcut test: can a net tell synthetic from real. Six to ten small nets, minutes on a processor:
    they rank sets, they are not the best that can be trained.
    Exit codes: 0 measured, whatever was found; 2 options; 3 scans missing, too few or unreadable; 7 grids that differ.

    \b
    Examples:
      medidiff evaluate utility set/ --real store/ --split holdout -o utility/
      medidiff evaluate utility set/ --real scans/ --table participants.tsv --steps 500 --json
    """
    given = check_options(real, folder, overwrite, steps=steps, scans=scans, seed=seed)
    from medidiff.report.evaluate_page import utility_page

    sets = read_two(synthetic, given, split, table, scans, seed)
    told = _measure(sets, steps, seed)
    tell(told, folder, utility_page(told), _lines(told), as_json)


def _measure(sets: TwoSets, steps: int, seed: int) -> dict[str, Any]:
    from medidiff import __version__
    from medidiff.cli.evaluate_sets import FORMAT
    from medidiff.cli.progress import announce
    from medidiff.evaluate.set_fidelity import FEATURES
    from medidiff.evaluate.shortcut import shortcut
    from medidiff.evaluate.subgroups import subgroups

    made, real = sets.made, sets.real
    tasks, why = _tasks(sets, steps, seed)
    told_apart = shortcut(made.images, real.images, real.patients, steps=steps, seed=seed, say=announce)
    extract = FEATURES["intensity and texture"]
    groups = subgroups(
        extract(real.images), extract(made.images), real.attributes, made.attributes, real.patients, seed=seed,
        utility=tasks[0].per_scan if tasks else None,
    )  # fmt: skip
    words = f"A net tells synthetic from real scans with an AUC of {told_apart.auc.mean:.2f}."
    if tasks:
        first = tasks[0]
        words = (
            f"{first.name}: {first.figure} {first.synthetic.mean:.3f} trained on synthetic scans, "
            f"{first.real.mean:.3f} on as many real ones. {words}"
        )
    return {
        "status": "measured",
        "exit_code": 0,
        "format": FORMAT,
        "kind": "utility",
        "medidiff": __version__,
        "words": words,
        "why_tasks": why,
        "steps": steps,
        "about": sets.about,
        "tasks": [task.to_dict() for task in tasks],
        "shortcut": {
            "auc": told_apart.auc._asdict(), "trained_on": told_apart.trained_on, "patients": told_apart.patients,
        },
        "subgroups": groups.to_dict(),
        "warnings": sets.warnings,
    }  # fmt: skip


def _tasks(sets: TwoSets, steps: int, seed: int) -> tuple[list[Task], str]:
    """What nets were trained for, and why that."""
    from medidiff.cli.progress import announce
    from medidiff.evaluate.utility import attribute, segmentation, shared_attributes

    made, real = sets.made, sets.real
    options: dict[str, Any] = {"steps": steps, "seed": seed, "say": announce}
    if made.masks is not None and real.masks is not None:
        pairs = (made.images, made.masks), (real.images, real.masks)
        return [segmentation(*pairs, real.patients, **options)], "Both sets have label maps: a segmentation net."
    names = shared_attributes(made.attributes, real.attributes)[:_MOST_ATTRIBUTES]
    if not names:
        return [], (
            "No label maps on both sides, and no attribute that both know of eight scans: the shortcut test alone was "
            "made."
        )
    sides = (made.images, made.attributes), (real.images, real.attributes)
    tasks = [attribute(name, *sides, real.patients, **options) for name in names]
    return tasks, "No label maps on both sides: nets that tell what both sets know of each scan."


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [told["words"], told["why_tasks"]]
    for task in told["tasks"]:
        shown = {name: "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**task[name]) for name in _SIDES}
        chance = "" if task["chance"] is None else f", without a scan {task['chance']:.3f}"
        lines.append(
            f"{task['name']}, {task['figure']}: real {shown['real']}, synthetic {shown['synthetic']}, difference "
            f"{shown['difference']}{chance}; {task['trained_on']} scans each, {task['patients']} patients"
        )
    auc = told["shortcut"]["auc"]
    lines.append(f"shortcut: AUC {auc['mean']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}] (0.5: not told apart)")
    return lines


_SIDES = ("real", "synthetic", "difference")

__all__ = ["utility"]
