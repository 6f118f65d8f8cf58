"""Score results against clean scans: read, check, score, write, tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import typer

from medidiff import __version__
from medidiff.cli.evaluate_folder import check_free
from medidiff.cli.evaluate_page import MOST_ALIKE, MOST_SHOWN, page_of, pictures_of
from medidiff.cli.evaluate_text import Scored, conditions_of, csv_of, differences_of, lines_of, means_of
from medidiff.cli.outcome import Failure, emit_json, failure_of, say, stop, warn
from medidiff.cli.progress import Progress
from medidiff.cli.stage import Stage
from medidiff.errors import GeometryError, InputError, MedidiffError, PartialFailure, UsageError
from medidiff.evaluate.fidelity import foreground_mask
from medidiff.evaluate.pairs import Pair, find_pairs
from medidiff.evaluate.scores import NOISY, Score, score_scan
from medidiff.geometry import same_grid
from medidiff.io import atomic_write_text, hash_file, read_nifti
from medidiff.report.page import Picture
from medidiff.result import json_safe
from medidiff.volume import Volume

FORMAT = "medidiff-evaluation"
FILES = ("scores.csv", "evaluation.json", "evaluation.html")
# Programs round a grid's place to float32; a hundredth of a millimetre is no other grid.
_GRID_TOL_MM = 0.01
_OTHER_UNIT_PERCENT = 10.0
_HU_BELOW = -500.0


@dataclass(frozen=True)
class Request:
    """What is to be scored.

    Args:
        clean: Folder of references.
        noisy: Folder of noisy scans.
        results: Folder of results by method.
        modality: "MR" or "CT".
        output: Folder for the files; None writes none.
        overwrite: An earlier run's files may be replaced.
        as_json: Tell as JSON.
    """

    clean: Path
    noisy: Path
    results: Mapping[str, Path]
    modality: str = "MR"
    output: Path | None = None
    overwrite: bool = False
    as_json: bool = False


@dataclass
class _Run:
    scored: list[Scored] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)


def parse_results(given: Sequence[str]) -> dict[str, Path]:
    """NAME=FOLDER, in order.

    Raises:
        UsageError: No name, no folder, a name twice, or "noisy", which the noisy scan has.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        name = name.strip()
        if not equals or not name or not folder:
            raise UsageError(f"--results {text}: must be NAME=FOLDER, such as bm4d=results/bm4d.")
        if name in found or name in (NOISY, "clean", "same", "A", "B"):
            taken = "is given twice" if name in found else "has a meaning of its own"
            raise UsageError(f"--results {text}: the name {name} {taken}. Give another name.")
        found[name] = Path(folder)
    return found


def evaluate_pairs(request: Request) -> None:
    """Score every pair; ends with the run's exit code.

    Raises:
        MedidiffError: The run could not begin.
    """
    if request.output is not None:
        check_free(request.output, FILES, request.overwrite, _ours(request.output))
    pairs = find_pairs(request.clean, request.noisy, request.results)
    run = _Run()
    with Progress(len(pairs), "evaluate") as progress:
        for pair in pairs:
            progress.start(pair.name)
            try:
                _one(pair, request, run)
            except MedidiffError as error:
                run.failures[pair.name] = failure_of(error)
                say(f"failed: {pair.name}: {error}")
            progress.finish(f"{pair.name}: {'failed' if pair.name in run.failures else 'scored'}")
    run.warnings += _about_patients(run.scored)
    for text in run.warnings:
        warn(text)
    told = _told(request, run, len(pairs))
    if not run.scored:
        stop(
            Failure(f"no pair could be scored, of {len(pairs)}; each is named above.", told["exit_code"]),
            request.as_json,
            told,
        )
    if request.output is not None:
        _write(request.output, told, run)
    if request.as_json:
        emit_json(told)
    else:
        typer.echo("\n".join(lines_of(run.scored)))
        if request.output is not None:
            typer.echo(f"\n{request.output / FILES[2]}")
    if run.failures:
        say(f"error: {len(run.failures)} of {len(pairs)} pairs failed; each is named above.")
        raise typer.Exit(PartialFailure.exit_code)


def _one(pair: Pair, request: Request, run: _Run) -> None:
    why = pair.missing(list(request.results))
    if why or pair.clean is None:
        raise InputError(f"{why}.")
    clean = _read(pair.clean).check()
    noisy = _read(pair.noisy, clean, "the noisy scan")
    results = {method: _read(path, clean, f"the result of {method}") for method, path in pair.results.items()}
    modality = request.modality.lower()
    images = {method: volume.data for method, volume in results.items()}
    scores = score_scan(clean.data, noisy.data, images, modality)
    run.warnings += _warnings(pair.name, clean, scores, modality)
    run.scored.append(Scored(pair.name, pair.patient, pair.condition, scores))
    files = {"clean": pair.clean, "noisy": pair.noisy, **pair.results}
    run.files.append({key: {"file": path.name, "sha256": hash_file(path)} for key, path in files.items()})
    alike = sum(one.condition == pair.condition and one.name in run.pictures for one in run.scored)
    if request.output is not None and len(run.pictures) < MOST_SHOWN and alike < MOST_ALIKE:
        inside = foreground_mask(clean.data, modality)
        run.pictures[pair.name] = pictures_of(clean, noisy, results, inside, scores)


def _read(path: Path, clean: Volume | None = None, what: str = "") -> Volume:
    volume = read_nifti(path)
    if clean is None or same_grid(volume, clean, _GRID_TOL_MM):
        return volume
    if volume.shape != clean.shape:
        raise GeometryError(f"{what} has the shape {volume.shape}, the clean scan {clean.shape}.")
    apart = np.abs(volume.affine_ras - clean.affine_ras).max()
    raise GeometryError(
        f"{what} lies elsewhere than the clean scan: same shape, but their affines differ by up to {apart:.3g} mm."
    )


def _warnings(name: str, clean: Volume, scores: Mapping[str, Score], modality: str) -> list[str]:
    found = []
    if modality == "mr" and float(clean.data.min()) < _HU_BELOW:
        found.append(f"{name}: values down to {clean.data.min():.4g} look like CT in HU: give --modality CT.")
    for method, score in scores.items():
        if method != NOISY and abs(score.bias_percent) > _OTHER_UNIT_PERCENT + abs(scores[NOISY].bias_percent):
            found.append(
                f"{name}: the mean of {method} is off by {score.bias_percent:+.0f}% of the range: another unit?"
            )
    return found


def _about_patients(scored: Sequence[Scored]) -> list[str]:
    patients = {one.patient for one in scored}
    if 0 < len(patients) < 2 and any(len(one.scores) > 1 for one in scored):
        return ["one patient: differences have no interval. Score more patients."]
    return []


def _ours(folder: Path) -> tuple[str, ...]:
    """The files of an earlier run, if its record says that medidiff wrote them."""
    try:
        told = json.loads((folder / FILES[1]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    return FILES if isinstance(told, dict) and told.get("format") == FORMAT else ()


def _told(request: Request, run: _Run, count: int) -> dict[str, Any]:
    codes = {failure.exit_code for failure in run.failures.values()}
    exit_code = PartialFailure.exit_code if run.scored and codes else 0
    if not run.scored:
        exit_code = codes.pop() if len(codes) == 1 else InputError.exit_code
    status = "done" if not exit_code else "partly done" if run.scored else "failed"
    return {
        "format": FORMAT,
        "medidiff": __version__,
        "status": status,
        "exit_code": exit_code,
        "pairs": count,
        "scored": len(run.scored),
        "failed": [{"scan": name, **failure.to_dict()} for name, failure in run.failures.items()],
        "modality": request.modality,
        "methods": list(request.results),
        "conditions": [
            {
                "noise": condition,
                "scans": len(group),
                "patients": len({one.patient for one in group}),
                "means": means_of(group),
                "differences": differences_of(group),
            }
            for condition, group in conditions_of(run.scored).items()
        ],
        "scans": [
            {
                "scan": one.name,
                "patient": one.patient,
                "noise": one.condition,
                "files": files,
                "scores": {method: score.to_dict() for method, score in one.scores.items()},
            }
            for one, files in zip(run.scored, run.files, strict=True)
        ],
        "warnings": run.warnings,
        "output": None if request.output is None else [str(request.output / name) for name in FILES],
    }


def _write(folder: Path, told: Mapping[str, Any], run: _Run) -> None:
    with Stage(folder, "evaluation") as stage:
        texts = (csv_of(run.scored), json.dumps(json_safe(told), indent=2) + "\n")
        for name, text in zip(FILES, (*texts, page_of(run.scored, run.pictures, run.warnings)), strict=True):
            atomic_write_text(stage.place(folder / name), text)
        stage.commit()


__all__ = ["Request", "evaluate_pairs", "parse_results"]
