"""Scans prepared for training: sources, patient splits, random patches."""

from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.sources import Case, FolderSource, ProceduralSource, Source

__all__ = ["Case", "FolderSource", "PatchDataModule", "ProceduralSource", "Source"]
