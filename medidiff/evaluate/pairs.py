"""Which files belong together: a clean scan, the same with noise, and what each method made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medidiff.errors import InputError, UsageError
from medidiff.io.nifti_header import NIFTI_SUFFIXES, nifti_suffix

FORMAT = "medidiff-pairs"
MANIFEST = "pairs.json"
_BIDS_PATIENT = re.compile(r"^(sub-[A-Za-z0-9]+)(?=_|$)")
_FEW = 3


@dataclass(frozen=True)
class Pair:
    """One noisy scan, its reference and its results.

    Args:
        name: Name of the noisy file without its ending.
        noisy: Its file.
        clean: The reference's file; None where there is none.
        results: File by method; a method without this scan is missing here.
        condition: What noise it has, such as "rician 9%"; "" where nobody said.
        patient: Whose it is; pairs of one patient are not independent.
    """

    name: str
    noisy: Path
    clean: Path | None
    results: Mapping[str, Path] = field(default_factory=dict)
    condition: str = ""
    patient: str = ""

    def missing(self, methods: Sequence[str]) -> str:
        """Why it cannot be scored; empty if it can."""
        if self.clean is None:
            return f"no clean scan is called {self.name}"
        without = [method for method in methods if method not in self.results]
        return f"no result called {self.name} in {', '.join(without)}" if without else ""


def find_pairs(clean: Path, noisy: Path, results: Mapping[str, Path]) -> list[Pair]:
    """Match files by name, endings (.nii, .nii.gz) aside.

    Where `pairs.json` of `medidiff evaluate denoise --make-pairs` lies beside the folder of noisy scans, it says which
    clean scan belongs to which noisy one. A patient is what pairs.json says, a BIDS name's `sub-` label, or the file.

    Args:
        clean: Folder of references.
        noisy: Folder of noisy scans.
        results: Folder of results by method; their files are called as the noisy ones.

    Raises:
        InputError: A folder is missing or has no NIfTI file.
        UsageError: A folder of results has no file that is called as a noisy scan.
    """
    references, scans = stems_in(clean, "--clean"), stems_in(noisy, "--noisy")
    made = {method: stems_in(folder, f"--results {method}") for method, folder in results.items()}
    told = _manifest(noisy)
    for method, files in made.items():
        if not files.keys() & scans.keys():
            raise UsageError(
                f"--results {method}: no file in {results[method]} is called as a noisy scan. It has "
                f"{_some(files)}; the noisy scans are {_some(scans)}. Give the results their input's names."
            )
    pairs = []
    for name, path in scans.items():
        said = told.get(path.name, {})
        reference = references.get(_stem(said["clean"]) if "clean" in said else name)
        bids = _BIDS_PATIENT.match(name)
        patient = str(said.get("patient") or (bids[1] if bids else name))
        found = {method: files[name] for method, files in made.items() if name in files}
        pairs.append(Pair(name, path, reference, found, str(said.get("condition", "")), patient))
    return pairs


def stems_in(folder: Path, what: str) -> dict[str, Path]:
    """NIfTI files of a folder (not of its subfolders) by name without ending, in order.

    Args:
        folder: The folder.
        what: What messages call it, such as "--clean".

    Raises:
        InputError: It is missing or has no NIfTI file.
        UsageError: Two files differ in their ending only.
    """
    if not folder.is_dir():
        raise InputError(f"{what} {folder}: no such folder.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.name.lower().endswith((".nii", ".nii.gz", ".hdr")):
            continue
        if (stem := _stem(path.name)) in found:
            raise UsageError(f"{what} {folder}: holds {found[stem].name} and {path.name}. Remove one of them.")
        found[stem] = path
    if not found:
        raise InputError(f"{what} {folder}: no NIfTI files in it (its subfolders are not entered).")
    return found


def read_manifest(path: Path) -> dict[str, Any]:
    """What `--make-pairs` wrote; empty where there is none, or the file is somebody else's."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and told.get("format") == FORMAT else {}


def _manifest(noisy: Path) -> dict[str, Mapping[str, Any]]:
    """Entries of pairs.json by the noisy file's name."""
    entries = read_manifest(noisy.resolve().parent / MANIFEST).get("pairs", [])
    return {Path(str(entry["noisy"])).name: entry for entry in entries}


def _stem(name: str) -> str:
    name = Path(name).name
    return name[: -len(nifti_suffix(Path(name)))] if name.lower().endswith(NIFTI_SUFFIXES) else name


def _some(names: Mapping[str, Path]) -> str:
    shown = ", ".join(path.name for path in list(names.values())[:_FEW])
    return shown + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")


__all__ = ["FORMAT", "MANIFEST", "Pair", "find_pairs", "read_manifest", "stems_in"]
