"""Estimated levels against simulated noise of known level."""

import numpy as np
import pytest

from medidiff.errors import NoiseError
from medidiff.noise import add_gaussian, add_rician, estimate_noise
from medidiff.noise.chi import add_noncentral_chi
from medidiff.noise.correlated import GaussianKernel, add_correlated, kernel_correlations
from medidiff.phantoms.body import body_phantom
from medidiff.phantoms.head import head_phantom

TOP = 1000.0


@pytest.fixture(scope="module", params=["head", "body"])
def clean(request: pytest.FixtureRequest) -> np.ndarray:
    make, spacing_mm = (head_phantom, 2.5) if request.param == "head" else (body_phantom, 6.0)
    data = np.asarray(
        make((72, 80, 64), spacing_mm=(spacing_mm, spacing_mm, spacing_mm), seed=11).data, dtype=np.float32
    )
    data -= data.min()
    return np.float32(TOP) * data / np.percentile(data, 99.5).astype(np.float32)


@pytest.mark.parametrize("percent", [1, 3, 9, 15])
def test_gaussian_levels(clean: np.ndarray, percent: int) -> None:
    estimate = estimate_noise(add_gaussian(clean, percent * TOP / 100, np.random.default_rng(percent)))
    assert estimate.kind == "gaussian"
    assert estimate.white
    # Sampling: 0.5% of level from 5000 independent cubes; the rest is anatomy, 4% at most on such phantoms.
    assert estimate.level == pytest.approx(percent * TOP / 100, rel=0.06)
    assert estimate.level_map is None


@pytest.mark.parametrize("percent", [1, 3, 9, 15])
def test_rician_levels(clean: np.ndarray, percent: int) -> None:
    estimate = estimate_noise(add_rician(clean, percent * TOP / 100, np.random.default_rng(percent)))
    assert estimate.kind == "rician"
    assert estimate.white
    assert estimate.level == pytest.approx(percent * TOP / 100, rel=0.08)


@pytest.mark.parametrize("width", [0.6, 1.0])
def test_correlated_noise_has_its_marginal_level(clean: np.ndarray, width: float) -> None:
    """The finest band alone would read a third of it."""
    kernel = GaussianKernel((width, width, 0.0))
    noisy = add_correlated(clean, 90.0, np.random.default_rng(3), kernel)
    estimate = estimate_noise(noisy, "gaussian")
    assert not estimate.white
    assert estimate.level == pytest.approx(90, rel=0.1)
    assert estimate.interval[0] < 90 < estimate.interval[1]
    np.testing.assert_allclose(estimate.correlation, kernel_correlations(kernel), atol=0.1)


def test_noise_correlated_along_all_axes_is_not_trusted(clean: np.ndarray) -> None:
    noisy = add_correlated(clean, 90.0, np.random.default_rng(3), GaussianKernel((0.8, 0.8, 0.8)))
    estimate = estimate_noise(noisy, "gaussian")
    assert not estimate.trusted
    assert any("along all axes" in warning for warning in estimate.warnings)


def test_blank_background_is_left_out(clean: np.ndarray) -> None:
    noisy = np.where(clean > 50, add_gaussian(clean, 30.0, np.random.default_rng(0)), 0).clip(0).astype(np.float32)
    estimate = estimate_noise(noisy)
    # What looks like the background of a magnitude (dark tissue) is not taken for one.
    assert (estimate.kind, estimate.coils, estimate.white) == ("gaussian", 1, True)
    assert estimate.level_map is None
    # Only the body is left, so fewer blocks and more detail in them.
    assert estimate.level == pytest.approx(30, rel=0.1)


def test_offset_air_is_not_rician() -> None:
    """Air far above zero (CT shifted to start at 0) is Gaussian background."""
    clean = np.full((48, 48, 48), 100.0, dtype=np.float32)
    clean[12:36, 12:36, 12:36] = 1000
    estimate = estimate_noise(add_gaussian(clean, 10.0, np.random.default_rng(0)).clip(0))
    assert estimate.kind == "gaussian"
    assert estimate.level == pytest.approx(10, rel=0.03)


def test_varying_noise_gets_a_map(clean: np.ndarray) -> None:
    level = np.linspace(30, 90, clean.shape[0], dtype=np.float32)[:, None, None] * np.ones_like(clean)
    estimate = estimate_noise(add_gaussian(clean, level, np.random.default_rng(0)))
    assert estimate.level_map is not None
    assert estimate.level_map.dtype == np.float32
    assert estimate.level == pytest.approx(60, rel=0.15)
    assert np.sqrt(np.mean(np.square(estimate.level_map / level - 1))) < 0.15
    assert estimate_noise(add_gaussian(clean, 60.0, np.random.default_rng(0))).level_map is None


@pytest.mark.parametrize("percent", [3, 5])
def test_anatomy_under_correlated_noise_is_not_taken_for_a_map(percent: int) -> None:
    clean = np.asarray(head_phantom((56, 56, 56), seed=5001).data, dtype=np.float32)  # cut off: little of it is flat
    level = percent / 100 * float(np.ptp(np.percentile(clean, [0.5, 99.5])))
    noisy = add_correlated(clean, level, np.random.default_rng(percent), GaussianKernel((0.8, 0.8, 0.0)))
    estimate = estimate_noise(noisy)
    assert estimate.level_map is None
    assert estimate.interval[0] < level < estimate.interval[1]


def test_chi_noise_of_four_coils() -> None:
    clean = np.zeros((48, 48, 40), dtype=np.float32)
    clean[10:40, 8:40, 6:34] = 500
    clean[20:30, 20:30, 10:30] = 900
    estimate = estimate_noise(add_noncentral_chi(clean, 30.0, 4, np.random.default_rng(0)))
    assert (estimate.kind, estimate.coils) == ("chi", 4)
    assert estimate.level == pytest.approx(30, rel=0.05)


def test_chi_noise_without_background_is_in_the_interval() -> None:
    """It looks Gaussian, with a level of 0.87: nothing tells the coils, but the interval allows for some."""
    clean = np.asarray(head_phantom((56, 56, 56), seed=5001).data, dtype=np.float32)
    level = 0.15 * float(np.ptp(np.percentile(clean, [0.5, 99.5])))
    noisy = add_noncentral_chi(clean, level, 4, np.random.default_rng(0))
    estimate = estimate_noise(noisy)
    assert estimate.kind == "gaussian"
    assert estimate.interval[0] < level < estimate.interval[1]
    told = estimate_noise(noisy, coils=4)
    assert (told.kind, told.coils) == ("chi", 4)
    assert told.level == pytest.approx(level, rel=0.03)


def test_a_masked_scan_is_magnitude_by_the_negative_values_it_lacks(clean: np.ndarray) -> None:
    noisy = np.where(clean > 50, add_rician(clean, 90.0, np.random.default_rng(0)), 0).astype(np.float32)
    estimate = estimate_noise(noisy)
    assert estimate.level == pytest.approx(90, rel=0.1)


@pytest.mark.parametrize("slices", [5, 12])
def test_thin_scans(clean: np.ndarray, slices: int) -> None:
    noisy = add_gaussian(clean, 60.0, np.random.default_rng(0))[:, :, 20 : 20 + slices]
    estimate = estimate_noise(noisy, "gaussian")
    assert estimate.level == pytest.approx(60, rel=0.15)


def test_a_white_gaussian_cube_is_exact_within_its_interval() -> None:
    noise = np.random.default_rng(5).standard_normal((40, 40, 40)).astype(np.float32)
    estimate = estimate_noise(noise)
    assert estimate.level == pytest.approx(1.0, rel=0.02)  # 64 000 values: a standard error of 0.3%
    assert estimate.interval[0] < 1 < estimate.interval[1]
    assert estimate.correlation == (0,) * 6
    assert estimate.trusted


def test_clean_scans_and_tiny_scans_are_refused() -> None:
    smooth = np.linspace(0, 1, 32, dtype=np.float32)[:, None, None] * np.ones((32, 32, 32), dtype=np.float32)
    with pytest.raises(NoiseError, match="no noise can be measured"):
        estimate_noise(smooth)
    with pytest.raises(NoiseError, match="too thin"):
        estimate_noise(np.random.default_rng(0).random((3, 9, 9)).astype(np.float32))
    masked = np.zeros((40, 40, 40), dtype=np.float32)
    masked[:4, :4, :4] = np.random.default_rng(0).random((4, 4, 4))
    with pytest.raises(NoiseError, match="too few voxels"):
        estimate_noise(masked)


def test_the_unit_of_the_scan_does_not_matter(clean: np.ndarray) -> None:
    noisy = add_rician(clean, 50.0, np.random.default_rng(0))
    a, b = estimate_noise(noisy), estimate_noise(noisy * np.float32(2**10))
    assert b.level == pytest.approx(a.level * 2**10, rel=1e-3)
    assert a.kind == b.kind


@pytest.mark.parametrize("step", [1.0, 5.0, 20.0])
def test_whole_numbers_are_no_obstacle(clean: np.ndarray, step: float) -> None:
    """A level of half a step can be told from one of a quarter more; rounding itself adds step^2 / 12."""
    for level in (10.0, 12.5):
        noisy = add_gaussian(clean + 100, level, np.random.default_rng(0))
        rounded = (3.7 * np.round(noisy / step) * step).astype(np.float32)
        estimate = estimate_noise(rounded)
        expected = 3.7 * float(np.hypot(level, step / np.sqrt(12)))
        assert estimate.level == pytest.approx(expected, rel=0.08)
        assert estimate.trusted


def test_where_the_level_is_told_fewer_cubes_tell_the_correlation(clean: np.ndarray) -> None:
    std = 0.09 * float(np.ptp(clean))
    white = (clean + std * np.random.default_rng(3).standard_normal(clean.shape)).astype(np.float32)
    blurred = add_correlated(clean, std, np.random.default_rng(3), GaussianKernel((0.7, 0.7, 0.0)))
    for scan in (white, blurred):
        all_of_them, few = estimate_noise(scan, "gaussian"), estimate_noise(scan, "gaussian", told=True)
        assert few.white == all_of_them.white == (scan is white)
        assert "span_of_levels" not in few.figures
        np.testing.assert_allclose(few.correlation, all_of_them.correlation, atol=0.06)


def test_a_small_mask_tells_the_correlation_of_a_level_that_is_told() -> None:
    part = add_correlated(np.full((18, 18, 18), 100.0), 5.0, np.random.default_rng(0), GaussianKernel((0.8, 0.8, 0.0)))
    scan, mask = np.full((160, 160, 160), 100, dtype=np.float32), np.zeros((160, 160, 160), dtype=bool)
    mask[61:79, 61:79, 61:79] = True
    scan[mask] = part.ravel()
    assert estimate_noise(scan, "gaussian", mask, told=True).correlation == pytest.approx(
        estimate_noise(scan, "gaussian", mask).correlation
    )


@pytest.mark.parametrize("kind", ["auto", "rician"])
@pytest.mark.parametrize("percent", [3, 15])
def test_a_large_rician_background_tells_the_level(percent: int, kind: str) -> None:
    """The inverse of the transform needs it: a level 2% low left a background of a fifth of the noise (0.9 dB)."""
    clean = np.zeros((48, 48, 48), dtype=np.float32)
    clean[:, :, 30:] = 1000
    level = 10.0 * percent
    estimate = estimate_noise(add_rician(clean, level, np.random.default_rng(percent)), kind)  # type: ignore[arg-type]
    assert estimate.kind == "rician"
    # Half of the voxels tell s^2 to 1 / sqrt(55 000) = 0.4%, s to 0.2%.
    assert estimate.level == pytest.approx(level, rel=0.01)
    assert estimate.interval[1] / estimate.interval[0] < 1.04
