"""Measure the noise of one scan or of a folder of scans, write what was asked for, and tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from medidiff import __version__
from medidiff.cli.choices import Machine, PriorChoice
from medidiff.cli.discover import Found, discover
from medidiff.cli.evaluate_folder import check_free
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.noise_choice import NoiseChoice
from medidiff.cli.noise_measure import Measured, measure
from medidiff.cli.noise_picture import noise_picture
from medidiff.cli.noise_text import lines_of, table_of
from medidiff.cli.outcome import Failure, emit_json, failure_of, say, stop, warn
from medidiff.cli.progress import Progress
from medidiff.cli.sources import Source, framed
from medidiff.cli.stage import Stage
from medidiff.draw import png_bytes
from medidiff.errors import InputError, OutputError, PartialFailure, UsageError
from medidiff.io import atomic_open, atomic_write_text, read_nifti, write_nifti
from medidiff.io.nifti_header import nifti_suffix
from medidiff.result import json_safe
from medidiff.volume import Volume

FORMAT = "medidiff-noise"


@dataclass
class _Run:
    """What became of the scans."""

    measured: list[tuple[Measured, list[str]]] = field(default_factory=list)
    failures: list[tuple[str, Failure]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        codes = {failure.exit_code for _, failure in self.failures}
        exit_code, status = 0, "done"
        if codes and self.measured:
            exit_code, status = PartialFailure.exit_code, "partly done"
        elif codes:
            exit_code, status = codes.pop() if len(codes) == 1 else InputError.exit_code, "failed"
        scans = [{**one.to_dict(), "files": files} for one, files in self.measured]
        failed = [{"input": name, **failure.to_dict()} for name, failure in self.failures]
        return {"status": status, "exit_code": exit_code, "scans": [*scans, *failed]}


def run_noise(
    source: Path, given: InputChoice, noise: NoiseChoice, prior: PriorChoice, mask: Path | None, output: Path | None,
    machine: Machine, *, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure and tell; ends with the run's exit code.

    Raises:
        MedidiffError: The run could not begin, or its only scan failed.
    """
    if overwrite and output is None:
        raise UsageError("--overwrite: is for what -o writes. Leave it out.")
    found = discover(source, given, "noise")
    if mask is not None and found.many:
        raise UsageError(f"--mask {mask}: is for one scan; {source.name} holds several. Give one scan, or no mask.")
    region = None if mask is None else replace(read_nifti(mask, finite=False), name=str(mask))
    if output is not None:
        _check_output(found, output, overwrite)
    run = _Run()
    _set_aside(found, run)
    with Progress(len(found.sources), "noise", count=found.many) as progress:
        for one in found.sources:
            progress.start(one.name)
            before = len(run.failures)
            _one(one, partial(_measured, noise, prior, region, machine), output, found.many, run)
            progress.finish(f"{one.name}: {'failed' if len(run.failures) > before else 'measured'}")
    told = run.to_dict()
    for one, _ in run.measured:
        for text in one.warnings:
            warn(text if one.name in text else f"{one.name}: {text}")
    if not run.measured:
        stop(Failure("no scan could be measured; each is named above.", told["exit_code"]), as_json, told)
    if as_json:
        emit_json(told)
    else:
        typer.echo("\n".join(_lines(run, found.many)))
    if run.failures:
        say(f"error: {len(run.failures)} of {len(run.failures) + len(run.measured)} scans failed, named above.")
        raise typer.Exit(told["exit_code"])


def _lines(run: _Run, many: bool) -> list[str]:
    if many or len(run.measured) > 1:
        return table_of([one for one, _ in run.measured])
    (one, files), *_ = run.measured
    return lines_of(one) + ([f"written: {', '.join(files)}"] if files else [])


def _measured(
    noise: NoiseChoice, prior: PriorChoice, mask: Volume | None, machine: Machine, name: str, volume: Volume
) -> Measured:
    one = measure(name, replace(volume, name=name).check(), prior.loaded, noise.told(), mask, machine)
    return replace(one, volume=volume)  # with its own name: files are written from it


def _one(source: Source, look: Callable[[str, Volume], Measured], output: Path | None, many: bool, run: _Run) -> None:
    try:
        for name, place, volume, notes in _volumes(source):
            one = look(name, volume)
            one.warnings[:0] = [*source.warnings, *notes]
            run.measured.append((one, [] if output is None else _write(one, output, place)))
    except OutputError:
        raise
    except Exception as error:  # one bad scan must not stop the rest; it is told, and counted
        if not many:
            raise
        failure = failure_of(error)
        run.failures.append((source.label, failure))
        say(f"failed: {failure.message if source.name in failure.message else f'{source.name}: {failure.message}'}")


def _volumes(source: Source) -> Iterator[tuple[str, str, Volume, list[str]]]:
    """Name, stem of its files, volume and notes, of each volume of a scan. Missing slices cannot be here."""
    frames = source.frames
    for number, scan in enumerate(source.scans()):
        frame = number if frames > 1 else None
        name = source.label if frame is None else f"{source.label}, frame {frame}"
        yield name, _stem(source, frame), scan.volume, list(scan.notes)


def _stem(source: Source, frame: int | None) -> str:
    name = Path(framed(source.output_name, frame)).name
    return name[: -len(nifti_suffix(Path(name)))]


def _names(stem: str) -> tuple[str, str, str]:
    return f"{stem}_noise-map.nii.gz", f"{stem}_noise.png", f"{stem}_noise.json"


def _write(one: Measured, output: Path, stem: str) -> list[str]:
    places = [output / name for name in _names(stem)]
    with Stage(output, stem) as stage:
        map_file, picture, figures = [stage.place(path) for path in places]
        write_nifti(one.level_map(), map_file, "float32")
        with atomic_open(picture) as file:
            file.write(png_bytes(noise_picture(one)))
        told = {"format": FORMAT, "medidiff": __version__, **one.to_dict()}
        atomic_write_text(figures, json.dumps(json_safe(told), indent=2, allow_nan=False) + "\n")
        stage.commit()
    return [str(path) for path in places]


def _check_output(found: Found, output: Path, overwrite: bool) -> None:
    """Refuse, before the work, to replace what must not be."""
    names: set[str] = set()
    for source in found.sources:
        frames = source.frames
        for frame in range(frames) if frames > 1 else [None]:
            stem = _stem(source, frame)
            if stem in names:
                raise UsageError(f"-o {output}: two scans would be written as {stem}. Rename one of them.")
            names.add(stem)
            files = _names(stem)
            record = output / files[-1]
            check_free(output, files, overwrite, files if _is_ours(record) else ())


def _is_ours(record: Path) -> bool:
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("format") == FORMAT


def _set_aside(found: Found, run: _Run) -> None:
    for one in found.aside:
        if one.error is None:
            say(f"{one.label}: skipped, {one.reason}")
        else:
            failure = failure_of(one.error)
            run.failures.append((one.label, failure))
            say(f"failed: {failure.message}")


__all__ = ["run_noise"]
