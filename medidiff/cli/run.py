"""Carry out a task on what the command line named, and tell what happened."""

from __future__ import annotations

from pathlib import Path

import typer

from medidiff.cli.batch import Batch, Entry, summary
from medidiff.cli.jobs import plan
from medidiff.cli.outcome import emit_json, failure_of, say, stop
from medidiff.cli.task import Task


def run_task(task: Task, source: Path, output: str, *, overwrite: bool, dry_run: bool, as_json: bool) -> None:
    """Plan, run, report; ends with the run's exit code.

    Raises:
        MedidiffError: The run could not begin, or its only scan failed.
    """
    jobs, folder = plan(source, output)
    if folder:
        task.check_settings()
    if dry_run:
        task.check_machine()
    batch = Batch(task, jobs, folder, overwrite=overwrite, dry_run=dry_run)
    try:
        entries = batch.run()
    except (KeyboardInterrupt, Exception) as error:
        if not as_json:
            raise
        failure = failure_of(error)  # what was done before stays done, and is told
        stop(failure, as_json, summary([*batch.entries, *(Entry(job, "failed", failure) for job in batch.at_work)]))
    told = summary(entries, dry_run)
    if as_json:
        emit_json(told)
    elif folder:
        words = {"done": "would be done" if dry_run else "done", "skipped": "skipped", "failed": "failed"}
        typer.echo(f"{output}: " + ", ".join(f"{told[key]} {word}" for key, word in words.items() if told[key]))
    else:
        typer.echo(_describe(entries[0], task))
    if told["exit_code"]:
        say(f"error: {told['failed']} of {len(entries)} scans failed; each is named above.")
        raise typer.Exit(told["exit_code"])


def _describe(entry: Entry, task: Task) -> str:
    if not entry.record:
        hash_start = task.prior["hash"][:12]
        return (
            f"{entry.job.source}: {entry.status}, as {entry.job.target}, with prior {task.prior['name']} {hash_start}"
        )
    result = entry.record["result"]
    lines = [f"{entry.job.target}: {result['status']} in {result['seconds']:.1f} s"]
    noise = result["figures"].get("noise_std")
    if isinstance(noise, float):
        lines[0] += f", noise level {noise:.4g}"
    others = [o["file"] for o in entry.record["outputs"] if o["kind"] not in ("output", "record")]
    if others:
        lines.append(f"beside it: {', '.join(others)}")
    return "\n".join(lines)
