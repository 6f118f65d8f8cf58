"""Where training scans come from: prepared stores, folders of scans split by patient, and procedural volumes."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from medidiff.cohort.body import averaged
from medidiff.cohort.cases import AnyCase, Case, Triple
from medidiff.cohort.own_noise import measured_own_noise
from medidiff.cohort.participants import check_spelling
from medidiff.cohort.run_holdout import RunCoin, held_out_of
from medidiff.cohort.store_source import StoreSource, holdout_patients, store_cases
from medidiff.errors import ConfigError, InputError
from medidiff.intensity import Normalisation
from medidiff.io import read_nifti
from medidiff.phantoms.procedural import procedural_volume

TRAINING_SEED_LIMIT = 100_000
"""Procedural seeds below this are for training; benchmarks use seeds above it."""


class ProceduralSource(BaseModel):
    """Procedural volumes, noise-free, made once and kept in the cache folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: Literal["procedural"] = "procedural"
    name: str = "procedural"
    """Value of the condition `kind`."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the patches, relative to the other sources."""
    generator: Literal["mixed", "head", "body"] = "mixed"
    """`mixed`: dead leaves and folded labels; `head`, `body`: the phantoms."""
    volumes: int = Field(default=64, ge=1)
    """How many volumes are made."""
    size: int = Field(default=96, ge=16)
    """Edge of each volume in voxels."""
    seed: int = Field(default=0, ge=0, lt=TRAINING_SEED_LIMIT)
    """Seed of the first volume; the others follow it."""


class FolderSource(BaseModel):
    """Scans of one folder that belong to the train (or val) patients of its participants table."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: Literal["folder"] = "folder"
    name: str
    """Value of the condition `kind`."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the patches, relative to the other sources."""
    files: str
    """Path under the data root with `{case}` where the table's case name goes, or a glob when there is no table: then
    val is every tenth patient, as far as the files' names tell them (sub-01, IXI012 of IXI012_T1w), else file."""
    table: str | None = None
    """participants.tsv under the data root with the columns case, split and, where scans share one, patient."""
    downsample: tuple[int, int, int] = (1, 1, 1)
    """Mean over blocks of this many voxels per axis: cleaner targets, coarser anatomy."""
    tau: Literal["measured"] | float = "measured"
    """Own noise level of the targets in normalised units; `measured` estimates it per scan, 0 calls them clean."""
    licence: str = "not stated"
    """Licence of the scans, copied into the prior's card."""


AnySource = ProceduralSource | FolderSource | StoreSource
Source = Annotated[AnySource, Field(discriminator="type")]


def load_source(
    source: AnySource, root: Path, cache: Path, split: str, coin: RunCoin | None = None
) -> Sequence[AnyCase]:
    """All cases of a source that belong to `split`: in memory, or of a store, which is read patch by patch.

    Args:
        source: The source.
        root: Data root of folder sources.
        cache: Where procedural volumes are kept.
        split: `train` or `val`.
        coin: Keeps train patients out of this run; None: nobody.

    Raises:
        ConfigError: split is `holdout`, a table is missing or lets a patient into two splits, or a coin is asked for
            where a table has decided or patients are not known.
        InputError: no scan of the train split is there (a small cohort may have no val patients).
    """
    if split not in ("train", "val"):
        raise ConfigError(f"split {split}: training reads train and val only; holdout patients are never touched.")
    if isinstance(source, StoreSource):
        return store_cases(source, split, coin)
    if isinstance(source, ProceduralSource):
        return list(_procedural_cases(source, cache, split))
    if coin is not None:
        _check_coin(source, root)
    cases = [_folder_case(source, *found) for found in _files(source, root, split, coin)]
    if not cases and split == "train":
        raise InputError(f"source {source.name}: no scan of split {split} under {root}/{source.files}.")
    return cases


def source_holdout(source: AnySource, root: Path, coin: RunCoin | None = None) -> set[str]:
    """Patients of a source that are held out, by its store or table or by the run's coin; procedural volumes have none.

    Raises:
        ConfigError, InputError: As `load_source`.
    """
    if isinstance(source, StoreSource):
        return holdout_patients(source, coin)
    if isinstance(source, ProceduralSource) or source.table is None:
        return set()
    held = set(read_split(root / source.table, "holdout").values())
    if coin is not None:
        held |= {one for one in read_split(root / source.table, "train").values() if coin.keeps_out(one)}
    return held


def _check_coin(source: FolderSource, root: Path) -> None:
    if source.table is None:
        raise ConfigError(
            f"--holdout coin: whose the scans of source {source.name} are is not known, and a coin needs patients. "
            "Name the participants.tsv as `table`, or prepare a store."
        )
    held_out_of({"holdout": set(read_split(root / source.table, "holdout").values())}, source.name)


def read_split(table: Path, split: str) -> dict[str, str]:
    """The patient of every case of a split, by case name, from a participants table that assigns PATIENTS.

    A table without a patient column has one patient a case.

    Raises:
        ConfigError: the table is missing, lacks a column, or a patient stands in two splits.
    """
    if not table.is_file():
        raise ConfigError(f"table {table}: no such file. Name the participants.tsv that assigns patients to splits.")
    with table.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    if not rows or not {"case", "split"} <= set(rows[0]):
        raise ConfigError(f"table {table}: needs the columns case and split (and patient where scans share one).")
    check_spelling(table, rows[0], rows[0])
    split_of: dict[str, str] = {}
    patients = {row["case"]: row.get("patient") or row["case"] for row in rows}
    for row in rows:
        if split_of.setdefault(patients[row["case"]], row["split"]) != row["split"]:
            raise ConfigError(f"table {table}: patient of case {row['case']} stands in two splits; assign patients.")
    return {row["case"]: patients[row["case"]] for row in rows if row["split"] == split}


def _files(
    source: FolderSource, root: Path, split: str, coin: RunCoin | None = None
) -> Iterator[tuple[str, str, Path]]:
    """Case, patient (empty: not known) and file of every scan of a split."""
    if source.table is not None:
        for case, patient in read_split(root / source.table, split).items():
            if coin is not None and split == "train" and coin.keeps_out(patient):
                continue
            path = root / source.files.format(case=case)
            if not path.is_file():
                raise InputError(f"source {source.name}: {path} is named by the table but is not there.")
            yield case, patient, path
        return
    paths = sorted(root.glob(source.files))
    for folder in {folder for path in paths for folder in (path.parent, *path.parents) if folder.is_relative_to(root)}:
        if (folder / "participants.tsv").is_file():
            raise ConfigError(f"source {source.name}: {folder}/participants.tsv assigns patients; name it as `table`.")
    of_patient = [_prefix(path.relative_to(root)) for path in paths]
    if len(set(of_patient)) == 1:  # the name of the set
        of_patient = [str(path) for path in paths]
    validation = set(list(dict.fromkeys(of_patient))[9::10])
    for path, patient in zip(paths, of_patient, strict=True):
        if (patient in validation) == (split == "val"):
            yield path.name.split(".")[0], "", path


def _prefix(path: Path) -> str:
    """What the scans of one patient have in common, as far as names tell: sub-X, or all up to a number and its "_"
    (IXI012 of IXI012_T1w, patient_07 of patient_07_MR); the whole path where there is neither."""
    subject = next((part for part in path.parts if part.startswith("sub-")), "")
    start = re.match(r"sub-[^_.]+", subject) or re.match(r"[^.]*?\d{2}[^_.]*(?=_)", path.name)
    return start[0] if start else path.as_posix()


def _folder_case(source: FolderSource, name: str, patient: str, path: Path) -> Case:
    volume = read_nifti(path)
    volume.check()
    full = np.asarray(volume.data, dtype=np.float32)
    data = block_mean(full, source.downsample)
    normalisation = Normalisation.fit(data)
    data = normalisation.forward(data)
    if source.tau == "measured":  # on the full grid, where anatomy is smoothest; the mean over a block divides it
        tau = measured_own_noise(normalisation.forward(full)) / float(np.sqrt(np.prod(source.downsample)))
    else:
        tau = float(source.tau)
    (sx, sy, sz), (fx, fy, fz) = volume.spacing_mm, source.downsample
    spacing = (sx * fx, sy * fy, sz * fz)
    from medidiff.cohort.prepare_scan import body_box  # which needs this module

    low, high = body_box(data)
    affine = np.eye(4)
    affine[:3] = averaged(volume.affine_ras[:3], source.downsample)
    body = (cast(Triple, low), cast(Triple, high))
    return Case(name, data.astype(np.float16), spacing, tau, source.name, affine, body, of_patient=patient)


def block_mean(data: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Mean over blocks of `factors` voxels; a rest that fills no block is cut off."""
    if factors == (1, 1, 1):
        return data
    x, y, z = (n // f for n, f in zip(data.shape, factors, strict=True))
    fx, fy, fz = factors
    return data[: x * fx, : y * fy, : z * fz].reshape(x, fx, y, fy, z, fz).mean(axis=(1, 3, 5), dtype=np.float32)


def _procedural_cases(source: ProceduralSource, cache: Path, split: str) -> Iterator[Case]:
    count = source.volumes if split == "train" else max(2, min(4, source.volumes // 16))
    first = source.seed if split == "train" else TRAINING_SEED_LIMIT + source.seed
    make = _GENERATORS[source.generator]
    key = {"generator": source.generator, "size": source.size}
    folder = cache / f"procedural-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]}"
    for seed in range(first, first + count):
        data = _cached(folder / f"{seed}.npy", make, source.size, seed)
        nan = float("nan")
        yield Case(f"{source.generator}-{seed}", data, (nan, nan, nan), 0.0, source.name)


def _cached(path: Path, make: Callable[[int, int], np.ndarray], size: int, seed: int) -> np.ndarray:
    if path.is_file():
        return np.load(path)
    raw = make(size, seed)
    data = Normalisation.fit(raw).forward(raw).astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, data)
    partial.replace(path)
    return data


def _head(size: int, seed: int) -> np.ndarray:
    from medidiff.phantoms.head import head_phantom

    return head_phantom((size, size, size), seed=seed).data


def _body(size: int, seed: int) -> np.ndarray:
    from medidiff.phantoms.body import body_phantom

    return body_phantom((size, size, size), seed=seed).data


_GENERATORS: dict[str, Callable[[int, int], np.ndarray]] = {
    "mixed": lambda size, seed: procedural_volume((size, size, size), seed),
    "head": _head,
    "body": _body,
}
