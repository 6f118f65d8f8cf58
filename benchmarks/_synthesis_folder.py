"""A folder of `medidiff synth`, read as somebody who was given it would: NIfTI, normalised like the real scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks._synthesis_data import Pairs, made_pairs
from medidiff.errors import InputError
from medidiff.io import read_nifti
from medidiff.prior.card import NormalisationRecipe

MANIFEST = "manifest.parquet"


def read_folder(folder: Path) -> Pairs:
    """All finished samples with their label maps, in the order of their numbers.

    Args:
        folder: What `medidiff synth -o` named; NIfTI, any layout.

    Raises:
        InputError: There is no manifest, or no finished sample in NIfTI.
    """
    import pyarrow.parquet as pq

    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: has no manifest ({MANIFEST}). Finish it: run the same medidiff synth again.")
    rows = sorted(pq.read_table(path).to_pylist(), key=lambda row: row["index"])
    rows = [row for row in rows if row["status"] == "done" and row["image"].endswith(".nii.gz")]
    if not rows:
        raise InputError(f"{folder}: no finished sample in NIfTI.")
    images, masks = [], []
    for row in rows:
        values = np.asarray(read_nifti(folder / row["image"]).data, dtype=np.float32)
        images.append(NormalisationRecipe().fit(values).forward(values))
        if row["mask"]:
            masks.append(np.asarray(read_nifti(folder / row["mask"]).data, dtype=np.uint8))
    asked = np.array([row.get("condition_volume_ml") for row in rows], dtype=np.float64)  # None becomes nan
    return made_pairs(np.stack(images), np.stack(masks) if len(masks) == len(images) else None, asked)
