"""What became of each scan of a run, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from medidiff.cli.jobs import Job
from medidiff.cli.outcome import Failure
from medidiff.errors import InputError, PartialFailure


@dataclass
class Entry:
    """What became of one scan.

    Args:
        label: What the JSON object calls the scan.
        name: The same, short.
        status: "skipped", "failed", "interrupted", "checked" (of a dry run), or what the task did.
        output: The main output; None where none was ever meant.
        failure: Why it failed.
        reason: Why it was set aside without being a failure: it is no volume.
        record: The record beside the output.
        warnings: Of a dry run.
    """

    label: str
    name: str
    status: str
    output: str | None = None
    failure: Failure | None = None
    reason: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, job: Job, status: str, **more: Any) -> Entry:
        """The entry of a job."""
        return cls(job.source.label, job.source.name, status, str(job.target), **more)

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        entry: dict[str, Any] = {"input": self.label, "output": self.output, "status": self.status}
        if self.failure is not None:
            entry |= self.failure.to_dict()
        if self.reason:
            entry["reason"] = self.reason
        if self.record:
            entry["record"] = self.record
        elif self.warnings:
            entry["warnings"] = self.warnings
        return entry

    def line(self) -> str:
        """For the terminal."""
        if self.failure is not None:
            return f"{self.name}: failed"
        if self.reason:
            return f"{self.name}: skipped, {self.reason}"
        if self.status == "skipped":
            return f"{self.name}: skipped, made with the same settings"
        if not self.record:
            return f"{self.name}: would be done"
        return f"{self.name}: {self.status} in {self.record['result']['seconds']:.1f} s"


def summary(entries: Sequence[Entry], dry_run: bool = False) -> dict[str, Any]:
    """The JSON object of a run; its exit code is the run's. What is no volume does not count as work."""
    failures = [entry.failure for entry in entries if entry.failure is not None]
    work = [entry for entry in entries if not entry.reason]
    exit_code, status = 0, "checked" if dry_run else "done"
    if failures and len(failures) < len(work):
        exit_code, status = PartialFailure.exit_code, "partly done"
    elif failures:
        codes = {failure.exit_code for failure in failures}
        exit_code, status = codes.pop() if len(codes) == 1 else InputError.exit_code, "failed"
    return {
        "status": status,
        "exit_code": exit_code,
        "done": sum(bool(entry.record) and entry.status != "skipped" for entry in entries),
        "checked": sum(entry.status == "checked" for entry in entries),
        "skipped": sum(entry.status == "skipped" for entry in entries),
        "failed": len(failures),
        "files": [entry.to_dict() for entry in entries],
    }
