"""Estimated levels against simulated noise of known level."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medidiff.errors import NoiseError
from medidiff.noise import add_gaussian, add_rician, estimate_noise
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


def leak(percent: float) -> float:
    """Anatomy in the finest band adds in squares: about half a percent of the maximum at these coarse voxels."""
    return float(np.hypot(1, 0.5 / percent)) - 1


@pytest.mark.parametrize("percent", [1, 3, 9, 15])
def test_gaussian_levels(clean: np.ndarray, percent: int) -> None:
    estimate = estimate_noise(add_gaussian(clean, percent * TOP / 100, np.random.default_rng(percent)))
    assert estimate.kind == "gaussian"
    assert estimate.white
    # Sampling: 1.2 / sqrt(15000 blocks) = 1%, at four standard errors; and anatomy.
    assert estimate.level == pytest.approx(percent * TOP / 100, rel=0.04 + leak(percent))


@pytest.mark.parametrize("percent", [1, 3, 9, 15])
def test_rician_levels(clean: np.ndarray, percent: int) -> None:
    estimate = estimate_noise(add_rician(clean, percent * TOP / 100, np.random.default_rng(percent)))
    assert estimate.kind == "rician"
    assert "1.91" in estimate.reason
    assert estimate.white
    # Read from the background: thousands of cubes, so the rest is weak signal among them.
    assert estimate.level == pytest.approx(percent * TOP / 100, rel=0.05)


@pytest.mark.parametrize("axes", [(0.7, 0.7, 0.0), (0.7, 0.7, 0.7), (0.0, 0.0, 1.0)])
def test_correlated_noise_is_noticed(clean: np.ndarray, axes: tuple[float, float, float]) -> None:
    noise = gaussian_filter(np.random.default_rng(3).standard_normal(clean.shape), axes)
    noisy = clean + 90 * (noise / noise.std()).astype(np.float32)
    estimate = estimate_noise(noisy)
    assert not estimate.white
    assert any("correlated along " + ", ".join(n for n, a in zip("xyz", axes, strict=True) if a) in w
               for w in estimate.warnings)  # fmt: skip
    assert estimate.level < 80  # a lower bound, as the warning says


def test_blank_background_is_left_out(clean: np.ndarray) -> None:
    noisy = np.where(clean > 50, add_gaussian(clean, 30.0, np.random.default_rng(0)), 0).clip(0).astype(np.float32)
    estimate = estimate_noise(noisy)
    assert estimate.kind == "gaussian"
    assert "no background with noise" in estimate.reason
    # Only the body is left, so fewer blocks and more detail in them.
    assert estimate.level == pytest.approx(30, rel=0.1)


def test_offset_air_is_not_rician() -> None:
    """Air far above zero (CT shifted to start at 0) is Gaussian background."""
    clean = np.full((48, 48, 48), 100.0, dtype=np.float32)
    clean[12:36, 12:36, 12:36] = 1000
    estimate = estimate_noise(add_gaussian(clean, 10.0, np.random.default_rng(0)).clip(0))
    assert estimate.kind == "gaussian"
    assert estimate.level == pytest.approx(10, rel=0.03)


def test_varying_noise_is_noticed(clean: np.ndarray) -> None:
    level = np.linspace(20, 80, clean.shape[0], dtype=np.float32)[:, None, None] * np.ones_like(clean)
    estimate = estimate_noise(add_gaussian(clean, level, np.random.default_rng(0)))
    assert any("differs across the scan" in warning for warning in estimate.warnings)
    assert 20 < estimate.level < 80


def test_clean_scans_and_tiny_scans_are_refused() -> None:
    smooth = np.linspace(0, 1, 32, dtype=np.float32)[:, None, None] * np.ones((32, 32, 32), dtype=np.float32)
    with pytest.raises(NoiseError, match="no noise can be measured"):
        estimate_noise(smooth)
    with pytest.raises(NoiseError, match=r"too small|too few"):
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
        assert not estimate.warnings
