"""`medidiff evaluate denoise --reader-pack` and `--score-pack`: pictures without names, and readers' words."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from medidiff import __version__
from medidiff.cli.discover import plural
from medidiff.cli.evaluate_folder import check_free
from medidiff.cli.evaluate_reader_text import lines_of_scores, readme_of
from medidiff.cli.outcome import Failure, emit_json, failure_of, say, stop
from medidiff.cli.progress import Progress
from medidiff.cli.stage import Stage
from medidiff.draw import beside, draw_slice, grey, png_bytes, stack, take_slice, window_limits
from medidiff.draw.labels import captioned
from medidiff.draw.orient import PLANES
from medidiff.errors import GeometryError, InputError, MedidiffError, PartialFailure, UsageError
from medidiff.evaluate.pairs import find_pairs, stems_in
from medidiff.evaluate.reader_pack import (
    PACK_FORMAT,
    Item,
    draw_items,
    empty_scores,
    open_key,
    read_scores,
    seal,
    unblind,
)
from medidiff.geometry import same_grid
from medidiff.io import atomic_open, atomic_write_text, hash_file, read_nifti, write_nifti
from medidiff.volume import Volume

README, SCORES, MANIFEST, IMAGES = "README.txt", "scores.csv", "pack.json", "images"
_STEPS = 60_000
_HEIGHT = 320
_GRID_TOL_MM = 0.01


def make_pack(
    pack: Path, results: Mapping[str, Path], noisy: Path | None, key: Path | None, seed: int | None, *,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write PACK (README.txt, scores.csv, images/) and its key elsewhere; ends with the run's exit code.

    Raises:
        MedidiffError: The run could not begin, or nothing could be shown.
    """
    key = key or pack.with_name(f"{pack.name}-key") / "key.json"
    if pack.resolve() in key.resolve().parents:
        raise UsageError(f"--key {key}: lies inside the pack that readers get. Give another folder.")
    check_free(pack, (README, SCORES, MANIFEST, IMAGES), overwrite, _ours(pack))
    check_free(key.parent, (key.name,), overwrite, _our_key(key), "--key")
    seed = secrets.randbelow(2**53) if seed is None else seed
    scans, failures = _scans(results, noisy)
    if not scans:
        raise InputError(f"--results: no scan lies in all of {', '.join(results)} under one name.")
    scans, checked = _readable(scans, results)
    failures |= checked
    told: dict[str, Any] = {"status": "failed", "scans": len(scans), "failed": _failed(failures)}
    if not scans:
        codes = {failure.exit_code for failure in failures.values()}
        code = codes.pop() if len(codes) == 1 else InputError.exit_code
        stop(Failure("no scan could be shown; each is named above.", code), as_json, told)
    items = draw_items([(name, patient) for name, (patient, _) in scans.items()], list(results), seed)
    with Stage(key.parent, "key") as hidden, Stage(pack, "pack") as stage:
        images = stage.place(pack / IMAGES)
        images.mkdir()
        _draw_all(items, {name: files for name, (_, files) in scans.items()}, noisy, images)
        sealed, commitment = _seal(stage, pack, images, items, seed, results)
        atomic_write_text(hidden.place(key), sealed)
        hidden.commit()
        stage.commit(removes=[pack / name for name in (MANIFEST, README, SCORES) if (pack / name).exists()])
    code = PartialFailure.exit_code if failures else 0
    told |= {
        "status": "partly done" if failures else "done", "exit_code": code, "items": len(items), "pack": str(pack),
        "key": str(key), "commitment_sha256": commitment, "methods": list(results),
    }  # fmt: skip
    if as_json:
        emit_json(told)
    else:
        typer.echo(f"{pack}: {plural(len(items), 'item')} of {plural(len(scans), 'scan')}, for readers")
        typer.echo(f"{key}: which side is which; keep it from readers. SHA-256 {commitment}")
    if failures:
        say(f"error: {plural(len(failures), 'scan')} failed, named above.")
        raise typer.Exit(code)


def score_readers(pack: Path, key: Path | None, *, as_json: bool) -> None:
    """Unblind every `scores*.csv` of a pack, one a reader.

    Raises:
        InputError: The pack or its key is not what was sealed, or a table cannot be read.
    """
    manifest = _read_json(pack / MANIFEST)
    if manifest.get("format") != PACK_FORMAT:
        raise InputError(f"--score-pack {pack}: no {MANIFEST} of medidiff in it. Give the folder that readers got.")
    key = key or pack.with_name(f"{pack.name}-key") / "key.json"
    opened, items = open_key(key, str(manifest["commitment_sha256"]))
    for name, digest in opened["files"].items():
        if (pack / name).is_file() and hash_file(pack / name) != digest:
            raise InputError(f"--score-pack {pack}: {name} is not what was sealed: it was changed.")
    readers = {}
    for path in sorted(pack.glob("scores*.csv")):
        rows = read_scores(path, [item.name for item in items])
        if rows:
            readers[path.stem] = unblind(rows, items)
    if not readers:
        raise InputError(f"--score-pack {pack}: {SCORES} has no row filled in: `better` must be A, B or same.")
    told = {"status": "done", "exit_code": 0, "commitment_sha256": manifest["commitment_sha256"], "readers": readers}
    if as_json:
        emit_json(told)
    else:
        typer.echo("\n".join(lines_of_scores(readers)))


def _scans(
    results: Mapping[str, Path], noisy: Path | None
) -> tuple[dict[str, tuple[str, dict[str, Path]]], dict[str, Failure]]:
    """(patient, file by method) by name, of the scans that every method has; and those that one lacks."""
    if len(results) < 2:
        raise UsageError("--reader-pack: needs two results or more, --results NAME=FOLDER for each.")
    first = next(iter(results.values()))
    pairs = find_pairs(noisy or first, noisy or first, results)
    failures: dict[str, Failure] = {}
    found: dict[str, tuple[str, dict[str, Path]]] = {}
    for pair in pairs:
        files = {**pair.results, **({"": pair.noisy} if noisy else {})}
        without = [method for method in results if method not in pair.results]
        if without:
            failures[pair.name] = Failure(f"no result in {', '.join(without)}", InputError.exit_code)
            say(f"failed: {pair.name}: no result in {', '.join(without)}.")
        else:
            found[pair.name] = (pair.patient, files)
    if noisy is None:
        known = {pair.name for pair in pairs}
        for method, folder in results.items():
            for name in sorted(stems_in(folder, f"--results {method}").keys() - known - failures.keys()):
                failures[name] = Failure("not in every folder of results", InputError.exit_code)
                say(f"failed: {name}: not in every folder of results.")
    return found, failures


def _readable(
    scans: Mapping[str, tuple[str, dict[str, Path]]], results: Mapping[str, Path]
) -> tuple[dict[str, tuple[str, dict[str, Path]]], dict[str, Failure]]:
    """The scans whose images can be read and lie on one grid; what is wrong is known before sides are drawn."""
    good, failures = {}, {}
    for name, (patient, files) in scans.items():
        try:
            volumes = {method: read_nifti(path) for method, path in files.items()}
            one = volumes[next(iter(results))]
            for method, volume in volumes.items():
                if not same_grid(volume, one, _GRID_TOL_MM):
                    raise GeometryError(
                        f"{method or 'the noisy scan'} lies on another grid than {next(iter(results))}."
                    )
            good[name] = (patient, files)
        except MedidiffError as error:
            failures[name] = failure_of(error)
            say(f"failed: {name}: {error}")
    return good, failures


def _draw_all(items: Sequence[Item], files: Mapping[str, Mapping[str, Path]], noisy: Path | None, folder: Path) -> None:
    with Progress(len(items), "draw", count=False) as progress:
        for item in items:
            progress.start(item.name)
            sides = {side: read_nifti(files[item.scan][method]) for side, method in item.sides.items()}
            if noisy is not None:
                sides = {"input": read_nifti(files[item.scan][""]), **sides}
            _write_item(item.name, sides, folder)
            progress.finish(item.name)


def _write_item(name: str, sides: Mapping[str, Volume], folder: Path) -> None:
    """The images of one item, in one number type, in the same steps, under one header."""
    low = min(float(volume.data.min()) for volume in sides.values())
    high = max(float(volume.data.max()) for volume in sides.values())
    step = (high - low) / _STEPS or 1.0
    affine = next(iter(sides.values())).affine_ras
    alike = {
        side: Volume((np.rint((volume.data - low) / step) * step + low).astype(np.float32), affine)
        for side, volume in sides.items()
    }
    for side, volume in alike.items():
        write_nifti(volume, folder / f"{name}_{side}.nii.gz", "float32", descrip="")
    with atomic_open(folder / f"{name}.png") as file:
        file.write(png_bytes(_picture(alike)))


def _picture(sides: Mapping[str, Volume]) -> np.ndarray:
    """Three planes under each other, the sides beside each other, in one grey window."""
    limits = window_limits(np.concatenate([volume.data.ravel() for side, volume in sides.items() if side != "input"]))
    columns = []
    for side, volume in sides.items():
        cuts = [take_slice(volume, plane) for plane in PLANES]
        rows = []
        for cut in cuts:
            scale = _HEIGHT / (cut.pixels.shape[0] * cut.row_mm)
            rows.append(draw_slice(cut, lambda pixels: grey(pixels, *limits), scale))
        columns.append(captioned(stack(rows, gap=6), side if side == "input" else f"side {side}"))
    return beside(columns, gap=10)


def _seal(
    stage: Stage, pack: Path, images: Path, items: Sequence[Item], seed: int, results: Mapping[str, Path]
) -> tuple[str, str]:
    """Write what lies beside the images; the key and its commitment."""
    hashes = {f"{IMAGES}/{path.name}": hash_file(path) for path in sorted(images.iterdir())}
    about = {"medidiff": __version__, "methods": {name: str(folder) for name, folder in results.items()}}
    key, commitment = seal(items, seed, hashes, about)
    scores = stage.place(pack / SCORES)
    atomic_write_text(scores, empty_scores(items))
    atomic_write_text(stage.place(pack / README), readme_of(len(items), commitment, any(images.glob("*_input.nii.gz"))))
    manifest = {
        "format": PACK_FORMAT, "medidiff": __version__, "items": len(items), "commitment_sha256": commitment,
        "files": [README, SCORES, MANIFEST, *hashes], "empty_scores_sha256": hash_file(scores),
    }  # fmt: skip
    atomic_write_text(stage.place(pack / MANIFEST), json.dumps(manifest, indent=2) + "\n")
    return key, commitment


def _ours(pack: Path) -> set[str]:
    """Files of an earlier pack that may be replaced: not a table that a reader has filled in."""
    manifest = _read_json(pack / MANIFEST)
    if manifest.get("format") != PACK_FORMAT:
        return set()
    names = {str(name) for name in manifest["files"]}
    scores = pack / SCORES
    if scores.is_file() and hash_file(scores) != manifest["empty_scores_sha256"]:
        raise UsageError(f"--reader-pack {pack}: {SCORES} was filled in, and is never replaced. Give another folder.")
    return names


def _our_key(key: Path) -> set[str]:
    return {key.name} if _read_json(key).get("format") == "medidiff-reader-key" else set()


def _failed(failures: Mapping[str, Failure]) -> list[dict[str, Any]]:
    return [{"scan": name, **failure.to_dict()} for name, failure in failures.items()]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


__all__ = ["make_pack", "score_readers"]
