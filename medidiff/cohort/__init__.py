"""Scans prepared for training: stores, sources, patient splits, random patches."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medidiff.cohort.cases import AnyCase, Case
    from medidiff.cohort.datamodule import PatchDataModule
    from medidiff.cohort.sources import FolderSource, ProceduralSource, Source
    from medidiff.cohort.store import Store
    from medidiff.cohort.store_source import StoreCases, StoreSource

__all__ = [
    "AnyCase",
    "Case",
    "FolderSource",
    "PatchDataModule",
    "ProceduralSource",
    "Source",
    "Store",
    "StoreCases",
    "StoreSource",
]

_HOME = {
    "AnyCase": "cases",
    "Case": "cases",
    "FolderSource": "sources",
    "PatchDataModule": "datamodule",
    "ProceduralSource": "sources",
    "Source": "sources",
    "Store": "store",
    "StoreCases": "store_source",
    "StoreSource": "store_source",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: preparing a store needs no torch, and neither does a worker need Lightning."""
    if name not in _HOME:
        raise AttributeError(f"module 'medidiff.cohort' has no attribute {name!r}")
    return getattr(importlib.import_module(f"medidiff.cohort.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
