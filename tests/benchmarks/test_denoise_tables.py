"""The denoising benchmark on made-up figures: pairs, demands, tables; and docs/denoising.md holds the results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks._cases import Case
from benchmarks._methods import Answer
from benchmarks._noise import LEVELS, Noisy
from benchmarks._pictures import SHOWN, Gallery
from benchmarks._rows import peers_of
from benchmarks._scores import TISSUES_HU
from benchmarks._summary import BLIND, KNOWN, difference, mean, worst_peer
from benchmarks._tables import to_markdown
from benchmarks._targets import targets
from benchmarks._wins import wins
from benchmarks.denoise import compact
from benchmarks.denoising_page import PAGE, RESULTS, fill
from medidiff.volume import Volume

FACTS = {
    "command": "x",
    "date": "2026-11-20",
    "processor": "p",
    "cores": [0],
    "prior": "general",
    "limit": None,
    "total_seconds": 60.0,
    "load_at_start": 0.0,
    "versions": {},
    "cached": False,
}


def row(method: str, case: str, psnr: float, **more: Any) -> dict[str, Any]:
    common = {"split": "val", "set": "head", "kind": "gaussian", "level": 9.0, "case": case, "method": method}
    common |= {"psnr": psnr, "psnr_foreground": psnr - 1, "ssim": 0.9, "voxels": 10**6, "extra_mib": 10.0}
    return common | {"seconds": 2.0, "cpu_seconds": 4.0} | more


def rows(gain: float, blind: float = 0.0, spread: float = 0.01, **more: Any) -> list[dict[str, Any]]:
    """Three scans: bm4d, medidiff `gain` dB above it, blind `blind` dB below that."""
    found = []
    for case, peer, off in (("a", 30.0, -spread), ("b", 34.0, 0.0), ("c", 32.0, spread)):
        found += [row("noisy", case, 20.0, **more), row("bm4d", case, peer, **more)]
        found.append(row(KNOWN, case, peer + gain + off, **more))
        found.append(row(BLIND, case, peer + gain + off - blind, level_ratio=1.05, **more))
    return found


def verdicts(found: list[dict[str, Any]]) -> dict[str, bool]:
    return {t.what.partition(": ")[2]: t.holds for t in targets(found)}


def test_pairs_are_the_cases_that_both_methods_have() -> None:
    found = rows(0.5)
    n, interval = difference(found, KNOWN, "bm4d") or (0, None)
    assert n == 3
    assert interval is not None
    assert interval.mean == pytest.approx(0.5)
    # Student's quantile for 2 degrees of freedom, 4.3027; standard deviation 0.01 over the root of 3.
    assert interval.high - interval.mean == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)
    found.append(row("ants", "b", 30.0))
    assert difference(found, KNOWN, "ants") == (1, pytest.approx((4.5, float("nan"), float("nan")), nan_ok=True))
    assert difference(found, KNOWN, "skimage tv") is None
    assert worst_peer(found, KNOWN, ("ants", "bm4d", "skimage tv"))[0] == "bm4d"  # type: ignore[index]
    assert mean(found, "bm4d", "psnr") == 32.0


@pytest.mark.parametrize(("gain", "spread", "holds"), [(0.31, 0.01, True), (0.29, 0.01, False), (0.31, 0.3, False)])
def test_noise_free_scans_need_three_tenths_and_an_interval_above_zero(gain: float, spread: float, holds: bool) -> None:
    assert verdicts(rows(gain, spread=spread))["known - bm4d at least +0.3 dB, interval above 0"] is holds


@pytest.mark.parametrize(("level", "gain", "holds"), [(9.0, 0.2, False), (3.0, -0.09, True), (3.0, -0.11, False)])
def test_real_scans_may_lose_a_tenth_at_low_levels(level: float, gain: float, holds: bool) -> None:
    found = verdicts(rows(gain, level=level, set="ixi"))
    assert found[f"known - bm4d at least {0.3 if level == 9 else -0.1:+} dB"] is holds


def test_blind_is_held_against_known_and_the_level_against_the_truth() -> None:
    within, outside = verdicts(rows(0.5, blind=0.29)), verdicts(rows(0.5, blind=0.31))
    assert within["blind - known at least -0.3 dB"]
    assert not outside["blind - known at least -0.3 dB"]
    assert within["level within 10% in 90% of cases"]
    far = [r | ({"level_ratio": 1.11} if r["method"] == BLIND else {}) for r in rows(0.5)]
    assert not verdicts(far)["level within 10% in 90% of cases"]


def test_correlated_blind_is_held_against_the_best_blind_peer_and_informed_against_informed() -> None:
    found = rows(2.5, kind="correlated", level=1.0)
    found += [row("ants", c, 33.0, kind="correlated", level=1.0) for c in "abc"]  # mean 33, so 1.5 below ours
    found += [row("bm4d informed", c, 34.6, kind="correlated", level=1.0) for c in "abc"]
    got = verdicts(found)
    assert not got["blind - best blind peer at least +2 dB"]
    assert not got["known - bm4d informed at least 0 dB"]
    assert verdicts(rows(2.5, kind="correlated", level=1.0))["blind - best blind peer at least +2 dB"]


def test_ct_is_judged_in_its_window_and_by_its_bias() -> None:
    bias = {"air": 5.0, "lung": -8.0, "fat": 0.4, "soft": -0.9}
    counts = dict.fromkeys(bias, 1000)
    found = rows(0.5, kind="ct", level=0.25, bias_hu=bias, bias_voxels=counts)
    found = [r | {"psnr_window": r["psnr"]} for r in found]
    got = verdicts(found)
    assert got["medidiff known better than every peer in the soft-tissue window"]
    name = "medidiff known, bias in uniform fat and soft tissue at most 1 HU"
    assert got[name]  # air and lung are shown, not judged
    other = [r | {"bias_hu": bias | {"fat": 1.7}} if r["case"] == "b" else r for r in found]
    assert verdicts(other)[name]  # (0.4 + 1.7 + 0.4) / 3 = 0.83
    # The more voxels, the more it counts: (0.4 + 2 * 1.7 + 0.4) / 4 = 1.05.
    worse = [r | {"bias_voxels": counts | {"fat": 2000}} if r["case"] == "b" else r for r in other]
    assert not verdicts(worse)[name]


def test_report_says_what_was_cached_and_left_out() -> None:
    facts = FACTS | {"versions": {"torch": "2"}}
    report = {"facts": facts, "rows": rows(0.5), "memory": {}}
    text = to_markdown(report)
    assert "| bm4d | 3 | 32.00 / 31.00 / 0.900 |" in text
    assert "| noise-free, 9% | 3 | +0.50 [+0.48, +0.52] |" in text
    assert "come from a cache" not in text
    text = to_markdown(report | {"facts": facts | {"cached": True, "missing_in_cache": {"ants": 4}}})
    assert "come from a cache" in text
    assert "ants 4" in text


def test_the_page_is_what_the_results_make_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, RESULTS) == page, "run python -m benchmarks.denoising_page"


def test_parts_are_made_anew_and_say_what_is_missing(tmp_path: Path) -> None:
    page = "a\n<!-- from results: targets -->\nstale\n<!-- end -->\nb\n<!-- from results: timing -->\n<!-- end -->\n"
    text = fill(page, tmp_path)
    assert "Not measured yet: benchmarks/results/denoise.json" in text
    assert "Not measured yet: benchmarks/results/denoise_timing.md" in text
    report = {"facts": FACTS, "memory": {}, "rows": rows(0.5)}
    (tmp_path / "denoise.json").write_text(compact(report))
    (tmp_path / "denoise_timing.md").write_text("# Title\n\nfifty times\n")
    text = fill(page, tmp_path)
    assert "stale" not in text
    assert "known - bm4d at least +0.3 dB, interval above 0 | +0.50 [+0.48, +0.52] dB, n = 3 | HOLDS |" in text
    assert "fifty times" in text
    assert fill(text, tmp_path) == text


def test_json_has_a_row_a_line_and_reads_back() -> None:
    report = {"facts": FACTS, "memory": {}, "rows": rows(1 / 3)}
    text = compact(report)
    assert json.loads(text)["rows"][2]["psnr"] == 30.3233
    assert len(text.splitlines()) > len(report["rows"])


def test_a_peer_that_wins_is_named() -> None:
    assert wins(rows(0.5)).startswith("Nowhere")
    assert "- gaussian 9%, noise-free: bm4d, PSNR +0.50" in wins(rows(-0.5))
    # Where more can be told, what is told one level is held against blind medidiff.
    found = [row(m, c, p, kind="varying", level=4.0) for c in "ab" for m, p in ((KNOWN, 33.0), (BLIND, 31.0))]
    found += [row(m, c, p, kind="varying", level=4.0) for c in "ab" for m, p in (("ants", 32.0), ("bm4d informed", 32))]
    text = wins(found)
    assert "ants, PSNR +1.00" in text
    assert "bm4d informed" not in text


def test_every_kind_has_a_level_that_is_shown() -> None:
    assert all(SHOWN[kind] in levels for kind, levels in LEVELS.items())
    assert Gallery().write(Path("nowhere")) == []


def test_ct_is_drawn_in_a_soft_tissue_and_a_lung_window(tmp_path: Path) -> None:
    clean = np.full((8, 8, 4), 40.0, dtype=np.float32)
    clean[:4] = -700
    case = Case("body", "body_1", Volume.from_array(clean), "ct")
    gallery = Gallery()
    noisy = Noisy("ct", 0.25, case.clean, 20.0, -1024.0, 1400.0)
    gallery.offer(case, noisy, {m: Answer(clean, 0, 0) for m in ("noisy", "medidiff known")})
    paths = gallery.write(tmp_path / "denoise")
    assert [p.name for p in paths] == ["denoise_ct.png", "denoise_ct_lung.png"]
    soft, lung = (np.asarray(Image.open(p))[28:240, 2:200] for p in paths)  # the first panel, without words
    # Soft tissue, -160 to 240 HU: lung black, 40 HU in the middle. Lung, -1100 to -300: lung in the middle, 40 white.
    assert set(np.unique(soft)) == {0, 127}
    assert set(np.unique(lung)) == {127, 255}
    page = "<!-- from results: kinds -->\n<!-- end -->\n"
    ct = rows(0.5, kind="ct", level=0.25, bias_hu={}, bias_voxels={}, psnr_window=1.0)
    ct = [r | {"bias_hu": dict.fromkeys(TISSUES_HU, 0.1), "bias_voxels": dict.fromkeys(TISSUES_HU, 1000)} for r in ct]
    (tmp_path / "denoise.json").write_text(compact({"facts": FACTS, "rows": ct}), encoding="utf-8")
    assert "denoise_ct_lung.png)" in fill(page, tmp_path)


def test_peers_of_an_earlier_run_come_over_on_the_same_noisy_scans_only(tmp_path: Path) -> None:
    earlier = [*rows(0.5), row("noisy", "d", 20.0), row("bm4d", "d", 31.0)]
    path = tmp_path / "earlier.json"
    path.write_text(compact({"facts": FACTS, "rows": earlier}), encoding="utf-8")
    now = [row("noisy", "a", 20.0), row(KNOWN, "a", 31.0), row("noisy", "b", 20.1), row(KNOWN, "b", 36.0)]
    taken = peers_of(path, now)
    assert [(r["method"], r["case"], r["psnr"]) for r in taken] == [("bm4d", "a", 30.0)]  # b is another noise
    assert peers_of(path, [*now, row("bm4d", "a", 29.0)]) == []  # measured in this run
