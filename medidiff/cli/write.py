"""A job's outputs as files: the scan, what was asked for beside it, the page, and last the record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medidiff.cli.dicom_source import DicomSource
from medidiff.cli.frames import merge_frames, thin
from medidiff.cli.jobs import Job
from medidiff.cli.like import Like
from medidiff.cli.output_choice import OutputChoice
from medidiff.cli.sidecar import make_record, read_record
from medidiff.cli.sources import NiftiSource
from medidiff.cli.stage import Stage
from medidiff.cli.task import Task
from medidiff.cli.volumes import (
    encoding_warnings,
    read_written,
    residual_of,
    synthetic_descrip,
    volumes_of,
    write_volumes,
)
from medidiff.cli.write_dicom import DicomWriter, read_back
from medidiff.io import atomic_write_text
from medidiff.io.dicom.model import Assembled
from medidiff.io.gradients import gradient_paths
from medidiff.report import write_report
from medidiff.result import Result

Outputs = list[tuple[str, Path]]
GRADIENTS = ("bval", "bvec")


def planned_outputs(job: Job, task: Task) -> Outputs:
    """(kind, file) of everything a job may write; the record comes last."""
    outputs: Outputs = [(kind, job.beside(kind)) for kind in task.save]
    outputs += [(f"sample-{i + 1}", job.beside(f"sample-{i + 1}")) for i in range(task.samples)]
    if task.samples > 1:
        outputs.append(("std", job.beside("std")))
    if task.report:
        outputs.append(("report", job.report))
    if job.form == "nifti" and job.source.has_gradients:
        outputs += zip(GRADIENTS, gradient_paths(job.target), strict=True)
    return [*outputs, ("output", job.target), ("record", job.sidecar)]


def write_outputs(
    job: Job,
    task: Task,
    scans: Iterable[Assembled],
    request: Mapping[str, Any],
    wanted: OutputChoice,
    like: Like | None = None,
) -> dict[str, Any]:
    """Run a job and write everything it yields, whole or not at all.

    Args:
        job: Input and output.
        task: Does the work, when the output's folder is known to be writable, and says what to write.
        scans: The volumes of the scan, one or, of a 4D scan, several.
        request: What decides the output, from `make_request`.
        wanted: What was said about the output.
        like: The DICOM series that a NIfTI scan came from.

    Returns:
        The record.

    Raises:
        OutputError: The folder cannot be written, or the disk is full. Nothing remains.
    """
    outputs = planned_outputs(job, task)
    if job.source.frames > 1:
        volumes = (scan.volume for scan in job.source.scans())
        task = task.for_frames(volumes, job.source.frames, job.source.has_gradients)
    with Stage(job.target.parent, job.stem) as stage:
        scan, results = _run(task, scans, [kind for kind, _ in outputs])
        gradients = [(kind, path) for kind, path in outputs if kind in GRADIENTS]
        places = {kind: stage.place(path) for kind, path in outputs if kind not in GRADIENTS}
        files, notes = _write_main(job, scan, results, places["output"], DicomWriter(wanted, request, like))
        if gradients:
            carried = job.source.carry_gradients(places["output"])
            notes += carried.warnings
            outputs = [entry for entry in outputs if entry not in gradients or carried.files]
            for _, path in gradients if carried.files else ():
                stage.place(path)
        result = results[0] if len(results) == 1 else merge_frames(results)
        result.warnings = [*job.source.warnings, *scan.notes, *notes, *result.warnings]
        if "residual" in places:
            _residuals(job, scan, results, places["output"])
            result.residual = results[0].residual
        for kind, (volumes, dtype) in volumes_of(results, list(places)).items():
            if kind != "output":
                write_volumes(volumes, places[kind], dtype, descrip=synthetic_descrip(results[0]))
        if "report" in places:
            write_report(result, places["report"])
        record = make_record(job, request, outputs, result, files, scan.missing)
        atomic_write_text(places["record"], json.dumps(record, indent=2, allow_nan=False) + "\n")
        stage.commit(removes=[job.sidecar, *_outdated(job, outputs)])
    return record


def _run(task: Task, scans: Iterable[Assembled], kinds: Sequence[str]) -> tuple[Assembled, list[Result]]:
    """The first volume, and what the task makes of each. Of a 4D scan only what will be written stays in memory."""
    first: Assembled | None = None
    results: list[Result] = []
    for scan in scans:
        first = first or scan
        results.append(task.run(scan.volume, scan.missing))
        if len(results) > 1:
            thin(results[-1], kinds)
    if first is None:
        raise ValueError("a scan without volumes")
    return first, results


def _write_main(
    job: Job, scan: Assembled, results: Sequence[Result], place: Path, dicom: DicomWriter
) -> tuple[int, list[str]]:
    """Write the output; how many files it is, and what to know about how its values are stored."""
    if job.form == "dicom":
        return len(dicom.write(results[0], job, scan, place)), []
    outputs, spacing_s = [result.output for result in results], job.source.repetition_time_s
    write_volumes(outputs, place, repetition_time_s=spacing_s, descrip=synthetic_descrip(results[0]))
    return 1, encoding_warnings(scan.volume, place) if isinstance(job.source, NiftiSource) else []


def _residuals(job: Job, scan: Assembled, results: Sequence[Result], place: Path) -> None:
    """Residuals against the output as it was written, which may be rounded to the step of its integers."""
    if job.form == "dicom":
        if isinstance(job.source, DicomSource):  # a NIfTI scan is turned round on its way into DICOM
            results[0].residual = residual_of(scan, read_back(place))
        return
    scans = [scan] if len(results) == 1 else job.source.scans()
    for result, one, written in zip(results, scans, read_written(place, len(results)), strict=True):
        result.residual = residual_of(one, written)


def _outdated(job: Job, outputs: Outputs) -> list[Path]:
    """What an earlier run's record names and this run does not write: samples 3 to 8 of 8, now 2; DICOM, now NIfTI."""
    earlier = read_record(job.sidecar) or {}
    names = {Path(str(entry.get("file"))).name for entry in earlier.get("outputs", [])}
    beside = job.source.beside(job.stem, "kind")
    prefix = beside[: beside.lower().rindex("kind")]  # "clean_", in BIDS "sub-01_desc-"
    ours = {name for name in names if name.startswith((prefix, f"{job.stem}.")) or name == job.stem}
    return [job.target.with_name(name) for name in sorted(ours - {path.name for _, path in outputs})]
