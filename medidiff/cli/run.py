"""Carry out a task on what the command line named, and tell what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import typer

from medidiff.cli.apart import frames_apart
from medidiff.cli.batch import Batch
from medidiff.cli.bids_source import DONE
from medidiff.cli.disc import check_disc, write_disc
from medidiff.cli.discover import Found, discover, plural
from medidiff.cli.entries import Entry, summary
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.jobs import Job, plan, writes_dicom
from medidiff.cli.like import find_like
from medidiff.cli.outcome import Failure, emit_json, failure_of, say, stop
from medidiff.cli.output_choice import OutputChoice
from medidiff.cli.task import Task
from medidiff.errors import UsageError
from medidiff.io.bids_derivatives import check_output_root, write_dataset_description


def run_task(
    task: Task,
    source: Path,
    output: str,
    given: InputChoice | None = None,
    wanted: OutputChoice | None = None,
    *,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Find, plan, run, report; ends with the run's exit code.

    Args:
        task: What is done to each scan.
        source: IN.
        output: OUT, as it was written.
        given: What was said about IN.
        wanted: What was said about OUT.
        overwrite: Existing outputs may be replaced.
        dry_run: Only check and tell.
        as_json: Tell as JSON.

    Raises:
        MedidiffError: The run could not begin, or its only scan failed.
    """
    given, wanted = given or InputChoice(), wanted or OutputChoice()
    if wanted.deidentify and given.keep_ids:
        raise UsageError("--deidentify and --keep-ids: the file names would hold what the files must not. Give one.")
    # With --like, --series is about that folder: a NIfTI file holds no series.
    here = given if wanted.like is None else replace(given, series=None)
    found = discover(source, here, task.name, apart=writes_dicom(output, wanted.form), output=output)
    if wanted.form == "dicom" and found.kind != "dicom":
        found = frames_apart(found)
    jobs = plan(found, output, wanted.form)
    _check_places(found, jobs, output, wanted, overwrite)
    like = find_like(wanted.like, given) if wanted.like is not None else None
    if found.many:
        task.check_settings()
    if dry_run:
        task.check_machine()
    batch = Batch(task, jobs, found.many, overwrite, dry_run, given=here, wanted=wanted, aside=found.aside, like=like)
    try:
        entries = batch.run()
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  the run ends, and says what it did
        _stop_early(error, batch, as_json)
    told = summary(entries, dry_run)
    if not dry_run:
        _finish(found, jobs, entries, output, wanted, task)
        if like is not None:
            say(f"note: filed beside {like.source.label}")
    if as_json:
        emit_json(told)
    elif found.many:
        words = {"done": "done", "checked": "would be done", "skipped": "skipped", "failed": "failed"}
        typer.echo(f"{output}: " + ", ".join(f"{told[key]} {word}" for key, word in words.items() if told[key]))
    else:
        typer.echo("\n".join(_describe(entry, task) for entry in entries if not entry.reason))
    if told["exit_code"]:
        of = sum(not entry.reason for entry in entries)
        say(f"error: {told['failed']} of {plural(of, 'scan')} failed; each is named above.")
        raise typer.Exit(told["exit_code"])


def _stop_early(error: BaseException, batch: Batch, as_json: bool) -> NoReturn:
    """End a run that was interrupted, or cannot go on; what was done before stays done, and is told."""
    failure = failure_of(error)
    interrupted = isinstance(error, KeyboardInterrupt)
    if interrupted and batch.folder:
        done = sum(entry.failure is None and not entry.reason for entry in batch.entries)
        said = f"{done} of {len(batch.jobs)} done; run the same command again to resume."
        failure = Failure(f"{failure.message} {said}", failure.exit_code)
    at_work = [
        Entry.of(job, "interrupted") if interrupted else Entry.of(job, "failed", failure=failure)
        for job in batch.at_work
    ]
    stop(failure, as_json, summary([*batch.entries, *at_work]))


def _check_places(found: Found, jobs: Sequence[Job], output: str, wanted: OutputChoice, overwrite: bool) -> None:
    """Refuse, before the work, outputs that go where they must not."""
    wanted.check(found.kind == "dicom", any(job.form == "dicom" for job in jobs))
    if found.kind == "bids":
        check_output_root(Path(output), found.root)
    if wanted.dicomdir:
        check_disc(Path(output), overwrite)


def _finish(
    found: Found, jobs: Sequence[Job], entries: Sequence[Entry], output: str, wanted: OutputChoice, task: Task
) -> None:
    """What belongs to the outputs of a run together, and what a person must know who passes them on."""
    made = {entry.output for entry in entries if entry.record}
    series = [job.target for job in jobs if job.form == "dicom" and str(job.target) in made]
    if found.kind == "bids" and made:
        done = DONE.get(task.name, "processed")
        write_dataset_description(Path(output), found.root, f"Scans {done} by medidiff")
    if series and wanted.dicomdir:
        say(f"{write_disc(Path(output), series)}: {len(series)} series with a DICOMDIR")
    if series and not wanted.deidentify and (found.kind == "dicom" or wanted.like is not None):
        say("note: the new DICOM series keep the patient's identity, for the PACS. --deidentify removes it.")


def _describe(entry: Entry, task: Task) -> str:
    if not entry.record:
        prior = f", with prior {task.prior['name']} {task.prior['hash'][:12]}" if task.prior else ""
        return f"{entry.label}: would be done, as {entry.output}{prior}"
    result = entry.record["result"]
    lines = [f"{entry.output}: {result['status']} in {result['seconds']:.1f} s"]
    noise = result["figures"].get("noise_std")
    if isinstance(noise, float):
        lines[0] += f", noise level {noise:.4g}"
    generated = entry.record.get("generated_slices", [])
    if generated:
        lines[0] += f", {len(generated)} of {result['output']['shape'][2]} slices generated, not measured"
    others = [o["file"] for o in entry.record["outputs"] if o["kind"] not in ("output", "record")]
    if others:
        lines.append(f"beside it: {', '.join(others)}")
    return "\n".join(lines)
