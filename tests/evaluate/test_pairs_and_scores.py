"""Pairs by name, scores that are known beforehand, and differences over patients."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medidiff.errors import InputError, UsageError
from medidiff.evaluate.made_pairs import NOISES, add_known_noise, check_wish, halved, own_noise
from medidiff.evaluate.pairs import find_pairs
from medidiff.evaluate.preference import exact_binomial
from medidiff.evaluate.scores import NOISY, Score, compare, data_range, neighbour_correlation, score_scan
from medidiff.io import write_nifti
from medidiff.volume import Volume


def ball(n: int = 24) -> np.ndarray:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n)] * 3, indexing="ij")
    r = x**2 + y**2 + z**2
    return (1000.0 * (r < 0.8) + 500 * np.sin(9 * x) ** 2 * (r < 0.5)).astype(np.float32)


def save(path: Path, data: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    write_nifti(Volume.from_array(data), path, "float32")


# --- scores ---------------------------------------------------------------------------------------------------------


def test_a_constant_error_has_its_psnr_and_bias() -> None:
    clean = ball()
    span = data_range(clean)
    score = score_scan(clean, clean + 0.05 * span, {"x": clean + 0.01 * span})
    assert score["x"].psnr_db == pytest.approx(40.0, abs=1e-3)  # -20 log10(0.01)
    assert score["x"].foreground_psnr_db == pytest.approx(40.0, abs=1e-3)
    assert score["x"].bias_percent == pytest.approx(1.0, abs=1e-3)
    assert score[NOISY].psnr_db == pytest.approx(-20 * math.log10(0.05), abs=1e-3)
    assert math.isnan(score[NOISY].residual_structure)  # nothing was removed


def test_what_was_removed_is_told_apart() -> None:
    clean = ball()
    noise = np.random.default_rng(0).normal(0, 80, clean.shape).astype(np.float32)
    smooth = gaussian_filter(clean, 1.5)
    noisy = clean + noise
    score = score_scan(clean, noisy, {"right": clean, "too much": smooth})
    assert score["right"].psnr_db == math.inf
    # White noise over n = 8000 voxels, and detail that is smooth: about 0.03 (measured); the smoothed one 0.59.
    assert abs(score["right"].residual_structure) < 0.07
    assert score["too much"].residual_structure > 0.5
    assert abs(score["right"].residual_correlation) < 0.05
    assert score["right"].residual_correlation == pytest.approx(score[NOISY].residual_correlation, abs=1e-6)


def test_neighbours_of_a_moving_average_correlate_by_a_half() -> None:
    white = np.random.default_rng(1).normal(size=(60, 40, 40))
    one_axis = white[1:] + white[:-1]
    inside = np.ones(one_axis.shape, dtype=bool)
    assert neighbour_correlation(one_axis, inside) == pytest.approx(0.5 / 3, abs=0.01)


def test_a_thin_scan_has_no_ssim() -> None:
    clean = ball()[:, :, :8]
    assert math.isnan(score_scan(clean, clean + 1, {})[NOISY].ssim)


def test_differences_average_a_patient_first() -> None:
    def score(psnr: float) -> Score:
        return Score(psnr, psnr, 0.9, 0.0, 0.0, 0.0, 0.0)

    # Patient p has three scans, each 1 dB better; patient q one, 3 dB better: the mean is 2, not 1.5.
    scores = [("p", {"a": score(31.0), "b": score(30.0)})] * 3 + [("q", {"a": score(33.0), "b": score(30.0)})]
    found = compare(scores, "a", "b", "psnr_db")
    assert found is not None
    assert found.mean == pytest.approx(2.0)
    assert found.low < 2.0 < found.high  # two patients: an interval, if a wide one
    assert compare([("p", {"a": score(math.inf), "b": score(30.0)})], "a", "b", "psnr_db") is None


@pytest.mark.parametrize(
    ("wins", "total", "low", "high"), [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (8, 10, 0.4439, 0.9748)]
)
def test_the_binomial_interval_is_that_of_the_tables(wins: int, total: int, low: float, high: float) -> None:
    found = exact_binomial(wins, total)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)


def test_the_sign_test_is_exact() -> None:
    assert exact_binomial(10, 10).p_value == pytest.approx(2 / 1024)
    assert exact_binomial(5, 10).p_value == 1.0
    with pytest.raises(UsageError):
        exact_binomial(3, 0)


# --- pairs ----------------------------------------------------------------------------------------------------------


def test_pairs_go_by_name_whatever_the_ending(tmp_path: Path) -> None:
    for name in (
        "clean/sub-01_T1w.nii.gz",
        "noisy/sub-01_T1w.nii",
        "r/sub-01_T1w.nii.gz",
        "clean/more.nii",
        "noisy/b.nii",
    ):
        save(tmp_path / name, ball(8))
    found = {p.name: p for p in find_pairs(tmp_path / "clean", tmp_path / "noisy", {"r": tmp_path / "r"})}
    one = found["sub-01_T1w"]
    assert (one.patient, one.missing(["r"])) == ("sub-01", "")
    assert one.results["r"].name == "sub-01_T1w.nii.gz"
    assert "no clean scan" in found["b"].missing(["r"])


def test_the_manifest_says_which_clean_scan(tmp_path: Path) -> None:
    for name in ("clean/a.nii", "noisy/a_gaussian-9.nii", "r/a_gaussian-9.nii"):
        save(tmp_path / name, ball(8))
    entry = {"noisy": "noisy/a_gaussian-9.nii", "clean": "clean/a.nii", "patient": "p-1", "condition": "gaussian 9%"}
    (tmp_path / "pairs.json").write_text(json.dumps({"format": "medidiff-pairs", "pairs": [entry]}))
    (one,) = find_pairs(tmp_path / "clean", tmp_path / "noisy", {"r": tmp_path / "r"})
    assert one.clean == tmp_path / "clean" / "a.nii"
    assert (one.patient, one.condition) == ("p-1", "gaussian 9%")


def test_folders_that_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    for name in ("clean/a.nii", "noisy/a.nii", "r/a_denoised.nii", "two/a.nii", "two/a.nii.gz"):
        save(tmp_path / name, ball(8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"a_denoised\.nii; the noisy scans are a\.nii"):
        find_pairs(tmp_path / "clean", tmp_path / "noisy", {"r": tmp_path / "r"})
    with pytest.raises(UsageError, match="Remove one"):
        find_pairs(tmp_path / "two", tmp_path / "noisy", {})
    with pytest.raises(InputError, match="no NIfTI files"):
        find_pairs(tmp_path / "empty", tmp_path / "noisy", {})
    with pytest.raises(InputError, match="no such folder"):
        find_pairs(tmp_path / "gone", tmp_path / "noisy", {})


# --- pairs that are made ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NOISES)
def test_added_noise_has_its_level_and_is_the_same_every_time(kind: str) -> None:
    # Far above the noise a magnitude's standard deviation is that of its parts.
    clean = Volume.from_array(np.full((40, 40, 40), 1000.0, np.float32) + np.linspace(0, 100, 40, dtype=np.float32))
    made, again = (add_known_noise(clean, kind, 10.0, 3) for _ in range(2))
    assert made.noisy.data.dtype == np.float32
    assert np.array_equal(made.noisy.data, again.noisy.data)
    assert not np.array_equal(made.noisy.data, add_known_noise(clean, kind, 10.0, 4).noisy.data)
    assert made.level == pytest.approx(0.1 * data_range(clean.data))
    added = made.noisy.data - clean.data
    if made.level_map is None:
        assert added.std() == pytest.approx(made.level, rel=0.02)  # of 64000 values: standard error 0.3%, more if alike
    else:
        levels = made.level_map.data
        assert np.median(levels) == pytest.approx(made.level, rel=0.02)
        assert (added / levels).std() == pytest.approx(1.0, rel=0.02)
        assert 2.5 < levels.max() / levels.min() < 3.5
    alike = neighbour_correlation(added, np.ones(added.shape, bool))
    assert (alike > 0.1) == (kind == "correlated")


def test_a_wish_that_cannot_be_fulfilled_is_refused() -> None:
    with pytest.raises(UsageError, match="gaussian"):
        check_wish("pink", 3)
    with pytest.raises(UsageError, match="above 0"):
        check_wish("gaussian", 0)
    with pytest.raises(InputError, match="negative"):
        add_known_noise(Volume.from_array(ball(8) - 100), "rician", 3, 0)


def test_halving_keeps_the_place_and_lowers_the_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 10, (32, 32, 33)).astype(np.float32)
    scan = Volume(noise, np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]]))
    half = halved(scan)
    assert half.shape == (16, 16, 16)
    assert half.spacing_mm == pytest.approx((3.0, 4.0, 6.0))
    assert half.data.std() == pytest.approx(10 / math.sqrt(8), rel=0.05)
    # The middle of the first eight voxels is the place of the first one.
    assert half.affine_ras @ (0, 0, 0, 1) == pytest.approx(scan.affine_ras @ (0.5, 0.5, 0.5, 1))


def test_a_phantom_has_no_noise_of_its_own() -> None:
    clean = Volume.from_array(np.kron(np.arange(64.0).reshape(4, 4, 4), np.ones((8, 8, 8))).astype(np.float32))
    assert own_noise(clean)["level"] == 0.0
