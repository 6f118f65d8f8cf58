"""What `medidiff info` says of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medidiff.cli.discover import discover
from medidiff.cli.input_choice import InputChoice
from medidiff.errors import InputError, NoiseError
from medidiff.noise import estimate_noise


def describe_scan(path: Path, series: str | None = None) -> dict[str, Any]:
    """A scan's grid, orientation, number type and intensities.

    Args:
        path: A NIfTI file or DICOM.
        series: Which volume of a DICOM folder.

    Raises:
        InputError: Unreadable, or not one 3D volume.
        UsageError: Several DICOM volumes, and none chosen.
    """
    source = discover(path, InputChoice(series=series)).sources[0]
    read = next(iter(source.scans()))
    volume = read.volume.check(allow_constant=True)
    memory = volume.header
    names = ("minimum", "p0.5", "median", "p99.5", "maximum")
    values = np.percentile(volume.data, [0, 0.5, 50, 99.5, 100])
    return {
        "kind": "scan",
        "path": source.label,
        "sha256": source.sha256(),
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 6) for s in volume.spacing_mm],
        "orientation": volume.axcodes,
        "modality": volume.modality,
        "stored_as": memory.dtype if memory else str(volume.data.dtype),
        "sform_code": memory.sform_code if memory else None,
        "qform_code": memory.qform_code if memory else None,
        "description": memory.descrip if memory else "",
        "affine_ras": volume.affine_ras.tolist(),
        "intensities": {name: float(v) for name, v in zip(names, values, strict=True)},
        "share_of_zeros": float(np.mean(volume.data == 0)),
        "noise": _describe_noise(volume.data),
        "acquisition": source.facts(),
        "warnings": [*source.warnings, *read.notes],
    }


def _describe_noise(data: np.ndarray) -> dict[str, Any]:
    try:
        found = estimate_noise(data)
    except (NoiseError, InputError) as error:
        return {"level": None, "because": str(error)}
    return {"level": found.level, "kind": found.kind, "looks_white": found.white, "warnings": found.warnings}
