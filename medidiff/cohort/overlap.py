"""Whether a patient trains in one source and is held out in another: no split knows of the other sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medidiff.cohort.cases import AnyCase
from medidiff.cohort.sources import AnySource, FolderSource, read_split
from medidiff.cohort.store_source import StoreCases
from medidiff.errors import ConfigError

_Split = dict[str, set[str]]


def check_apart(sources: Sequence[AnySource], train: Sequence[Sequence[AnyCase]], root: Path) -> list[str]:
    """Compare who trains in a source with who is in val or holdout of every other one.

    Args:
        sources: The run's sources.
        train: Their train cases, in the same order.
        root: Data root of folder sources.

    Returns:
        Warnings where the same patient identifier stands on both sides: it may be another person's.

    Raises:
        ConfigError: The same scan does.
    """
    scans = [_held_scans(cases) for cases in train]
    people = [_held_people(source, cases, root) for source, cases in zip(sources, train, strict=True)]
    warnings = []
    for i, (source, cases) in enumerate(zip(sources, train, strict=True)):
        if not people[i]:
            continue
        names, patients = _trained(cases)
        for j, other in enumerate(sources):
            for split in ("val", "holdout") if i != j else ():
                if shared := names & scans[j].get(split, set()):
                    raise ConfigError(
                        f"data.sources: {_count(shared, 'scan')} of train of {source.name} {_is(shared)} in {split} of "
                        f"{other.name}. Prepare both stores with the same --seed and table, or leave one source out."
                    )
                if shared := patients & people[j].get(split, set()):
                    warnings.append(
                        f"{_count(shared, 'patient identifier')} of train of {source.name} {_is(shared)} in {split} of "
                        f"{other.name}. If these are the same people, prepare both with the same --seed and table: "
                        "no figure on held-out patients could be trusted."
                    )
    return warnings


def _trained(cases: Sequence[AnyCase]) -> tuple[set[str], set[str]]:
    if isinstance(cases, StoreCases):
        return set(cases.table.column("scan_id").to_pylist()), cases.patients
    return set(), {case.patient for case in cases}


def _held_scans(cases: Sequence[AnyCase]) -> Mapping[str, set[str]]:
    return _by_split(cases, "scan_id") if isinstance(cases, StoreCases) else {}


def _held_people(source: AnySource, cases: Sequence[AnyCase], root: Path) -> Mapping[str, set[str]]:
    if isinstance(cases, StoreCases):
        return _by_split(cases, "patient")
    if isinstance(source, FolderSource) and source.table is not None:
        return {split: set(read_split(root / source.table, split).values()) for split in ("train", "val", "holdout")}
    return {}


def _by_split(cases: StoreCases, column: str) -> _Split:
    manifest, found = cases.store.manifest, _Split()
    for split, value in zip(manifest.column("split").to_pylist(), manifest.column(column).to_pylist(), strict=True):
        found.setdefault(split, set()).add(value)
    return found


def _count(shared: set[str], what: str) -> str:
    return f"1 {what}" if len(shared) == 1 else f"{len(shared)} {what}s"


def _is(shared: set[str]) -> str:
    return "is" if len(shared) == 1 else "are"


__all__ = ["check_apart"]
