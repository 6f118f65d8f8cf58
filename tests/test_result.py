from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medidiff.result import Result
from medidiff.volume import Volume


def make(**changes: object) -> Result:
    output = Volume.from_array(np.arange(24.0).reshape(2, 3, 4), spacing_mm=(1, 1, 2.5), name="scan")
    return Result(task="denoise", status="denoised", output=output, **changes)  # pyright: ignore[reportArgumentType]


def test_json_holds_every_field_and_no_voxels() -> None:
    result = make(
        samples=[make().output],
        nfe=np.int64(3),
        seconds=np.float32(1.5),
        warnings=["correlated noise"],
        provenance={"input": Path("a/b.nii.gz"), "settings": {"shape": (1, 2)}, 3: True},
        figures={"psnr": np.inf, "hist": np.zeros(1000), "ok": np.bool_(True), "none": None},
    )
    record = json.loads(result.to_json())
    assert set(record) == set(vars(result))
    volume = {"name": "scan", "shape": [2, 3, 4], "spacing_mm": [1.0, 1.0, 2.5], "axcodes": "RAS"}
    assert record["output"] == volume
    assert record["samples"] == [volume]
    assert record["residual"] is None
    assert (record["nfe"], record["seconds"]) == (3, 1.5)
    assert record["provenance"] == {"input": str(Path("a/b.nii.gz")), "settings": {"shape": [1, 2]}, "3": True}
    assert record["figures"] == {"psnr": None, "hist": {"shape": [1000], "dtype": "float64"}, "ok": True, "none": None}


def test_defaults_are_not_shared() -> None:
    first, second = make(), make()
    first.warnings.append("only here")
    assert second.warnings == []


def test_what_json_cannot_hold_is_refused_not_guessed() -> None:
    with pytest.raises(TypeError, match="set"):
        make(figures={"bad": {1, 2}}).to_json()
