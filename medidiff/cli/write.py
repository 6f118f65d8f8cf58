"""A Result as files: the scan, what was asked for beside it, the page, and last the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.cli.jobs import Job
from medidiff.cli.sidecar import read_record
from medidiff.cli.stage import Stage
from medidiff.cli.task import Task
from medidiff.io import atomic_write_text, write_nifti
from medidiff.report import write_report
from medidiff.result import Result
from medidiff.volume import Volume

Outputs = list[tuple[str, Path]]


def planned_outputs(job: Job, task: Task) -> Outputs:
    """(kind, file) of everything a job will write; the record comes last."""
    outputs: Outputs = [(kind, job.beside(kind)) for kind in task.save]
    outputs += [(f"sample-{i + 1}", job.beside(f"sample-{i + 1}")) for i in range(task.samples)]
    if task.samples > 1:
        outputs.append(("std", job.beside("std")))
    if task.report:
        outputs.append(("report", job.report))
    return [*outputs, ("output", job.target), ("record", job.sidecar)]


def write_outputs(
    job: Job, task: Task, run: Callable[[], Result], record_of: Callable[[Outputs, Result], dict[str, Any]]
) -> dict[str, Any]:
    """Run a job and write everything it yields, whole or not at all.

    Args:
        job: Input and output.
        task: What to write.
        run: Does the work; called when the output's folder is known to be writable.
        record_of: Makes the record.

    Returns:
        The record.

    Raises:
        OutputError: The folder cannot be written, or the disk is full. Nothing remains.
    """
    outputs = planned_outputs(job, task)
    with Stage(job.target.parent, job.stem) as stage:
        result = run()
        record = record_of(outputs, result)
        volumes = volumes_of(result, [kind for kind, _ in outputs])
        for kind, path in outputs:
            staged = stage.place(path)
            if kind == "record":
                atomic_write_text(staged, json.dumps(record, indent=2, allow_nan=False) + "\n")
            elif kind == "report":
                write_report(result, staged)
            else:
                volume, dtype = volumes[kind]
                write_nifti(volume, staged, dtype)
        stage.commit(removes=[job.sidecar, *_outdated(job, outputs)])
    return record


def _outdated(job: Job, outputs: Outputs) -> list[Path]:
    """Files that an earlier run's record names and this run does not write, such as the samples 3 to 8 of 8, now 2."""
    earlier = read_record(job.sidecar) or {}
    names = {Path(str(entry.get("file"))).name for entry in earlier.get("outputs", [])}
    ours = {name for name in names if name.startswith((f"{job.stem}_", f"{job.stem}."))}
    return [job.target.with_name(name) for name in sorted(ours - {path.name for _, path in outputs})]


def volumes_of(result: Result, kinds: Sequence[str]) -> dict[str, tuple[Volume, str | None]]:
    """The volumes of a Result by kind, each with the number type to store it in (None: the input's kind).

    Maps and residuals are float32 whatever the scan is: they have signs, small values and infinities.
    """
    volumes: dict[str, tuple[Volume, str | None]] = {"output": (result.output, None)}
    for kind, volume in (
        ("residual", result.residual),
        ("noise-map", result.noise_map),
        ("uncertainty", result.uncertainty),
    ):
        if kind in kinds:
            if volume is None:
                raise ValueError(f"the task returned no {kind}")
            volumes[kind] = (volume, "float32")
    for i, sample in enumerate(result.samples):
        volumes[f"sample-{i + 1}"] = (sample, None)
    if "std" in kinds:
        spread = np.std([sample.data for sample in result.samples], axis=0, ddof=1, dtype=np.float64)
        volumes["std"] = (result.output.with_data(spread.astype(np.float32)), "float32")
    return volumes
