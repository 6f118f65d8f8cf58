"""A result says what it is: clean already, not seen before, or with anatomy in the residual."""

from typing import Any

import numpy as np
import pytest

from medidiff import denoise
from medidiff.errors import GeometryError, InputError, UsageError
from medidiff.prior import Prior
from medidiff.tasks.known_noise import KnownNoise, Told
from medidiff.tasks.residual import ResidualCheck, check_residual
from medidiff.tasks.safeguards import LEAST_ENERGY, UNCHANGED, least_energy, residual_warnings
from medidiff.tasks.unseen import lung_cm3
from medidiff.volume import Volume

SHAPE = (24, 24, 20)
CPU: dict[str, Any] = {"device": "cpu", "precision": "float32", "shifts": 1, "n_steps": 2}
KNOWN: dict[str, Any] = {**CPU, "noise": "gaussian", "noise_std": 10.0, "correlated": "no"}


def ball(scale: float = 200.0, noise_std: float = 0.0, **more: Any) -> Volume:
    at = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    data = 100 + scale * ((at**2).sum(axis=0) < 0.6) + noise_std * np.random.default_rng(0).normal(size=SHAPE)
    return Volume(data.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), **more)


def calibrated(prior: Prior) -> Prior:
    card = prior.card.model_copy(update={"calibration": {"level": 0.9, "factor": {"gaussian": 1.7, "ct": 1.9}}})
    return Prior(card, prior.weights)


# Already clean -------------------------------------------------------------------------------------------------------


def test_a_scan_without_noise_comes_back_bit_for_bit(tiny_prior: Prior) -> None:
    scan = ball()
    result = denoise(scan, tiny_prior, samples=2, **CPU)
    assert result.status == UNCHANGED
    assert result.nfe == 0
    assert all(np.array_equal(v.data, scan.data) for v in (result.output, *result.samples))
    assert result.residual is not None
    assert not result.residual.data.any()
    assert "interval_90_factor" not in result.figures


@pytest.mark.parametrize(("percent", "status"), [(0.08, UNCHANGED), (0.15, "denoised")])
def test_the_gate_is_a_tenth_of_a_percent_of_the_range(tiny_prior: Prior, percent: float, status: str) -> None:
    known = KnownNoise("gaussian", percent / 100 * 200, source="shared")  # the range of the ball is 200
    assert denoise(ball(), tiny_prior, noise=known, **CPU).status == status


def test_a_level_that_was_told_is_taken_at_its_word(tiny_prior: Prior) -> None:
    told = denoise(ball(), tiny_prior, noise="gaussian", noise_std=0.05, correlated="no", **CPU)
    assert told.status == "denoised"


# Not seen ------------------------------------------------------------------------------------------------------------


def test_only_what_the_prior_has_seen_has_an_interval(tiny_prior: Prior) -> None:
    prior = calibrated(tiny_prior)
    seen = denoise(ball(noise_std=10), prior, **KNOWN)
    assert (seen.status, seen.figures["interval_90_factor"]) == ("denoised", 1.7)
    unseen = denoise(ball(noise_std=10, modality="PT"), prior, **KNOWN)
    assert unseen.status == "extrapolated: modality PT"
    assert unseen.uncertainty is not None
    assert "interval_90_factor" not in unseen.figures
    assert any("has not seen: modality PT" in text for text in unseen.warnings)
    coarse = Volume(ball(noise_std=10).data, np.diag([2.0, 2.0, 20.0, 1.0]))
    assert denoise(coarse, prior, **KNOWN).status == "extrapolated: voxels of 2 x 2 x 20 mm"
    loud = denoise(ball(noise_std=10), prior, **{**KNOWN, "noise_std": 90.0})
    assert loud.status.startswith("extrapolated: noise of ")
    assert "interval_90_factor" not in denoise(ball(noise_std=10), prior, strength=0.5, **KNOWN).figures


def test_lungs_are_found_inside_a_body_and_couches_are_not() -> None:
    data = np.full((80, 60, 30), -1000.0, dtype=np.float32)
    data[10:70, 10:50] = 40
    data[:, 2:6] = -800  # foam under the patient
    volume = Volume(data, np.diag([3.0, 3.0, 3.0, 1.0]))
    assert lung_cm3(volume) == 0
    data[20:36, 20:40, 5:25] = -850
    # 16 x 20 x 20 voxels of 27 mm^3, on a grid of 3 mm worn off by one voxel on every side
    assert lung_cm3(volume) == pytest.approx(14 * 18 * 18 * 0.027)
    data[20:36, 20:40, 5:25] = -1000  # bowel gas
    assert lung_cm3(volume) == 0


# The residual --------------------------------------------------------------------------------------------------------


def checked(
    residual: np.ndarray, clean: np.ndarray, sigma: float = 0.1, std: float = 0.0, **more: Any
) -> ResidualCheck:
    everywhere = np.ones(clean.shape, dtype=bool)
    white = (0,) * 6
    std_map = np.full(clean.shape, std, dtype=np.float32)
    return check_residual(clean + residual, clean, std_map, sigma, more.get("correlation", white), everywhere)


@pytest.fixture
def cube() -> np.ndarray:
    clean = np.zeros((40, 40, 40), dtype=np.float32)
    clean[10:30, 10:30, 10:30] = 1
    return clean


@pytest.fixture
def noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((40, 40, 40))).astype(np.float32)


def test_white_noise_is_no_structure_and_an_edge_is(cube: np.ndarray, noise: np.ndarray) -> None:
    white = checked(noise, cube)
    # Means of 64000 values have a standard error of 0.006, of the 6400 at edges 0.018; correlations 0.004.
    assert white.energy == pytest.approx(1, abs=0.03)
    assert white.at_edges == pytest.approx(1, abs=0.08)
    assert white.alike == pytest.approx(0, abs=0.02)
    assert residual_warnings(white, 0.1) == []
    slope = np.abs(np.gradient(cube, axis=0))
    lost = checked(noise + 0.3 * slope, cube)
    assert "structure in the residual" in residual_warnings(lost, 0.1)[0]
    assert "at edges" in residual_warnings(lost._replace(energy=1.0), 0.1)[0]
    alike = noise + np.roll(noise, 1, axis=1)
    kernel = checked(alike, cube, 0.1414)
    assert kernel.alike == pytest.approx(0.5, abs=0.02)
    assert "alike" in residual_warnings(kernel, 0.1)[0]
    assert residual_warnings(kernel._replace(alike=0.0), 0.1) == []


def test_a_correlation_that_was_told_is_not_held_against_the_residual() -> None:
    noise = np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32)
    alike = (noise + np.roll(noise, 1, axis=1)) / np.float32(2**0.5)
    assert checked(alike, noise, 1.0, correlation=(0, 0, 0.5, 0, 0, 0)).alike == pytest.approx(0, abs=0.02)


def test_the_energy_counts_what_the_prior_expects_to_err_by(cube: np.ndarray, noise: np.ndarray) -> None:
    check = checked(0.8**0.5 * noise, cube, std=0.2**0.5 * 0.1)
    assert check.energy == pytest.approx(1, abs=0.03)


def test_little_energy_says_that_the_level_is_wrong(cube: np.ndarray, noise: np.ndarray) -> None:
    told_too_high = checked(noise, cube, 0.12)  # 0.69
    assert "too high" in residual_warnings(told_too_high, 0.12)[0]
    assert residual_warnings(told_too_high, 0.12, coloured=True) == []
    left = checked(0.8 * noise - 0.1 * np.roll(noise, 1, axis=0) - 0.1 * np.roll(noise, 1, axis=1), cube)
    assert "too low" in residual_warnings(left._replace(alike=-0.1), 0.1)[0]
    assert least_energy(0.5) == least_energy(0.18) == LEAST_ENERGY
    assert least_energy(0.06) < least_energy(0.1) < LEAST_ENERGY
    assert residual_warnings(ResidualCheck(np.nan, np.nan, np.nan), 0.1) == []


def test_a_large_scan_is_judged_by_blocks_all_over_it() -> None:
    rng = np.random.default_rng(0)
    clean = np.zeros((200, 12, 97), dtype=np.float32)
    residual = rng.standard_normal(clean.shape, dtype=np.float32)
    whole, blocks = np.mean(residual**2), checked(residual, clean, 1.0)
    assert blocks.energy == pytest.approx(float(whole), abs=0.02)  # 110 000 values: a standard error of 0.004
    for place in (0, 100, 199):  # the first, the middle and the last voxels are looked at
        loud = residual.copy()
        loud[place] *= 30
        assert checked(loud, clean, 1.0).energy > 2


# Mask and strength ---------------------------------------------------------------------------------------------------


def test_outside_the_mask_nothing_changes(tiny_prior: Prior) -> None:
    scan = ball(noise_std=10)
    inside = np.zeros(SHAPE)
    inside[4:20, 4:20, 4:16] = 1
    result = denoise(scan, tiny_prior, mask=scan.with_data(inside), samples=1, **KNOWN)
    outside = inside == 0
    for volume in (result.output, *result.samples):
        assert np.array_equal(volume.data[outside], scan.data[outside])
        assert (volume.data[~outside] != scan.data[~outside]).mean() > 0.9
    assert result.residual is not None
    assert result.uncertainty is not None
    assert not result.residual.data[outside].any()
    assert np.all(result.uncertainty.data[outside] == 10)  # the scan's own noise is still there
    assert len(result.provenance["mask_data_sha256"]) == 64


def test_bad_masks_are_refused(tiny_prior: Prior) -> None:
    scan = ball()
    with pytest.raises(InputError, match="0 everywhere"):
        denoise(scan, tiny_prior, mask=scan.with_data(np.zeros(SHAPE)), **CPU)
    with pytest.raises(InputError, match="NaN"):
        denoise(scan, tiny_prior, mask=scan.with_data(np.full(SHAPE, np.nan)), **CPU)
    with pytest.raises(GeometryError, match="its shape is"):
        denoise(scan, tiny_prior, mask=Volume.from_array(np.ones((4, 4, 4))), **CPU)


def test_strength_goes_from_the_mean_to_a_sample(tiny_prior: Prior) -> None:
    scan = ball(noise_std=10)
    mean = denoise(scan, tiny_prior, samples=1, **KNOWN)
    for strength in (0.25, 1.0):
        mixed = denoise(scan, tiny_prior, strength=strength, **KNOWN)
        wanted = (1 - strength) * mean.output.data + strength * mean.samples[0].data
        np.testing.assert_allclose(mixed.output.data, wanted, atol=1e-2)  # float32 of values up to 300
        assert mixed.figures["error_factor"] == 1 + strength**2
        assert mixed.samples == []
    with pytest.raises(UsageError, match=r"--strength 1\.5"):
        denoise(scan, tiny_prior, strength=1.5, **KNOWN)


def test_what_is_told_of_the_noise_is_checked() -> None:
    for wrong, match in (
        ({"kind": "poisson"}, "--noise poisson"),
        ({"correlated": "maybe"}, "--correlated maybe"),
        ({"coils": 0}, "--coils 0"),
        ({"kind": "gaussian", "coils": 4}, "no coils to count"),
    ):
        with pytest.raises(UsageError, match=match):
            Told(**wrong)  # type: ignore[arg-type]
