"""Lesions of the benchmark: what goes in comes out of a perfect denoiser, a blur has its own attenuation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from benchmarks._cases import Case
from benchmarks._lesion_report import Pictures, bins, to_markdown
from benchmarks._lesions import BINS, CONTRASTS, SIZES, Planted, ball, noisy_of, opposite, plant, recovery, with_lesions
from benchmarks._methods import Answer
from benchmarks._noise import reference
from benchmarks.lesions import Scan, row
from medidiff.volume import Volume

PERCENT = 9.0


def toy() -> Case:
    """Anatomy everywhere bright enough to be foreground."""
    x, y, z = np.meshgrid(*(np.linspace(0, 3, n) for n in (40, 40, 24)), indexing="ij")
    clean = 500 + 200 * np.sin(2 * x + y) * np.cos(z)
    return reference(Case("procedural", "toy_1", Volume.from_array(clean)), "lesions")


def scans_of(case: Case, turn: int = 0) -> list[Scan]:
    planted = plant(case, turn)
    pair = (planted, opposite(planted))
    return [Scan(case, turn, i, p, noisy_of(case, p, PERCENT, turn)) for i, p in enumerate(pair)]


def rows_of(case: Case, known: Any, theirs: Any) -> list[dict[str, Any]]:
    """Rows of both scans, `known` and `theirs` making an output of a scan."""
    found = []
    for scan in scans_of(case):
        answers = {"medidiff known": Answer(known(scan), 0, 0), "bm4d": Answer(theirs(scan), 0, 0)}
        found += [row(scan, lesion, answers) for lesion in scan.planted]
    return found


def perfect(scan: Scan) -> np.ndarray:
    return with_lesions(scan.case, scan.planted, PERCENT).data


def untouched(scan: Scan) -> np.ndarray:
    return scan.noisy.volume.data


def erased(scan: Scan) -> np.ndarray:
    return scan.case.clean.data


def blurred(scan: Scan) -> np.ndarray:
    return ndimage.gaussian_filter(scan.noisy.volume.data.astype(np.float64), 0.7)


def test_a_ball_has_its_volume() -> None:
    for size in SIZES:
        template = ball(size, np.array([4.7, 4.2, 4.5]))
        # An edge that falls from 1 to 0 over a voxel: the mean volume of balls of radius r - 1/2 to r + 1/2.
        r = size / 2
        assert template.sum() == pytest.approx(4 / 3 * np.pi * (r**3 + r / 4), rel=0.02)
        assert template.max() == 1


def test_a_perfect_denoiser_recovers_all_and_one_that_erases_nothing() -> None:
    for r in rows_of(toy(), perfect, erased):
        assert r["medidiff known"] == pytest.approx(1, abs=1e-5)
        assert r["bm4d"] == pytest.approx(0, abs=1e-12)


def test_noise_and_anatomy_cancel_between_a_lesion_and_its_opposite() -> None:
    """The scan as it is has recovery 1 in every pair of the two, though each alone is off by the noise."""
    rows = rows_of(toy(), untouched, untouched)
    half = len(rows) // 2
    single = np.array([r["medidiff known"] for r in rows])
    assert np.std(single) > 0.05
    np.testing.assert_allclose((single[:half] + single[half:]) / 2, 1, atol=1e-4)  # float32 of values up to 1000
    assert [r["noisy"] for r in rows] == list(single)


def test_a_blur_attenuates_each_lesion_as_its_template_says() -> None:
    rows = rows_of(toy(), blurred, perfect)
    planted = plant(toy(), 0)
    for i, lesion in enumerate(planted):
        # The template alone, in a box of its own so large that no border is near.
        wide = np.pad(lesion.template, 10)
        inside = ndimage.gaussian_filter(wide, 0.7)[10:-10, 10:-10, 10:-10]
        pair = (rows[i]["medidiff known"] + rows[i + len(planted)]["medidiff known"]) / 2
        on_border = any(s.start == 0 or s.stop == n for s, n in zip(lesion.box, toy().clean.shape, strict=True))
        # Neighbours 10 voxels away and the scan's border reach into the outermost voxels of the box.
        assert pair == pytest.approx(recovery(inside, lesion), abs=0.01 if on_border else 0.005)
    small = [recovery(ndimage.gaussian_filter(ball(s, np.full(3, 4.5)), 0.7), of(s)) for s in SIZES]
    assert all(np.diff(small) > 0)  # the smaller it is, the more a blur takes


def of(size: int) -> Planted:
    return Planted(size, 1.0, 1, (slice(0, 10),) * 3, ball(size, np.full(3, 4.5)))  # type: ignore[arg-type]


def test_recovery_is_the_multiple_of_the_template_beside_any_constant() -> None:
    lesion = Planted(4, 2.0, -1, (slice(0, 10),) * 3, ball(4, np.array([4.7, 4.2, 4.5])))  # type: ignore[arg-type]
    assert recovery(7 + 0.3 * lesion.template, lesion) == pytest.approx(0.3)


def test_lesions_are_put_in_before_the_noise_in_every_bin_equally_often() -> None:
    case = toy()
    planted = plant(case, 0)
    assert len(planted) == 4 * 4 * 2
    counts = [sum((p.size, p.contrast) == b for p in planted) for b in BINS]
    assert max(counts) - min(counts) <= 1
    assert {p.sign for p in planted} == {-1, 1}
    bright, dark = scans_of(case)
    noise = [s.noisy.volume.data - with_lesions(case, s.planted, PERCENT).data for s in (bright, dark)]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-3)
    assert noise[0].std() == pytest.approx(case.noise_std(PERCENT), rel=0.02)
    other = plant(case, 1)
    assert [(p.size, p.contrast) for p in other] != [(p.size, p.contrast) for p in planted]
    assert not np.array_equal(noise[0], noisy_of(case, planted, PERCENT, 1).volume.data - bright.case.clean.data)
    half = np.where(np.arange(40)[:, None, None] < 20, 0, case.clean.data)
    assert {p.box[0].start for p in plant(replace(case, clean=case.clean.with_data(half)), 0)} == {20, 30}


def test_the_table_judges_every_bin_against_bm4d() -> None:
    rows = [
        {"set": "head", "case": c, "turn": 0, "twin": 0, "size": s, "contrast": k, "noisy": 1.0}
        | {"bm4d": 0.8, "medidiff known": 0.775 if (s, k) == (3, 1.0) else 0.785}
        for s in SIZES
        for k in CONTRASTS
        for c in ("a", "b") * 100
    ]
    found = bins(rows)
    assert [b["holds"] for b in found] == [False] + [True] * 11
    assert found[0]["difference"] == pytest.approx(-0.025)
    text = to_markdown(rows, "", "general", PERCENT)
    assert "11 of 12 bins hold" in text
    assert "| 3 | 1 | 200 | 0.800 | 0.775 | -0.025 [-0.025, -0.025] | SHORT |" in text
    assert (
        "| head (noise-free) | 2400 | -0.018 (0.782) | -0.015 (0.785) | -0.015 (0.785) |" in text
    )  # (0.775 + 3 * 0.785) / 4
    few = to_markdown([r for r in rows if r["case"] == "a"], "", "general", PERCENT)
    assert "0 of 12 bins hold" in few
    assert "HOLDS (fewer than 200) |" in few


def test_pictures_hold_the_mean_lesion(tmp_path: Path) -> None:
    case = toy()
    pictures = Pictures("procedural", PERCENT)
    for scan in scans_of(case):
        pictures.take(case, scan.planted, scan.noisy, {"bm4d": perfect(scan)})
    drawn = pictures.means()
    half = drawn[14:, : drawn.shape[1] // 2], drawn[14:, drawn.shape[1] // 2 :]
    np.testing.assert_array_equal(
        half[0][14:], half[1][14:]
    )  # without the names: the perfect method shows what was put in
    assert drawn.max() == 255
    pictures.write(tmp_path / "x")
    assert (tmp_path / "x.png").stat().st_size > 1000
    assert (tmp_path / "x_mean.png").stat().st_size > 200
