"""`--precision auto` follows what was measured, with the processor's instructions and without them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medidiff.errors import UsageError
from medidiff.precision import choose_precision, decide

CPU = torch.device("cpu")
ASK = """
import json, sys, torch
from medidiff.precision import choose_precision
choice = choose_precision("auto", torch.device("cpu"))
print(json.dumps(vars(choice)))
"""


def ask(cache: Path, isa: str | None) -> dict:
    env = os.environ | {"MEDIDIFF_CACHE": str(cache)}
    env.pop("ONEDNN_MAX_CPU_ISA", None)
    if isa:
        env["ONEDNN_MAX_CPU_ISA"] = isa
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, env=env, timeout=120, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("isa", [None, "AVX2"])
def test_the_choice_follows_the_times(isa: str | None, tmp_path: Path) -> None:
    choice = ask(tmp_path, isa)
    assert choice["bf16_ms"] > 0
    assert choice["float32_ms"] > 0
    assert choice["dtype"] == decide(choice["bf16_ms"], choice["float32_ms"]).dtype
    again = ask(tmp_path, isa)
    assert again["cached"]
    assert {k: again[k] for k in ("dtype", "bf16_ms", "float32_ms")} == {
        k: choice[k] for k in ("dtype", "bf16_ms", "float32_ms")
    }


@pytest.mark.skipif(sys.platform == "darwin", reason="oneDNN's instruction cap is for x86")
def test_without_bf16_instructions_float32_wins(tmp_path: Path) -> None:
    choice = ask(tmp_path, "AVX2")
    if choice["bf16_ms"] > choice["float32_ms"]:
        assert choice["dtype"] == "float32"
    assert len(list(tmp_path.glob("precision-*.json"))) == 1
    ask(tmp_path, None)  # another cap is another measurement
    assert len(list(tmp_path.glob("precision-*.json"))) == 2


def test_the_rule() -> None:
    assert decide(1.0, 3.0).dtype == "bf16"
    assert decide(100.0, 1.0).dtype == "float32"
    assert decide(1.0, 1.05).dtype == "float32"  # a twentieth is not worth 16 bits
    assert "100.0 times slower" in decide(100.0, 1.0).reason


def test_what_is_asked_for_is_not_measured() -> None:
    assert choose_precision("bf16", CPU).dtype == "bf16"
    assert choose_precision("bf16", CPU).bf16_ms is None
    assert choose_precision("float32", CPU).bf16_ms is None
    with pytest.raises(UsageError, match="precision 8"):
        choose_precision("8", CPU)


def test_a_damaged_cache_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIDIFF_CACHE", str(tmp_path))
    choose_precision("auto", CPU)
    (file,) = tmp_path.glob("precision-*.json")
    file.write_text("{")
    assert not choose_precision("auto", CPU).cached
    assert choose_precision("auto", CPU).cached
