"""The one record every task returns; JSON, sidecar, report and exit code are all drawn from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.volume import Volume


@dataclass(eq=False)
class Result:
    """What a task did and what came out.

    Args:
        task: "denoise", "inpaint", "insert" or "synthesise".
        status: One word for the outcome, such as "denoised".
        output: The scan that was asked for, on the input's grid and in its unit.
        residual: Input minus output.
        noise_map: Noise standard deviation the task worked with, in the scan's unit; infinite where nothing is known.
        uncertainty: Standard deviation of the output's error, in the scan's unit.
        samples: Posterior samples.
        masks: Label maps of the samples, where the prior samples them too.
        nfe: Network evaluations, counted.
        seconds: Wall-clock time of the task.
        peak_memory_mib: Largest memory of the process (or the device) during the task.
        warnings: What a reader must know before trusting the output.
        provenance: Input sha256, prior name and hash, seed, settings, versions.
        figures: Numbers the task measured.
    """

    task: str
    status: str
    output: Volume
    residual: Volume | None = None
    noise_map: Volume | None = None
    uncertainty: Volume | None = None
    samples: list[Volume] = field(default_factory=list)
    masks: list[Volume] = field(default_factory=list)
    nfe: int = 0
    seconds: float = 0.0
    peak_memory_mib: float = 0.0
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the voxels, in types JSON knows; volumes become their name, shape, spacing and orientation."""
        return {key: json_safe(value) for key, value in vars(self).items()}

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as strict JSON text (values that are not finite become null)."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def json_safe(value: Any) -> Any:
    """Turn a value into what strict JSON can hold; arrays are described, never dumped.

    Raises:
        TypeError: The value has no faithful form in JSON.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        return json_safe(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Volume):
        spacing_mm = [round(s, 6) for s in value.spacing_mm]
        return {"name": value.name, "shape": list(value.shape), "spacing_mm": spacing_mm, "axcodes": value.axcodes}
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON: put numbers, text, lists and dicts into a Result.")
