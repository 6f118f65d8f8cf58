"""`medidiff evaluate denoise --make-pairs`: the user's own clean scans, with known noise."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer

from medidiff import __version__
from medidiff.cli.discover import discover, plural
from medidiff.cli.evaluate_folder import check_free
from medidiff.cli.evaluate_make_files import (
    CLEAN,
    MAPS,
    NOISY,
    Folders,
    add_noise,
    check_names,
    export_clean,
    written,
)
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.outcome import Failure, emit_json, failure_of, say, stop, warn
from medidiff.cli.progress import Progress
from medidiff.cli.sources import Source
from medidiff.cli.stage import Stage
from medidiff.errors import InputError, MedidiffError, OutputError, PartialFailure, UsageError
from medidiff.evaluate.made_pairs import ENOUGH, check_wish, halved
from medidiff.evaluate.pairs import FORMAT, MANIFEST
from medidiff.io import atomic_write_text
from medidiff.io.bids import is_bids
from medidiff.io.nifti_header import NIFTI_SUFFIXES
from medidiff.result import json_safe


@dataclass(frozen=True)
class Wish:
    """What noise is to be added.

    Args:
        kinds: Of noise.
        percents: Levels in percent of a scan's range.
        seed: Of the noise.
        downsample: Halve the scans first.
        modality: "MR" or "CT", where the files cannot say.

    Raises:
        UsageError: A kind or level that cannot be added, or one twice.
    """

    kinds: tuple[str, ...]
    percents: tuple[float, ...]
    seed: int = 0
    downsample: bool = False
    modality: str = ""

    def __post_init__(self) -> None:
        for name, values in (("--noise", self.kinds), ("--percent", self.percents)):
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{name} {','.join(map(str, values))}: must be one or more, each once.")
        for kind in self.kinds:
            for percent in self.percents:
                check_wish(kind, percent)


@dataclass
class _Run:
    scans: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def parse_list(text: str) -> tuple[str, ...]:
    """Words between commas or spaces."""
    return tuple(text.replace(",", " ").split())


def make_pairs_of(scans: Path, output: Path, wish: Wish, *, overwrite: bool, as_json: bool) -> None:
    """Write clean/, noisy/, noise-maps/ and pairs.json; ends with the run's exit code.

    Raises:
        MedidiffError: The run could not begin, or nothing could be made.
    """
    if output.exists() and output.is_dir() and scans.is_dir() and output.samefile(scans):
        raise UsageError(f"-o {output}: is the folder of the scans. Give another one; inputs are never replaced.")
    check_free(output, (CLEAN, NOISY, MAPS, MANIFEST), overwrite, written(output))
    found = discover(scans, _choice(scans, wish.modality), "evaluate")
    check_names(found.sources)
    run = _Run()
    for one in found.aside:
        if one.error is not None:
            run.failures.append((one.label, failure_of(one.error)))
            say(f"failed: {one.error}")
    with Stage(output, "pairs") as stage, Progress(len(found.sources), "make pairs") as progress:
        folders = Folders(stage, output)
        for source in found.sources:
            progress.start(source.name)
            before = len(run.pairs)
            _one(source, wish, folders, run)
            progress.finish(f"{source.name}: {plural(len(run.pairs) - before, 'noisy scan')}")
        told = _told(output, wish, run)
        if not run.pairs:
            stop(Failure("no pair could be made; each scan is named above.", told["exit_code"]), as_json, told)
        _commit(folders, told)
    for text in run.warnings:
        warn(text)
    if as_json:
        emit_json(told)
    else:
        typer.echo("\n".join(_lines(output, run)))
    if run.failures:
        say(f"error: {len(run.failures)} of the pairs or scans failed; each is named above.")
        raise typer.Exit(PartialFailure.exit_code)


def _one(source: Source, wish: Wish, folders: Folders, run: _Run) -> None:
    try:
        clean = replace(next(source.scans()).volume, header=None)  # a header's texts can name a patient
        clean = replace(halved(clean) if wish.downsample else clean, name=source.label).check()
        scan = export_clean(source, clean, folders[CLEAN])
    except OutputError:
        raise
    except MedidiffError as error:
        run.failures.append((source.name, failure_of(error)))
        say(f"failed: {source.name}: {error}")
        return
    run.scans.append(scan)
    stem = Path(scan["clean"]).name[: -len(".nii.gz")]
    for kind in wish.kinds:
        for percent in wish.percents:
            name = f"{stem}_{kind}-{percent:g}"
            try:
                run.pairs.append(
                    add_noise(clean, kind, percent, wish.seed, name, folders) | _of(scan, f"{kind} {percent:g}%")
                )
            except InputError as error:
                run.failures.append((name, failure_of(error)))
                say(f"failed: {name}: {source.name} {error}")
    _judge(scan, wish, run)


def _of(scan: dict[str, Any], condition: str) -> dict[str, Any]:
    return {"clean": scan["clean"], "patient": scan["patient"], "condition": condition}


def _judge(scan: dict[str, Any], wish: Wish, run: _Run) -> None:
    """Say where the scan's own noise is not small against what is added."""
    own = scan["own_noise"]
    if own["percent"] is None:
        run.warnings.append(
            f"{scan['input']}: its own noise cannot be estimated; the added noise should be 3 times it."
        )
        return
    low = [f"{p:g}%" for p in wish.percents if p < ENOUGH * own["percent"]]
    if low:
        advice = "" if wish.downsample else " --downsample makes cleaner scans of them."
        run.warnings.append(
            f"{scan['input']}: its own noise is {own['percent']:.2g}% of its range, so {', '.join(low)} is less than "
            f"{ENOUGH:g} times that: a method that removes both is scored as if it were wrong.{advice}"
        )
    if not own["trusted"]:
        run.warnings.append(f"{scan['input']}: the estimate of its own noise is not to be trusted; it may be higher.")


def _commit(folders: Folders, told: dict[str, Any]) -> None:
    output, stage = folders.output, folders.stage
    manifest = {key: value for key, value in told.items() if key not in ("status", "exit_code", "failed", "output")}
    atomic_write_text(stage.place(output / MANIFEST), json.dumps(json_safe(manifest), indent=2) + "\n")
    stage.commit(removes=[output / name for name in (MANIFEST, MAPS) if (output / name).exists()])


def _told(output: Path, wish: Wish, run: _Run) -> dict[str, Any]:
    codes = {failure.exit_code for _, failure in run.failures}
    exit_code = PartialFailure.exit_code if run.pairs and codes else 0
    if not run.pairs:
        exit_code = codes.pop() if len(codes) == 1 else InputError.exit_code
    return {
        "format": FORMAT,
        "medidiff": __version__,
        "status": "done" if not exit_code else "partly done" if run.pairs else "failed",
        "exit_code": exit_code,
        "seed": wish.seed,
        "downsample": wish.downsample,
        "scans": run.scans,
        "pairs": run.pairs,
        "failed": [{"scan": name, **failure.to_dict()} for name, failure in run.failures],
        "warnings": run.warnings,
        "output": str(output),
    }


def _lines(output: Path, run: _Run) -> list[str]:
    lines = [f"{one['clean']}: own noise {_own(one['own_noise'])}" for one in run.scans]
    counted = f"{plural(len(run.scans), 'clean scan')}, {plural(len(run.pairs), 'noisy one')}"
    return [*lines, f"{output}: {counted}, {MANIFEST}"]


def _own(noise: dict[str, Any]) -> str:
    return "not known" if noise["percent"] is None else f"{noise['percent']:.2g}% of its range"


def _choice(scans: Path, modality: str) -> InputChoice:
    """Every volume of a DICOM tree; of a folder of NIfTI files all are taken anyway."""
    if scans.is_dir():
        nifti = is_bids(scans) or any(path.name.lower().endswith(NIFTI_SUFFIXES) for path in scans.iterdir())
    else:
        nifti = scans.name.lower().endswith(NIFTI_SUFFIXES)
    return InputChoice(modality=modality, every=scans.exists() and not nifti)


__all__ = ["Wish", "make_pairs_of", "parse_list"]
