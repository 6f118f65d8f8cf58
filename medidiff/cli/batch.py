"""One task over one scan or a folder of scans: check, resume, run, write, tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medidiff.cli.ahead import ReadAhead
from medidiff.cli.dicom_source import DicomSource
from medidiff.cli.discover import Aside, plural
from medidiff.cli.entries import Entry
from medidiff.cli.finer import put_slices_between
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.jobs import Job, check_collisions
from medidiff.cli.like import Like
from medidiff.cli.outcome import failure_of, is_out_of_memory, say, warn
from medidiff.cli.output_choice import OutputChoice
from medidiff.cli.progress import Progress, announce
from medidiff.cli.sidecar import difference, is_whole, make_request, read_record
from medidiff.cli.sources import NiftiSource, Source
from medidiff.cli.task import Task
from medidiff.cli.write import planned_outputs, write_outputs
from medidiff.cli.write_dicom import check_for_dicom
from medidiff.errors import (
    ConfigError,
    DeviceError,
    GeometryError,
    InputError,
    MedidiffError,
    NoiseError,
    OutputError,
    UsageError,
)
from medidiff.io.dicom.model import Assembled

_NO_USE_GOING_ON = (UsageError, ConfigError, DeviceError, OutputError)


@dataclass
class Batch:
    """A plan and how it is to be carried out.

    Args:
        task: What is done to each scan.
        jobs: From `plan`.
        folder: A folder was given: resume, and let one bad file not stop the rest.
        overwrite: Existing outputs may be replaced.
        dry_run: Check and tell, but do not run and do not write.
        given: What was said about the input.
        wanted: What was said about the output.
        aside: What was found with the scans and is not worked on.
        like: The DICOM series that the scans came from.
    """

    task: Task
    jobs: Sequence[Job]
    folder: bool
    overwrite: bool = False
    dry_run: bool = False
    given: InputChoice = field(default_factory=InputChoice, kw_only=True)
    wanted: OutputChoice = field(default_factory=OutputChoice, kw_only=True)
    aside: Sequence[Aside] = field(default=(), kw_only=True)
    like: Like | None = field(default=None, kw_only=True)
    entries: list[Entry] = field(default_factory=list, init=False)
    """What became of the scans so far."""
    at_work: list[Job] = field(default_factory=list, init=False)
    """The scan that is worked on; after an error that stopped the run, the one that it happened with."""
    _ahead: ReadAhead = field(init=False, repr=False)

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
        self.entries += [_set_aside(one) for one in self.aside]
        self._ahead = ReadAhead([job.source for job in self.jobs if job.target not in done])
        with Progress(len(self.jobs), self.task.name, count=self.folder) as progress, self._ahead:
            for job in self.jobs:
                progress.start(job.source.name)
                self.at_work = [job]
                entry = Entry.of(job, "skipped", record=done[job.target]) if job.target in done else self._one(job)
                self.entries.append(entry)
                self.at_work = []
                progress.finish(entry.line())
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
            say(f"failed: {_about(job, failure.message)}")
            return Entry.of(job, "failed", failure=failure)

    def _work(self, job: Job) -> Entry:
        with _naming(job.source):
            scans = self._checked(job)
            first = next(scans)
            if self.dry_run:
                warnings = [*job.source.warnings, *first.notes, *self.task.foresee(first.volume, first.missing)]
                entry = Entry.of(job, "checked", warnings=warnings)
            else:
                if self.task.prior:
                    announce(self._beginning(job, first))
                scans = itertools.chain([first], scans)
                record = write_outputs(job, self.task, scans, self._request(job), self.wanted, self.like)
                entry = Entry.of(job, record["status"], record=record, warnings=record["result"]["warnings"])
        for text in entry.warnings:
            warn(_about(job, text))
        return entry

    def _beginning(self, job: Job, first: Assembled) -> str:
        size = " x ".join(map(str, first.volume.shape)) + (f" x {job.source.frames}" if job.source.frames > 1 else "")
        samples = f", {plural(self.task.samples, 'sample')}" if self.task.samples else ""
        return f"{self.task.name} {job.source.name}: {size}, prior {self.task.prior['name']}{samples} ..."

    def _checked(self, job: Job) -> Iterator[Assembled]:
        for scan in self._ahead.scans(job.source):
            if self.like is not None:
                self.like.check(scan.volume, job.source.label)
            if self.given.target_spacing_mm is not None:
                scan = put_slices_between(scan, self.given.target_spacing_mm)
            # With the label as its name: a message names the file, not only the scan.
            replace(scan.volume, name=job.source.label).check(allow_constant=not self.task.prior)
            if job.form == "dicom":
                check_for_dicom(scan.volume, job.source)
            self.task.check(scan.volume)
            yield scan

    def _request(self, job: Job) -> dict[str, Any]:
        settings = {**self.task.settings, **self.given.settings(), **self.wanted.settings()}
        if self.like is not None:
            settings["like"] = self.like.source.candidate.id
        if isinstance(job.source, NiftiSource) and job.source.frame is not None:
            settings["frame"] = job.source.frame
        return make_request(self.task.name, job.source.sha256(), self.task.prior, settings)

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
            if job.target.is_dir() and record is None:
                raise UsageError(f"-o {job.target}: a folder that medidiff did not write is never replaced.")
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


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Put the scan's name before an error that does not say which one it is about; keep patients out of the others."""
    try:
        yield
    except (InputError, NoiseError, GeometryError) as error:
        if source.name in str(error) or str(error).startswith("-"):
            raise
        raise type(error)(f"{source.label}: {error}") from error
    except MedidiffError:
        raise
    except Exception as error:
        if not isinstance(source, DicomSource) or is_out_of_memory(error):
            raise
        # A library's own words can quote a header. --debug shows them to who asks for it.
        raise RuntimeError(f"{type(error).__name__} with {source.label}") from error


def _about(job: Job, text: str) -> str:
    """A text that names its scan once."""
    return text if job.source.name in text else f"{job.source.name}: {text}"


def _set_aside(one: Aside) -> Entry:
    """A refused scan is a failure; what never was a volume is told and does not count."""
    if one.error is None:
        entry = Entry(one.label, one.label, "skipped", reason=one.reason)
        say(entry.line())
        return entry
    failure = failure_of(one.error)
    say(f"failed: {failure.message}")
    return Entry(one.label, one.label, "failed", failure=failure)
