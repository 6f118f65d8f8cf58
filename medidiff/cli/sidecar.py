"""The JSON file beside an output: what was asked for and what came out; it decides whether a run can resume."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medidiff import __version__
from medidiff.cli.jobs import Job
from medidiff.result import Result, json_safe

FORMAT = "medidiff-sidecar"


def make_request(
    task: str, input_file_sha256: str, prior: Mapping[str, str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that decides what an output holds; two equal requests give one output."""
    return {
        "medidiff": __version__,
        "task": task,
        "input_file_sha256": input_file_sha256,
        "prior": dict(prior),
        "settings": json_safe(settings),
    }


def make_record(
    job: Job,
    request: Mapping[str, Any],
    outputs: Sequence[tuple[str, Path]],
    result: Result,
    files: int = 1,
    generated_slices: Sequence[int] = (),
) -> dict[str, Any]:
    """The record of one finished job. How the scan was acquired stands before it, in BIDS' words.

    Args:
        job: Input and output.
        request: From `make_request`.
        outputs: (kind, file) of everything written.
        result: What the task returned.
        files: How many files the output is, where it is a folder.
        generated_slices: Slices that were not measured.
    """
    return {
        **job.source.facts(),
        "format": FORMAT,
        "status": result.status,
        "input": job.source.name,
        "outputs": [
            {"kind": kind, "file": path.name, **({"files": files} if kind == "output" and job.form == "dicom" else {})}
            for kind, path in outputs
        ],
        "request": dict(request),
        **({"generated_slices": list(generated_slices)} if generated_slices else {}),
        "result": _told(result, dict(outputs)),
        "note": "Research use only. Not a medical device.",
    }


def _told(result: Result, files: Mapping[str, Path]) -> dict[str, Any]:
    """The result without voxels; of each volume, whether it was written, and as which file."""
    told = result.to_dict()
    frames = told["provenance"].get("frames")

    def mark(volume: dict[str, Any] | None, kind: str) -> None:
        if volume is not None:
            if frames is not None:
                volume["shape"] = [*volume["shape"], frames]
            volume["written"] = kind in files
            if kind in files:
                volume["file"] = files[kind].name

    for key in ("output", "residual", "noise_map", "uncertainty"):
        mark(told[key], key.replace("_", "-"))
    for i, sample in enumerate(told["samples"], start=1):
        mark(sample, f"sample-{i}")
    for i, label in enumerate(told["masks"], start=1):
        mark(label, f"label-{i}" if f"label-{i}" in files else "label")
    return told


def read_record(path: Path) -> dict[str, Any] | None:
    """A record that medidiff wrote; None where there is none, or the file is somebody else's."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def is_whole(record: Mapping[str, Any], folder: Path) -> bool:
    """Whether every file of a record is still there, and as many in a folder as there were."""
    return all(_is_there(entry, folder / str(entry.get("file"))) for entry in record.get("outputs", []))


def _is_there(entry: Mapping[str, Any], path: Path) -> bool:
    if "files" not in entry:
        return path.is_file()
    return path.is_dir() and sum(1 for _ in path.iterdir()) == entry["files"]


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two requests differ in, in words; empty when they are equal."""
    old, new = _flat(before), _flat(now)
    parts = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            parts.append(f"{_WORDS.get(key, key)} was {_short(old.get(key))}, is {_short(new.get(key))}")
    return "; ".join(parts)


_WORDS = {
    "input_file_sha256": "the input file (sha256)",
    "medidiff": "medidiff's version",
    "prior.hash": "the prior's hash",
    "prior.name": "the prior",
    "settings.noise": "--noise",
    "settings.noise_std": "--noise-std",
    "settings.noise_std.map_file_sha256": "the noise map (sha256)",
    "settings.coils": "--coils",
    "settings.correlated": "--correlated",
    "settings.strength": "--strength",
    "settings.samples": "--samples",
    "settings.seed": "--seed",
    "settings.shifts": "--shifts",
    "settings.precision": "--precision",
    "settings.save": "--save",
    "settings.report": "--report",
    "settings.cond": "--cond",
    "settings.extrapolate": "--extrapolate",
    "settings.guidance": "--guidance",
    "settings.guidance_interval": "--guidance-interval",
    "settings.paste": "--paste",
    "settings.steps": "--steps",
    "settings.at_mm": "--at",
    "settings.at_voxel": "--at-voxel",
    "settings.size_mm": "--size-mm",
    "settings.mask_file_sha256": "the mask (sha256)",
    "settings.modality": "--modality",
    "settings.resample_tilt": "--resample-tilt",
    "settings.fill_gaps": "--fill-gaps",
    "settings.target_spacing_mm": "--target-spacing",
    "settings.format": "--format",
    "settings.deidentify": "--deidentify",
    "settings.like": "--like",
}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[f"{before}{key}"] = value
    return flat


def _short(value: Any) -> str:
    if value is None:
        return "not given"
    text = ",".join(map(str, value)) or "nothing" if isinstance(value, list) else str(value)
    return f"{text[:12]}..." if len(text) > 40 else text
