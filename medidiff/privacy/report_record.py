"""What an audit leaves behind (audit.json), and what a person puts under it (signoff.json)."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medidiff.errors import InputError
from medidiff.io import hash_file
from medidiff.privacy.finding import Finding, Verdict
from medidiff.privacy.set_content import set_hash
from medidiff.privacy.thresholds import Thresholds

AUDIT_FILE, SIGN_OFF_FILE = "audit.json", "signoff.json"
AUDIT_FORMAT, SIGN_OFF_FORMAT = "medidiff-audit", "medidiff-signoff"
_SHA256 = r"^[0-9a-f]{64}$"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


Record = TypeVar("Record", bound=_Record)


class CaseNote(_Record):
    """One sample that a person shall look at."""

    file: str = Field(min_length=1)
    """Path of the scan below the set's folder, with slashes."""
    index: int | None = None
    """Number of the sample in the set, where it has one."""
    similarity: float | None = None
    """To the nearest scan of a patient, in [-1, 1]; None where it was not measured."""
    why: str = ""
    """Why it is here: drawn at random, or what the audit found."""


class AuditReport(_Record):
    """The outcome of `medidiff audit`. Nothing in it leads back to a patient."""

    format: Literal["medidiff-audit"] = AUDIT_FORMAT
    version: Literal[1] = 1
    verdict: Verdict
    words: str
    """The judgement in one or two sentences: what was not found above which rate, and what cannot be seen."""
    needed: dict[str, Any] = Field(default_factory=dict)
    """Of an INCONCLUSIVE audit: what would decide it."""
    created: datetime.datetime
    medidiff_version: str
    thresholds: Thresholds
    synthetic_hash: str | None = Field(default=None, pattern=_SHA256)
    """`set_hash` of the folder that was audited; None: a prior alone was."""
    prior_hash: str | None = Field(default=None, pattern=_SHA256)
    """Content hash of the prior that was audited with the set; None: the samples alone were."""
    samples: int = Field(ge=0)
    """Scans in the set."""
    references: dict[str, Any] = Field(default_factory=dict)
    """Counts of patients and scans of train and holdout, and their commitments."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Grid, similarity, encoder: what else the audit was run with."""
    findings: tuple[Finding, ...]
    subgroups: tuple[dict[str, Any], ...] = ()
    """Rows of `medidiff.evaluate.subgroups`, as dictionaries."""
    limits: tuple[str, ...] = ()
    """What this audit cannot see, a sentence each."""
    random_samples: tuple[CaseNote, ...] = ()
    """Drawn by the audit for a person to look at."""
    worst_samples: tuple[CaseNote, ...] = ()
    """Nearest to a patient, for a person to look at."""
    sign_off: str = SIGN_OFF_FILE
    """Name of the form that a person fills in, beside this file."""

    def to_json(self) -> str:
        """The text of audit.json."""
        return self.model_dump_json(indent=2) + "\n"


class Reviewed(CaseNote):
    """A sample of the form: the person says whether they looked at it."""

    reviewed: bool = False
    note: str = ""


class SignOff(_Record):
    """The form under an audit. A person fills in reviewer, role, date, statement, decision, and ticks the samples."""

    format: Literal["medidiff-signoff"] = SIGN_OFF_FORMAT
    how_to: str = "date: YYYY-MM-DD; decision: approve or reject; reviewed: true for each sample looked at"
    audit_sha256: str = Field(pattern=_SHA256)
    """SHA-256 of the audit.json that was read."""
    reviewer: str = ""
    role: str = ""
    date: datetime.date | Literal[""] = ""
    random_samples: tuple[Reviewed, ...] = ()
    worst_samples: tuple[Reviewed, ...] = ()
    statement: str = ""
    decision: Literal["approve", "reject", ""] = ""

    @classmethod
    def form(cls, audit: AuditReport, audit_path: Path) -> SignOff:
        """An empty form for an audit.

        Raises:
            InputError: The audit's file cannot be read.
        """
        random, worst = (
            tuple(Reviewed(**note.model_dump()) for note in notes)
            for notes in (audit.random_samples, audit.worst_samples)
        )
        return cls(audit_sha256=hash_file(audit_path), random_samples=random, worst_samples=worst)

    def missing(self, audit: AuditReport) -> list[str]:
        """What a person still has to do, in words; empty where the form is complete."""
        texts = {"reviewer": self.reviewer, "role": self.role, "statement": self.statement}
        found = [f"{name} is empty" for name, text in texts.items() if not text.strip()]
        found += ["date is empty"] if self.date == "" else []
        found += ["decision is neither approve nor reject"] if self.decision == "" else []
        for kind, notes, rows in (
            ("random", audit.random_samples, self.random_samples),
            ("worst", audit.worst_samples, self.worst_samples),
        ):
            seen = {row.file for row in rows if row.reviewed}
            open_ = [note.file for note in notes if note.file not in seen]
            if open_:
                found.append(f"{len(open_)} of {len(notes)} {kind} samples not reviewed, such as {open_[0]}")
        return found


def read_audit(path: Path) -> AuditReport:
    """An audit.json.

    Raises:
        InputError: There is none, or it is not one.
    """
    return _read(AuditReport, path, _json(path), "an audit of medidiff audit")


def read_sign_off(path: Path) -> SignOff:
    """A signoff.json, or the same as YAML.

    Raises:
        InputError: There is none, or it is not one.
    """
    values = _yaml(path) if path.suffix in (".yaml", ".yml") else _json(path)
    return _read(SignOff, path, values, "a sign-off of medidiff release --template")


def _read(kind: type[Record], path: Path, values: Any, what: str) -> Record:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: is not {what} ({place}: {first['msg']}).") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error


__all__ = [
    "AUDIT_FILE", "SIGN_OFF_FILE", "AuditReport", "CaseNote", "Reviewed", "SignOff", "read_audit", "read_sign_off",
    "set_hash",
]  # fmt: skip
