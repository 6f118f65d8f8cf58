"""The files of pairs made from clean scans: clean/, noisy/ and noise-maps/, and their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medidiff.cli.dicom_source import DicomSource
from medidiff.cli.sources import Source
from medidiff.cli.stage import Stage
from medidiff.errors import UsageError
from medidiff.evaluate.made_pairs import add_known_noise, own_noise
from medidiff.evaluate.pairs import MANIFEST, read_manifest
from medidiff.io import hash_file, write_nifti
from medidiff.io.nifti_header import nifti_suffix
from medidiff.volume import Volume

CLEAN, NOISY, MAPS = "clean", "noisy", "noise-maps"


class Folders:
    """clean/, noisy/ and noise-maps/ of the stage, each planned when the first file goes into it."""

    def __init__(self, stage: Stage, output: Path) -> None:
        self.stage, self.output = stage, output
        self._made: dict[str, Path] = {}

    def __getitem__(self, name: str) -> Path:
        if name not in self._made:
            self._made[name] = self.stage.place(self.output / name)
            self._made[name].mkdir()
        return self._made[name]


def export_clean(source: Source, clean: Volume, folder: Path) -> dict[str, Any]:
    """Write a clean scan; what the manifest says of it.

    Args:
        source: Where it comes from.
        clean: What is written.
        folder: clean/ of the stage.
    """
    name = f"{_stem_of(source)}.nii.gz"
    write_nifti(clean, folder / name, "float32")
    return {
        "clean": f"{CLEAN}/{name}",
        "sha256": hash_file(folder / name),
        "input": source.name,
        "input_sha256": source.sha256(),
        "patient": _patient_of(source),
        "own_noise": own_noise(clean),
    }


def add_noise(clean: Volume, kind: str, percent: float, seed: int, name: str, folders: Folders) -> dict[str, Any]:
    """Write a noisy scan, and the map of its level where it varies; what the manifest says of it.

    Args:
        clean: The scan.
        kind: Of noise.
        percent: Its level in percent of the scan's range.
        seed: Of the noise.
        name: Of the files, without ending.
        folders: Where they go.

    Raises:
        InputError: The scan cannot have such noise.
    """
    made = add_known_noise(clean, kind, percent, seed)
    path = folders[NOISY] / f"{name}.nii.gz"
    write_nifti(made.noisy, path, "float32")
    told: dict[str, Any] = {"noisy": f"{NOISY}/{path.name}", "sha256": hash_file(path)}
    if made.level_map is not None:
        map_path = folders[MAPS] / path.name
        write_nifti(made.level_map, map_path, "float32")
        told |= {"noise_map": f"{MAPS}/{path.name}", "noise_map_sha256": hash_file(map_path)}
    return {**told, "kind": kind, "percent": percent, "noise_std": made.level, **made.facts}


def _stem_of(source: Source) -> str:
    """The name of its files, without ending."""
    name = Path(source.output_name).name
    return name[: -len(nifti_suffix(Path(name)))]


def _patient_of(source: Source) -> str:
    """The pseudonym, the label of a BIDS name, or the scan."""
    if isinstance(source, DicomSource):
        return source.patient
    stem = _stem_of(source)
    bids = re.match(r"sub-[A-Za-z0-9]+(?=_|$)", stem)
    return bids[0] if bids else stem


def check_names(sources: Sequence[Source]) -> None:
    """Refuse two scans whose files would have one name.

    Raises:
        UsageError: There are two.
    """
    seen: dict[str, str] = {}
    for source in sources:
        stem = _stem_of(source)
        if stem in seen:
            raise UsageError(f"--make-pairs: {seen[stem]} and {source.name} would have one name. Rename one of them.")
        seen[stem] = source.name


def written(output: Path) -> set[str]:
    """Every file that an earlier run wrote, by its manifest."""
    manifest = read_manifest(output / MANIFEST)
    if not manifest:
        return set()
    named = [one["clean"] for one in manifest["scans"]]
    for pair in manifest["pairs"]:
        named += [pair["noisy"], *filter(None, [pair.get("noise_map")])]
    return {MANIFEST, *map(str, named)}


__all__ = ["CLEAN", "MAPS", "NOISY", "Folders", "add_noise", "check_names", "export_clean", "written"]
