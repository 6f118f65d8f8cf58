"""One task over one scan or a folder of scans: check, resume, run, write, tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medidiff.cli.jobs import Job, check_collisions
from medidiff.cli.outcome import Failure, failure_of, warn
from medidiff.cli.progress import Progress
from medidiff.cli.sidecar import difference, is_whole, make_record, make_request, read_record
from medidiff.cli.task import Task
from medidiff.cli.write import planned_outputs, write_outputs
from medidiff.errors import (
    ConfigError,
    DeviceError,
    GeometryError,
    InputError,
    NoiseError,
    OutputError,
    PartialFailure,
    UsageError,
)
from medidiff.io import hash_file, read_nifti

_NO_USE_GOING_ON = (UsageError, ConfigError, DeviceError, OutputError)


@dataclass
class Entry:
    """What became of one scan."""

    job: Job
    status: str
    failure: Failure | None = None
    record: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        entry: dict[str, Any] = {
            "input": str(self.job.source),
            "output": str(self.job.target),
            "status": self.status,
        }
        if self.failure is not None:
            entry |= self.failure.to_dict()
        if self.record:
            entry["record"] = self.record
        elif self.warnings:
            entry["warnings"] = self.warnings
        return entry


@dataclass
class Batch:
    """A plan and how it is to be carried out.

    Args:
        task: What is done to each scan.
        jobs: From `plan`.
        folder: A folder was given: resume, and let one bad file not stop the rest.
        overwrite: Existing outputs may be replaced.
        dry_run: Check and tell, but do not run and do not write.
    """

    task: Task
    jobs: Sequence[Job]
    folder: bool
    overwrite: bool = False
    dry_run: bool = False
    entries: list[Entry] = field(default_factory=list, init=False)
    """What became of the scans so far."""
    at_work: list[Job] = field(default_factory=list, init=False)
    """The scan that is worked on; after an error that stopped the run, the one that it happened with."""

    def run(self) -> list[Entry]:
        """Work through the plan.

        Raises:
            UsageError: An output exists and may not be replaced, or would replace an input; nothing was done.
            MedidiffError: The one scan failed, or something that would fail every scan.
        """
        self.at_work = [] if self.folder else list(self.jobs)
        everything = [path for job in self.jobs for _, path in planned_outputs(job, self.task)]
        check_collisions(self.jobs, everything, self.task.inputs)
        done = self._existing()
        with Progress(len(self.jobs), self.task.name, count=self.folder) as progress:
            for job in self.jobs:
                progress.start(job.source.name)
                self.at_work = [job]
                entry = Entry(job, "skipped", record=done[job.target]) if job.target in done else self._one(job)
                self.entries.append(entry)
                self.at_work = []
                progress.finish(_line(entry))
        return self.entries

    def _one(self, job: Job) -> Entry:
        try:
            return self._work(job)
        except _NO_USE_GOING_ON:
            raise
        except Exception as error:  # one bad file must not stop the rest; it is told, and counted
            if not self.folder:
                raise
            failure = failure_of(error)
            _warn_of(job, failure.message)
            return Entry(job, "failed", failure)

    def _work(self, job: Job) -> Entry:
        with _naming(job.source):
            volume = read_nifti(job.source)
            replace(volume, name=str(job.source)).check()  # a message names the file, not only the scan
            self.task.check(volume)
            if self.dry_run:
                entry = Entry(job, "would be done", warnings=self.task.foresee(volume))
            else:
                request = self._request(job)
                record = write_outputs(
                    job, self.task, volume, lambda out, result: make_record(job, request, out, result)
                )
                entry = Entry(job, record["status"], record=record, warnings=record["result"]["warnings"])
        for text in entry.warnings:
            _warn_of(job, text)
        return entry

    def _request(self, job: Job) -> dict[str, Any]:
        return make_request(self.task.name, hash_file(job.source), self.task.prior, self.task.settings)

    def _existing(self) -> dict[Path, dict[str, Any]]:
        """Records of outputs that are finished already, by target; a conflict stops everything before it begins."""
        done: dict[Path, dict[str, Any]] = {}
        for job in self.jobs:
            existing = [path for _, path in planned_outputs(job, self.task) if path.exists()]
            if not existing:
                continue
            record = read_record(job.sidecar)
            if job.sidecar.exists() and record is None:
                raise UsageError(
                    f"-o {job.target}: {job.sidecar} was not written by medidiff and is never replaced. "
                    "Choose another name or folder."
                )
            if self.overwrite:
                continue
            if not self.folder or record is None:
                raise UsageError(f"-o {existing[0]}: exists. --overwrite replaces it.")
            changed = difference(record.get("request", {}), self._request(job))
            if changed:
                raise UsageError(
                    f"-o {job.target}: was made with other settings ({changed}). Nothing was done. "
                    "Give another folder, or --overwrite to make everything again."
                )
            if is_whole(record, job.target.parent):
                done[job.target] = record
        return done


def summary(entries: Sequence[Entry], dry_run: bool = False) -> dict[str, Any]:
    """The JSON object of a run; its exit code is the run's."""
    failures = [entry.failure for entry in entries if entry.failure is not None]
    exit_code, status = 0, "checked" if dry_run else "done"
    if failures and len(failures) < len(entries):
        exit_code, status = PartialFailure.exit_code, "partly done"
    elif failures:
        codes = {failure.exit_code for failure in failures}
        exit_code, status = codes.pop() if len(codes) == 1 else InputError.exit_code, "failed"
    return {
        "status": status,
        "exit_code": exit_code,
        "done": sum(entry.failure is None and entry.status != "skipped" for entry in entries),
        "skipped": sum(entry.status == "skipped" for entry in entries),
        "failed": len(failures),
        "files": [entry.to_dict() for entry in entries],
    }


@contextmanager
def _naming(source: Path) -> Iterator[None]:
    """Put the file's name before an error about the scan that does not say which one."""
    try:
        yield
    except (InputError, NoiseError, GeometryError) as error:
        if source.name in str(error) or str(error).startswith("-"):
            raise
        raise type(error)(f"{source}: {error}") from error


def _warn_of(job: Job, text: str) -> None:
    """A warning that names its file once."""
    warn(text if job.source.name in text else f"{job.source.name}: {text}")


def _line(entry: Entry) -> str:
    if entry.failure is not None:
        return f"{entry.job.source.name}: failed"
    if entry.status == "skipped":
        return f"{entry.job.source.name}: skipped, made with the same settings"
    if not entry.record:
        return f"{entry.job.source.name}: {entry.status}"
    return f"{entry.job.source.name}: {entry.status} in {entry.record['result']['seconds']:.1f} s"
