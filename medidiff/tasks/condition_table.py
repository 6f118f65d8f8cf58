"""Conditions from a table: row by row, or drawn as a cohort has them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medidiff.cohort.draws import Node, balanced_tree, draw_index
from medidiff.cohort.participants import read_cells, value_of
from medidiff.errors import UsageError
from medidiff.io.hashing import hash_file
from medidiff.nets.embedding import ConditionSlots
from medidiff.prior.slot_text import slots_in_a_line
from medidiff.tasks.condition_request import UNKNOWN, ConditionPlan, parse_requests, stream
from medidiff.tasks.conditions import Value, checked_value

NO_CONDITIONS = ("case", "participant_id", "patient", "session_id", "split", "modality")
"""Columns that say whose a row is, not what it shows."""
_WHOSE = ("patient", "participant_id", "case")


@dataclass(frozen=True)
class TableRows:
    """The conditions of a table.

    Attributes:
        names: Its conditions.
        rows: Their values, row by row; None: unknown.
        file: The table's name.
        sha256: Of the file.
        tree: How rows are drawn; None: in order, from the first again after the last.
        balance: Conditions whose values are drawn evenly.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    file: str
    sha256: str
    tree: Node | None = None
    balance: tuple[str, ...] = ()

    def draw(self, seed: int, index: int) -> dict[str, Value]:
        """The row of sample `index`: a function of seed and number only."""
        number = index % len(self.rows) if self.tree is None else draw_index(self.tree, stream(seed, index, "table"))
        return dict(zip(self.names, self.rows[number], strict=True))

    def settings(self) -> dict[str, Any]:
        """What decides the rows."""
        told: dict[str, Any] = {"file": self.file, "sha256": self.sha256, "conditions": list(self.names)}
        return told | ({"order": "rows"} if self.tree is None else {"order": "drawn", "balance": list(self.balance)})


def plan_from_table(
    slots: ConditionSlots, path: str | Path, texts: Sequence[str] = (), *, extrapolate: bool = False
) -> ConditionPlan:
    """Row i for sample i, from the first again after the last.

    Args:
        slots: What the prior can be conditioned on.
        path: Comma- or tab-separated; columns are conditions, cells values, empty or `unknown` where left open.
        texts: Further conditions, as for `parse_requests`.
        extrapolate: Allow numbers out of the trained range.

    Raises:
        UsageError: A column that is no condition, or a value that was not trained; with its row.
        ConfigError: It cannot be read, or is no table.
    """
    path = Path(path)
    columns, cells = read_cells(path, "--cond-table")
    strangers = [c for c in columns if c not in {*slots.categorical, *slots.continuous} and not _says_whose(c)]
    if strangers:
        raise UsageError(
            f"--cond-table {path}: column {strangers[0]}: the prior does not know {strangers[0]}. It takes "
            f"{slots_in_a_line(slots.model_dump())}."
        )
    rows, notes = _rows(slots, path, "--cond-table", columns, cells, extrapolate)
    return _plan(slots, rows, notes, texts, extrapolate)


def plan_like(
    slots: ConditionSlots,
    path: str | Path,
    balance: Sequence[str] = (),
    texts: Sequence[str] = (),
    *,
    extrapolate: bool = False,
) -> ConditionPlan:
    """Rows drawn from a cohort's table, so that conditions occur together as they do there: a patient, then a row.

    Args:
        slots: What the prior can be conditioned on.
        path: The table; columns that are no conditions are left out, and so are patients of val and holdout.
        balance: Conditions whose values, or bins, are drawn evenly first, see `cohort.draws.balanced_tree`.
        texts: Further conditions, as for `parse_requests`.
        extrapolate: Allow numbers out of the trained range.

    Raises:
        UsageError: No column is a condition, a value was not trained, or `balance` names no column.
        ConfigError: It cannot be read, or is no table.
    """
    path = Path(path)
    columns, cells = read_cells(path, "--like")
    lower = {column.lower(): column for column in columns}
    notes: list[str] = []
    if "split" in lower:
        trained = [row for row in cells if value_of(row, lower["split"]).lower() in ("", "train")]
        if len(trained) < len(cells):
            notes.append(f"{path.name}: {len(cells) - len(trained)} rows of val and holdout patients are left out.")
        cells = trained
        if not cells:
            raise UsageError(
                f"--like {path}: every row is of a val or holdout patient. Give a table of train patients."
            )
    rows, more = _rows(slots, path, "--like", columns, cells, extrapolate)
    for name in balance:
        if name not in rows.names:
            raise UsageError(f"--balance {name}: must be a condition in {path}: {', '.join(rows.names)}.")
    whose = next((lower[key] for key in _WHOSE if key in lower), None)
    patients = [str(i) if whose is None else value_of(row, whose) or str(i) for i, row in enumerate(cells)]
    values = {name: [row[rows.names.index(name)] for row in rows.rows] for name in balance}
    rows = replace(rows, tree=balanced_tree(patients, values), balance=tuple(balance))
    return _plan(slots, rows, [*notes, *more], texts, extrapolate)


def _rows(
    slots: ConditionSlots,
    path: Path,
    option: str,
    columns: Sequence[str],
    cells: Sequence[dict[str, str]],
    extrapolate: bool,
) -> tuple[TableRows, list[str]]:
    """The checked values of the columns that are conditions, and which columns are left out."""
    names = tuple(column for column in columns if column in slots.categorical or column in slots.continuous)
    if not names:
        raise UsageError(
            f"{option} {path}: none of its columns ({', '.join(columns)}) is a condition. The prior takes "
            f"{slots_in_a_line(slots.model_dump())}."
        )
    rows = []
    for number, row in enumerate(cells, start=2):
        values: list[Value] = []
        for name in names:
            text = value_of(row, name)
            known = name in slots.categorical and text in slots.categorical[name].values
            value = None if not text or (text.lower() == UNKNOWN and not known) else text
            what = f"{option} {path}: row {number}: {name} {text}"
            values.append(checked_value(slots, name, value, extrapolate=extrapolate, what=what))
        rows.append(tuple(values))
    left = [column for column in columns if column not in names]
    notes = [f"{path.name}: no conditions, left out: {', '.join(left)}."] if left else []
    return TableRows(names, tuple(rows), path.name, hash_file(path)), notes


def _plan(
    slots: ConditionSlots, rows: TableRows, notes: Sequence[str], texts: Sequence[str], extrapolate: bool
) -> ConditionPlan:
    plan = parse_requests(slots, texts, extrapolate=extrapolate)
    twice = [request.name for request in plan.requests if request.name in rows.names]
    if twice:
        raise UsageError(f"--cond {twice[0]}: {rows.file} has that column too. Leave one of them out.")
    return replace(plan, rows=rows, notes=tuple(notes))


def _says_whose(column: str) -> bool:
    return column.lower() in NO_CONDITIONS


__all__ = ["NO_CONDITIONS", "TableRows", "plan_from_table", "plan_like"]
