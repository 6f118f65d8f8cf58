"""The denoising benchmark's arithmetic on made-up figures, and its cases' noise."""

import numpy as np
import pytest

from benchmarks._cases import Case
from benchmarks._tables import summarise, to_markdown
from medidiff.volume import Volume


def row(method: str, case: str, psnr: float, seconds: float) -> dict:
    common = {"split": "val", "set": "toy", "level": 9.0, "case": case, "method": method, "seconds": seconds}
    common["cpu_seconds"] = 2 * seconds
    return common | {"psnr": psnr, "psnr_foreground": psnr - 1, "ssim": 0.9}


def rows(gain: float, speed: float) -> list[dict]:
    found = []
    for case, peer in (("a", 30.0), ("b", 34.0)):
        found += [row("noisy", case, 20.0, 0.0), row("bm4d", case, peer, 10.0)]
        found.append(row("medidiff auto", case, peer + gain, 10.0 / speed))
    return found


@pytest.mark.parametrize(
    ("gain", "speed", "holds"), [(0.5, 30.0, True), (-0.29, 21.0, True), (-0.31, 30.0, False), (0.5, 19.0, False)]
)
def test_summary_and_verdict(gain: float, speed: float, holds: bool) -> None:
    summary = summarise(rows(gain, speed), "medidiff auto")
    assert summary["n"] == 2
    assert summary["bm4d"]["psnr"] == 32.0
    assert summary["psnr_difference"].mean == pytest.approx(gain)
    assert summary["ratio"] == pytest.approx(speed)
    assert summary["holds"] is holds


def test_report_says_when_the_peer_was_cached() -> None:
    facts = {"command": "x", "date": "2026-11-20", "processor": "p", "cores": [0, 1], "prior": "general", "limit": None}
    facts |= {"total_seconds": 60.0, "load_at_start": 0.0, "versions": {"torch": "2"}, "cached_bm4d": False}
    report = {"facts": facts, "rows": rows(0.5, 30.0), "memory": {}}
    assert "| toy | 2 | 9% | 20.00 | 32.00 | 32.50 | +0.50 [+0.50, +0.50] |" in to_markdown(report)
    assert "Development run" not in to_markdown(report)
    assert "come from a cache" in to_markdown(report | {"facts": facts | {"cached_bm4d": True}})


def test_noise_has_its_level_and_is_the_same_every_time() -> None:
    clean = np.linspace(-1000, 1000, 40**3).reshape(40, 40, 40)
    case = Case("toy", "toy_1", Volume.from_array(clean))
    assert case.data_range == pytest.approx(0.99 * 2000)
    noise = case.noisy(9.0).data - clean
    assert noise.std() == pytest.approx(0.09 * case.data_range, rel=0.012)  # 4 standard errors: 4 / sqrt(2 * 64 000)
    np.testing.assert_array_equal(case.noisy(9.0).data, case.noisy(9.0).data)
    other = Case("toy", "toy_2", Volume.from_array(clean))
    assert not np.array_equal(case.noisy(9.0).data, other.noisy(9.0).data)
