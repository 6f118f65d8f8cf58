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
from medidiff.io import atomic_write_text, read_nifti, write_nifti
from medidiff.io.nifti_header import read_header
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
    job: Job, task: Task, volume: Volume, record_of: Callable[[Outputs, Result], dict[str, Any]]
) -> dict[str, Any]:
    """Run a job and write everything it yields, whole or not at all.

    Args:
        job: Input and output.
        task: Does the work, when the output's folder is known to be writable, and says what to write.
        volume: The scan.
        record_of: Makes the record.

    Returns:
        The record.

    Raises:
        OutputError: The folder cannot be written, or the disk is full. Nothing remains.
    """
    outputs = planned_outputs(job, task)
    with Stage(job.target.parent, job.stem) as stage:
        result = task.run(volume)
        places = {kind: stage.place(path) for kind, path in outputs}
        write_nifti(result.output, places["output"])
        result.warnings += encoding_warnings(volume, places["output"])
        if "residual" in places:  # of the output as it was written: integers are rounded to their step
            residual = volume.data.astype(np.float32) - read_nifti(places["output"]).data
            result.residual = volume.with_data(residual)
        for kind, (values, dtype) in volumes_of(result, list(places)).items():
            if kind != "output":
                write_nifti(values, places[kind], dtype)
        if "report" in places:
            write_report(result, places["report"])
        record = record_of(outputs, result)
        atomic_write_text(places["record"], json.dumps(record, indent=2, allow_nan=False) + "\n")
        stage.commit(removes=[job.sidecar, *_outdated(job, outputs)])
    return record


def encoding_warnings(scan: Volume, written: Path) -> list[str]:
    """What to know where an integer scan's output is stored with another slope, intercept or type than the scan."""
    before = scan.header
    if before is None or np.dtype(before.dtype).kind not in "iu":
        return []
    after = read_header(written).memory
    if (before.dtype, before.slope, before.inter) == (after.dtype, after.slope, after.inter):
        return []
    old, new = (f"{m.dtype}, slope {m.slope:.6g}, intercept {m.inter:.6g}" for m in (before, after))
    return [f"stored as {new} (the scan: {old}): programs that read raw integers without these see other numbers."]


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
