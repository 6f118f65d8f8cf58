"""`denoise` in the scan's own unit, on its own grid, with every bad level refused."""

import json
import math
from typing import Any

import numpy as np
import pytest

from medidiff import denoise
from medidiff.errors import GeometryError, InputError, MemoryLimitError, NoiseError, PriorError, UsageError
from medidiff.noise import add_gaussian, add_rician
from medidiff.phantoms import head_phantom
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.volume import Volume

AFFINE = np.array([[0, -2.0, 0, 10], [2.0, 0, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]])
CPU: dict[str, Any] = {"device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def scan() -> Volume:
    clean = np.asarray(head_phantom((40, 44, 36), spacing_mm=(4.0, 4.0, 4.0), seed=2).data, dtype=np.float32)
    return Volume(add_gaussian(400 * clean / clean.max() + 100, 30.0, np.random.default_rng(0)), AFFINE, name="scan")


@pytest.fixture(scope="module")
def result(tiny_prior: Prior, scan: Volume) -> Result:
    return denoise(scan, tiny_prior, noise="gaussian", noise_std=30.0, samples=2, n_steps=4, seed=7, **CPU)


def test_everything_lies_on_the_scans_grid(result: Result, scan: Volume) -> None:
    volumes = [result.output, result.residual, result.noise_map, result.uncertainty, *result.samples]
    assert len(volumes) == 6
    for volume in volumes:
        assert volume is not None
        assert volume.shape == scan.shape
        assert np.array_equal(volume.affine_ras, scan.affine_ras)
        assert volume.data.dtype == np.float32
        assert np.isfinite(volume.data).all()


def test_output_and_residual_add_up_to_the_scan(result: Result, scan: Volume) -> None:
    assert result.residual is not None
    # float32 at values up to about 600
    np.testing.assert_allclose(result.output.data + result.residual.data, scan.data, atol=1e-4)


def test_evaluations_are_counted(result: Result) -> None:
    assert result.nfe == 2 + 2 * (4 + 1)  # two passes for the mean, n_steps + 1 for each of two samples
    assert result.seconds > 0
    assert result.peak_memory_mib > 50


def test_the_record_is_json(result: Result, tiny_prior: Prior) -> None:
    record = json.loads(result.to_json())
    assert record["provenance"]["prior"]["hash"] == tiny_prior.content_hash
    assert record["provenance"]["seed"] == 7
    assert record["figures"]["noise_std"] == 30.0
    assert record["figures"]["noise_kind"] == "gaussian"
    assert len(record["provenance"]["input_data_sha256"]) == 64


def test_samples_depend_on_their_own_number_only(result: Result, tiny_prior: Prior, scan: Volume) -> None:
    again = denoise(scan, tiny_prior, noise="gaussian", noise_std=30.0, samples=1, n_steps=4, seed=7, **CPU)
    assert np.array_equal(again.samples[0].data, result.samples[0].data)
    assert np.array_equal(again.output.data, result.output.data)
    assert not np.array_equal(result.samples[0].data, result.samples[1].data)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 4096.0])
def test_the_unit_does_not_matter(tiny_prior: Prior, scan: Volume, factor: float) -> None:
    a = denoise(scan, tiny_prior, noise="gaussian", noise_std=30.0, **CPU)
    scaled = scan.with_data((scan.data * factor + 50 * factor).astype(np.float32))
    b = denoise(scaled, tiny_prior, noise="gaussian", noise_std=30.0 * factor, **CPU)
    # The same normalised scan but for float32 rounding, of about 1e-7 in a range of 600.
    np.testing.assert_allclose(b.output.data / factor - 50, a.output.data, atol=0.02)


def test_a_constant_map_equals_a_number(tiny_prior: Prior, scan: Volume) -> None:
    number = denoise(scan, tiny_prior, noise="gaussian", noise_std=30.0, **CPU)
    a_map = denoise(scan, tiny_prior, noise="gaussian", noise_std=scan.with_data(np.full(scan.shape, 30.0)), **CPU)
    np.testing.assert_allclose(a_map.output.data, number.output.data, atol=0.01)
    assert a_map.figures["noise_level_from"] == "map"


def test_rician_scans_go_through_the_transform(tiny_prior: Prior) -> None:
    clean = np.zeros((40, 40, 40), dtype=np.float32)
    clean[10:30, 10:30, 10:30] = 500
    scan = Volume.from_array(add_rician(clean, 40.0, np.random.default_rng(0)), (2, 2, 2))
    result = denoise(scan, tiny_prior, **CPU)
    assert result.figures["noise_kind"] == "rician"
    assert result.figures["noise_std"] == pytest.approx(40, rel=0.1)  # what the estimate is held to
    blocks = result.figures["noise_refining_evaluations"]
    assert blocks > 0
    assert result.nfe == 2 + math.ceil(blocks)  # all work counts: that which looked at the noise, too
    assert result.output.data.min() >= 0
    assert result.uncertainty is not None
    assert result.uncertainty.data.min() >= 0
    forced = denoise(scan, tiny_prior, noise="gaussian", **CPU)
    assert forced.figures["noise_kind"] == "gaussian"


def test_shifts_average_evaluations(tiny_prior: Prior, scan: Volume) -> None:
    one = denoise(scan, tiny_prior, noise="gaussian", noise_std=30.0, **CPU)
    four = denoise(scan, tiny_prior, noise="gaussian", noise_std=30.0, shifts=4, **CPU)
    assert four.nfe == 4
    assert not np.array_equal(one.output.data, four.output.data)
    assert np.abs(one.output.data - four.output.data).mean() < 30
    with pytest.raises(UsageError, match="shifts 9"):
        denoise(scan, tiny_prior, shifts=9)


@pytest.mark.parametrize("level", [-3.0, 0.0, float("nan"), float("inf")])
def test_bad_levels_are_refused(tiny_prior: Prior, scan: Volume, level: float) -> None:
    with pytest.raises(
        NoiseError, match=r"--noise-std .*: must be a positive number in the scan's unit \(this scan runs"
    ):
        denoise(scan, tiny_prior, noise_std=level, **CPU)


def test_bad_maps_are_refused(tiny_prior: Prior, scan: Volume) -> None:
    for value, match in ((-1.0, "positive and finite"), (np.nan, "positive and finite"), (np.inf, "inpaint")):
        data = np.full(scan.shape, 30.0)
        data[3, 3, 3] = value
        with pytest.raises(NoiseError, match=match):
            denoise(scan, tiny_prior, noise_std=scan.with_data(data), **CPU)
    with pytest.raises(GeometryError, match=r"its shape is \(4, 4, 4\)"):
        denoise(scan, tiny_prior, noise_std=Volume.from_array(np.ones((4, 4, 4))), **CPU)
    moved = scan.affine_ras.copy()
    moved[0, 3] += 0.25
    with pytest.raises(GeometryError, match=r"same shape, .* up to 0\.25 mm apart"):
        denoise(scan, tiny_prior, noise_std=Volume(np.full(scan.shape, 30.0), moved), **CPU)


def test_a_scan_too_small_to_estimate_its_noise_is_named(tiny_prior: Prior) -> None:
    data = np.random.default_rng(0).normal(100, 10, (9, 9, 9)).astype(np.float32)
    with pytest.raises(InputError, match="little: 9 x 9 x 9 voxels are too few"):
        denoise(Volume.from_array(data, name="little"), tiny_prior, **CPU)


def test_white_noise_reads_zero(tiny_prior: Prior) -> None:
    data = np.random.default_rng(0).normal(100, 10, (40, 40, 40)).astype(np.float32)
    result = denoise(Volume.from_array(data), tiny_prior, noise="gaussian", **CPU)
    # 64000 x 0.12 voxels: a standard error of about 0.01
    np.testing.assert_allclose(result.figures["noise_neighbour_correlation_beyond_white_xyz"], 0, atol=0.05)


def test_the_denoiser_is_built_once_and_evaluations_are_counted_for_each_task(
    tiny_prior: Prior, scan: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, built = Prior(tiny_prior.card, tiny_prior.weights), []
    build = prior.build
    monkeypatch.setattr(prior, "build", lambda: built.append(1) or build())
    a = denoise(scan, prior, noise="gaussian", noise_std=30.0, samples=1, n_steps=4, **CPU)
    b = denoise(scan, prior, noise="gaussian", noise_std=30.0, **CPU)
    assert (a.nfe, b.nfe, len(built)) == (2 + 4 + 1, 2, 1)
    assert np.array_equal(a.output.data, b.output.data)
    denoise(scan, prior, noise="gaussian", noise_std=30.0, **{**CPU, "precision": "bf16"})
    assert len(built) == 2


def test_bad_scans_and_settings_are_refused(tiny_prior: Prior, scan: Volume) -> None:
    with pytest.raises(InputError, match="every voxel"):
        denoise(scan.with_data(np.full(scan.shape, 3.0)), tiny_prior, **CPU)
    with pytest.raises(InputError, match="NaN"):
        denoise(scan.with_data(np.full(scan.shape, np.nan)), tiny_prior, **CPU)
    with pytest.raises(InputError, match="2D"):
        denoise(Volume(np.ones((5, 5)), np.eye(4)), tiny_prior, **CPU)
    with pytest.raises(PriorError, match="not found"):
        denoise(scan, "no-such-prior", **CPU)
    with pytest.raises(UsageError, match="--noise poisson"):
        denoise(scan, tiny_prior, noise="poisson", **CPU)
    with pytest.raises(NoiseError, match="negative values"):
        denoise(scan.with_data(scan.data - 500), tiny_prior, noise="rician", **CPU)
    with pytest.raises(UsageError, match="samples -1"):
        denoise(scan, tiny_prior, samples=-1, **CPU)
    with pytest.raises(UsageError, match="seed -1"):
        denoise(scan, tiny_prior, seed=-1, **CPU)
    with pytest.raises(MemoryLimitError, match="max-gb"):
        denoise(scan, tiny_prior, noise_std=30.0, max_gb=1e-5, **CPU)


def test_what_the_prior_has_not_seen_is_said(tiny_prior: Prior, scan: Volume) -> None:
    thick = Volume.from_array(scan.data, (1.0, 1.0, 8.0))
    assert any("has seen 0.5 to 4 mm" in w for w in denoise(thick, tiny_prior, noise_std=30.0, **CPU).warnings)
    loud = denoise(scan, tiny_prior, noise="gaussian", noise_std=1e6, **CPU)
    assert any("the largest the prior" in w for w in loud.warnings)


def test_integers_and_odd_sizes_come_out_whole(tiny_prior: Prior, scan: Volume) -> None:
    odd = Volume.from_array(scan.data[:37, :29, :17].clip(0).astype(np.int16), (2, 2, 2))
    result = denoise(odd, tiny_prior, noise="gaussian", noise_std=30.0, shifts=2, **CPU)
    assert result.output.shape == (37, 29, 17)
    assert result.output.data.dtype == np.float32
