"""The participants table of a cohort: whose scan a case is, its split where that is said, and its attributes."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from medidiff.cohort.manifest import CORE, SPLITS, AttributeKind
from medidiff.errors import ConfigError

MISSING = frozenset({"", "n/a", "na", "nan", "null", "none"})
"""What stands where nothing is known, in whatever case."""

_KEYS = ("case", "participant_id", "patient", "split", "modality")
_MEANT = {**{key: key for key in _KEYS}, "patient_id": "patient"}
_OTHER_WORDS = frozenset({"mortality", "cause", "inpatient", "outpatient"})  # close to one of them, and no slip
_CLOSE = 0.8
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ENDING = re.compile(r"\.(nii\.gz|nii|hdr)$", re.IGNORECASE)
_TOP_CODED = "+"
_IDENTIFYING = {
    "acqtime", "dob", "birthdate", "dateofbirth", "birthday", "scandate", "studydate", "date", "name", "surname",
    "firstname", "lastname", "fullname", "patientname", "patientid", "mrn", "hospitalid", "accession", "address",
    "email", "phone", "comments", "notes", "participant", "subject", "subjectid", "id",
}  # fmt: skip
_NAMED = 5


@dataclass(frozen=True)
class Participant:
    """One row.

    Attributes:
        keys: What a scan may be called to belong to it: case and participant_id.
        patient: Whose it is.
        stated: Whether the table says so; else each case is taken to be a patient.
        split: train, val or holdout; "" where the table does not say.
        modality: Where the table says it, "" else.
        attributes: Numbers and texts by column, None where missing.
        case: What the column `case` says; "" where there is none.
    """

    keys: tuple[str, ...]
    patient: str
    stated: bool = True
    split: str = ""
    modality: str = ""
    attributes: dict[str, float | str | None] = field(default_factory=dict)
    case: str = ""


@dataclass(frozen=True)
class Participants:
    """A table that was read and checked.

    Attributes:
        path: Where it lies; messages name it.
        rows: In the table's order.
        kinds: Kind of every attribute.
        warnings: What was left out of it.
    """

    path: Path
    rows: tuple[Participant, ...]
    kinds: dict[str, AttributeKind]
    warnings: tuple[str, ...] = ()
    _by_key: dict[str, Participant] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key = {row.keys[0]: row for row in self.rows}
        for names in ([row.keys[-1] for row in self.rows], [row.patient for row in self.rows]):
            rows_of = Counter(names)  # a participant with several rows is none of them
            for name, row in zip(names, self.rows, strict=True):
                if rows_of[name] == 1:
                    by_key.setdefault(name, row)
        object.__setattr__(self, "_by_key", by_key)

    def find(self, names: Iterable[str]) -> Participant | None:
        """The row of a scan that may go by several names, the surest first; None where no name is in the table.

        Raises:
            ConfigError: Its names belong to two patients (the file 2 in the folder 1), and no `case` is its path.
        """
        path, *more = names
        rows = [(name, self._by_key[name]) for name in (path, *more) if name in self._by_key]
        if not rows:
            return None
        first, row = rows[0]
        others = [other for name, other in rows if not first.startswith(name) and other.patient != row.patient]
        if others and row.case != path:
            raise ConfigError(
                f"--table {self.path}: a scan could belong to two of its patients, by the names of its file and of its "
                "folders. Give the table a column `case` with each scan's path below SRC without its ending."
            )
        return row

    def splits(self) -> dict[str, str]:
        """The split of every patient for whom the table says one."""
        return {row.patient: row.split for row in self.rows if row.split}


def names_of(path: str) -> Iterator[str]:
    """What a file may be called in a table, the surest first: its path, its name, what stands before a sign in its
    name (IXI012 of IXI012_T1w), and its folders, the nearest first.

    Args:
        path: Below the folder that was given, with slashes, without the file's ending.
    """
    yield path
    *folders, name = path.split("/")
    yield name
    for end in reversed([match.start() for match in re.finditer(r"[_.\s-]", name)]):
        if end:
            yield name[:end]
    yield from reversed(folders)


def read_participants(path: Path, categorical: Iterable[str] = ()) -> Participants:
    """Read a participants table: tab- or comma-separated, one row a case, or with participant_id alone one a patient.

    Columns: `case` or `participant_id` (BIDS) names the scan; `patient` whose it is (else participant_id, else the
    case); `split` and `modality` where they are known; every other one is an attribute: continuous where all its values
    are numbers ("89+" counts as 89), categorical else.

    Args:
        path: The table.
        categorical: Columns whose numbers are codes.

    Raises:
        ConfigError: No such file, not a table, a column is missing or twice, a case stands in it twice, an unknown
            split, a patient in two splits, or a column whose name is nearly one of those above.
    """
    columns, rows = read_cells(path)
    plain = {column.strip().lower(): column for column in columns}
    check_spelling(path, columns, plain.keys())
    if not {"case", "participant_id"} & plain.keys():
        raise ConfigError(f"--table {path}: has the columns {', '.join(columns)}; needs `case` or `participant_id`.")
    named = [column for column in columns if column.strip().lower() not in _KEYS]
    kept, warnings = _attributes(path, named, rows)
    unknown = sorted(set(categorical) - set(kept))
    if unknown:
        raise ConfigError(
            f"--categorical {unknown[0]}: must be a column of {path}: {', '.join(kept) or 'it has none'}."
        )
    kinds: dict[str, AttributeKind] = {}
    for column in kept:
        values = [value for row in rows if (value := value_of(row, column))]
        numbers = column not in categorical and all(_number(value) is not None for value in values)
        kinds[column] = "continuous" if numbers else "categorical"
    participants = tuple(_participant(path, number, row, plain, kinds) for number, row in enumerate(rows, start=2))
    _check_unique(path, participants)
    return Participants(path, participants, kinds, tuple(warnings))


def check_spelling(path: Path, columns: Iterable[str], plain: Collection[str]) -> None:
    """Refuse a slip of the pen: as an attribute, `pateint` would let a patient's cases into several splits."""
    for column in columns:
        name = column.lower()
        close = () if name in {*_KEYS, *_OTHER_WORDS} else get_close_matches(name, _MEANT, n=1, cutoff=_CLOSE)
        meant = _MEANT[close[0]] if close else ""
        whose_is_said = meant in ("patient", "participant_id") and "patient" in plain
        if meant and meant not in plain and not whose_is_said:
            raise ConfigError(
                f"table {path}: the column {column!r}: is `{meant}` meant? Rename it so"
                + (" (the manifest holds its values: give research codes)" if meant == "patient" else "")
                + ", or, if it is something else, give it a name less like that."
            )


def _participant(
    path: Path, number: int, row: dict[str, str], plain: dict[str, str], kinds: dict[str, AttributeKind]
) -> Participant:
    said = {key: value_of(row, plain[key]) if key in plain else "" for key in _KEYS}
    said["case"] = _ENDING.sub("", said["case"])
    keys = tuple(dict.fromkeys(filter(None, (said["case"], said["participant_id"]))))
    if not keys:
        raise ConfigError(f"--table {path}: row {number} has neither case nor participant_id.")
    split = said["split"].lower()
    if split and split not in SPLITS:
        raise ConfigError(
            f"--table {path}: row {number} ({keys[0]}): split {split}: must be {', '.join(SPLITS)}, or empty to let "
            "the coin decide."
        )
    attributes: dict[str, float | str | None] = {}
    for column, kind in kinds.items():
        value = value_of(row, column)
        attributes[column] = None if not value else _number(value) if kind == "continuous" else value
    patient = said["patient"] or said["participant_id"] or said["case"]
    stated = bool(said["patient"] or said["participant_id"])
    return Participant(keys, patient, stated, split, said["modality"].upper(), attributes, said["case"])


def _check_unique(path: Path, participants: Iterable[Participant]) -> None:
    seen: dict[str, int] = {}
    split_of: dict[str, str] = {}
    for number, row in enumerate(participants, start=2):
        case = row.keys[0]
        if case in seen:
            raise ConfigError(f"--table {path}: {case} stands in rows {seen[case]} and {number}. Remove one of them.")
        seen[case] = number
        if not row.split:
            continue
        if split_of.setdefault(row.patient, row.split) != row.split:
            raise ConfigError(
                f"--table {path}: the patient of {case} (row {number}) stands in two splits, {split_of[row.patient]} "
                f"and {row.split}. A split is of patients: give all scans of one the same."
            )


def read_cells(path: Path, what: str = "--table") -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a tab- or comma-separated table, as text.

    Args:
        path: The table.
        what: What messages call it.

    Raises:
        ConfigError: It cannot be read, or is no table.
    """
    hint = " `medidiff scan FOLDER --table` makes one." if what == "--table" else ""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{what} {path}: no such file.{hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{what} {path}: cannot be read ({reason}). Save it as UTF-8 text.") from error
    first = text.partition("\n")[0]
    delimiter = max("\t,;", key=first.count)
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)]
    except csv.Error as error:
        raise ConfigError(f"{what} {path}: not a table ({error}).") from error
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if len(lines) < 2:
        raise ConfigError(f"{what} {path}: holds no rows. The first line names the columns, every other one is a case.")
    columns = [column.strip() for column in lines[0]]
    lower = [column.lower() for column in columns]
    twice = next((column for column in lower if lower.count(column) > 1), None)
    if twice is not None:
        raise ConfigError(f"{what} {path}: the column {twice!r} stands in it twice. Rename one of them.")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(columns):
            raise ConfigError(f"{what} {path}: row {number} has {len(line)} cells, the first line {len(columns)}.")
    return columns, [dict(zip(columns, line, strict=True)) for line in lines[1:]]


def _attributes(path: Path, columns: Iterable[str], rows: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Columns that become attributes, and why others do not: empty ones, and those that name people."""
    kept, warnings = [], []
    for column in columns:
        if not column:
            continue
        if column in CORE:
            raise ConfigError(f"--table {path}: column {column}: the store has a column of that name. Rename it.")
        if "".join(c for c in column.lower() if c.isalnum()) in _IDENTIFYING:
            warnings.append(f"{path.name}: column {column} is left out: it may say who somebody is.")
        elif not any(value_of(row, column) for row in rows):
            warnings.append(f"{path.name}: column {column} is left out: it is empty.")
        else:
            kept.append(column)
    return kept, warnings


def value_of(row: dict[str, str], column: str) -> str:
    """A cell, empty where nothing is known."""
    value = row[column].strip()
    return "" if value.lower() in MISSING else value


def _number(text: str) -> float | None:
    text = text.removesuffix(_TOP_CODED)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def some(names: Iterable[str]) -> str:
    """The first of a list, and how many more there are."""
    names = sorted(names)
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
