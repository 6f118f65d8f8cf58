"""Slices that hold no measurement are filled, and what they held before does not matter; room is made for them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medidiff import denoise
from medidiff.errors import GeometryError, InputError, UsageError
from medidiff.evaluate import psnr
from medidiff.io import read_nifti, write_nifti
from medidiff.noise import add_gaussian, add_rician
from medidiff.phantoms import head_phantom
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.tasks.gaps import ANNEALED_LEVELS, Gaps
from medidiff.tasks.slices import insert_slices
from medidiff.volume import Volume

CPU: dict[str, Any] = {"device": "cpu", "precision": "float32"}
AFFINE = np.array([[0, -0.9, 0.2, 10], [0.8, 0, 0.1, -20], [0, 0.3, 3.6, 5], [0, 0, 0, 1]])
MISSING = (3, 8, 9, 20)


@pytest.fixture(scope="module")
def scan() -> Volume:
    clean = np.asarray(head_phantom((32, 28, 24), spacing_mm=(5.0, 5.0, 5.0), seed=2).data, dtype=np.float32)
    return Volume(add_gaussian(400 * clean / clean.max() + 100, 20.0, np.random.default_rng(0)), AFFINE, name="scan")


def with_filler(scan: Volume, filler: float) -> Volume:
    data = scan.data.astype(np.float64)
    data[:, :, list(MISSING)] = filler
    return scan.with_data(data)


@pytest.fixture(scope="module")
def result(tiny_prior: Prior, scan: Volume) -> Result:
    return denoise(with_filler(scan, np.nan), tiny_prior, missing=MISSING, samples=1, n_steps=3, **CPU)


@pytest.mark.parametrize("filler", [0.0, 1e300, -np.inf])
@pytest.mark.parametrize("noise", ["gaussian", "auto"])
def test_what_missing_slices_hold_does_not_change_a_bit(
    tiny_prior: Prior, scan: Volume, filler: float, noise: str
) -> None:
    """Noise estimate, normalisation, interpolation and network see the measured slices only."""
    a = denoise(with_filler(scan, np.nan), tiny_prior, noise=noise, missing=MISSING, samples=1, n_steps=2, **CPU)
    b = denoise(with_filler(scan, filler), tiny_prior, noise=noise, missing=MISSING, samples=1, n_steps=2, **CPU)
    for name in ("output", "residual", "noise_map", "uncertainty"):
        assert np.array_equal(getattr(a, name).data, getattr(b, name).data), name
    assert np.array_equal(a.samples[0].data, b.samples[0].data)
    assert a.figures == b.figures


def test_rician_scans_and_maps_too(tiny_prior: Prior) -> None:
    clean = np.zeros((32, 32, 24), dtype=np.float32)
    clean[8:24, 8:24, 4:20] = 500
    data = add_rician(clean, 40.0, np.random.default_rng(0)).astype(np.float64)
    level = np.full(data.shape, 40.0)
    outputs = []
    for filler in (np.nan, -5000.0):
        data[:, :, MISSING] = filler
        level[:, :, MISSING] = np.inf if np.isnan(filler) else -1.0
        volume = Volume.from_array(data.copy(), (2, 2, 2))
        found = denoise(volume, tiny_prior, noise_std=volume.with_data(level.copy()), missing=MISSING, **CPU)
        assert found.figures["noise_kind"] == "rician"
        outputs.append(found.output.data)
    assert np.array_equal(*outputs)
    assert outputs[0].min() >= 0


def test_the_result_says_what_is_generated(result: Result, scan: Volume) -> None:
    hidden = np.isin(np.arange(scan.shape[2]), MISSING)
    assert result.noise_map is not None
    assert result.residual is not None
    assert result.uncertainty is not None
    assert np.array_equal(np.isinf(result.noise_map.data).all(axis=(0, 1)), hidden)
    assert np.isfinite(result.noise_map.data[:, :, ~hidden]).all()
    assert not result.residual.data[:, :, hidden].any()
    np.testing.assert_allclose(
        (result.output.data + result.residual.data)[:, :, ~hidden], scan.data[:, :, ~hidden], atol=1e-4
    )
    assert (result.uncertainty.data > 0).all()
    assert result.status == "denoised"
    assert result.figures["generated_slices"] == list(MISSING)
    assert "4 of 24 slices are generated, not measured: 3, 8, 9, 20 (counted from 0)." in result.warnings
    assert any("the samples differ less" in w for w in result.warnings)
    looked = math.ceil(result.figures["noise_refining_evaluations"])
    assert result.nfe == looked + 2 + len(ANNEALED_LEVELS) + (3 + 1)
    assert result.provenance["settings"]["missing"] == list(MISSING)
    for volume in (result.output, result.uncertainty, result.samples[0]):
        assert volume.shape == scan.shape
        assert np.array_equal(volume.affine_ras, scan.affine_ras)
        assert volume.data.dtype == np.float32
        assert np.isfinite(volume.data).all()


def test_measured_slices_come_out_as_if_they_were_the_whole_scan(tiny_prior: Prior, scan: Volume) -> None:
    """Every second slice missing: to a bit what the scan as it was acquired gives."""
    thick = Volume(scan.data[:, :, :13], AFFINE)
    fine, missing = insert_slices(thick, 1.8055)
    gapped = denoise(fine, tiny_prior, noise="gaussian", missing=missing, **CPU)
    alone = denoise(thick, tiny_prior, noise="gaussian", **CPU)
    assert np.array_equal(gapped.output.data[:, :, ::2], alone.output.data)
    assert gapped.figures["noise_std"] == alone.figures["noise_std"]


def test_nothing_missing_changes_nothing(tiny_prior: Prior, scan: Volume) -> None:
    a, b = (denoise(scan, tiny_prior, noise="gaussian", missing=m, **CPU) for m in ((), []))
    assert np.array_equal(a.output.data, b.output.data)
    assert "generated_slices" not in a.figures


def test_long_gaps_and_outer_slices_are_said(tiny_prior: Prior, scan: Volume) -> None:
    missing = (0, 1, 6, 7, 8, 9, 10, 23)
    said = denoise(scan, tiny_prior, noise="gaussian", noise_std=20.0, missing=missing, **CPU).warnings
    assert any(w.startswith("5 missing slices in a row: the filling was checked on gaps of up to 3") for w in said)
    assert any(w.startswith("3 of them lie outside the measured slices (2 to 22)") for w in said)


def test_impossible_gaps_are_refused(tiny_prior: Prior, scan: Volume) -> None:
    for missing, match in (((24,), "missing 24: must be slice numbers from 0 to 23"), ((-1,), "missing -1")):
        with pytest.raises(UsageError, match=match):
            denoise(scan, tiny_prior, missing=missing, **CPU)
    with pytest.raises(UsageError, match="must be whole numbers"):
        denoise(scan, tiny_prior, missing=[1.5], **CPU)  # type: ignore[list-item]
    for count in (23, 24):
        with pytest.raises(InputError, match=f"{count} of 24 slices are missing: at least two must be measured"):
            denoise(scan, tiny_prior, missing=range(count), **CPU)
    with pytest.raises(InputError, match="NaN"):
        denoise(with_filler(scan, np.nan), tiny_prior, missing=MISSING[1:], **CPU)


# The grid -------------------------------------------------------------------------------------------------------------


@given(st.integers(3, 9), st.sets(st.integers(0, 8), min_size=2), st.floats(-10, 10), st.floats(-10, 10))
def test_expanding_is_exact_on_straight_lines(n: int, kept: set[int], slope: float, start: float) -> None:
    """Between measured slices; outside of them the nearest is repeated."""
    kept = {i % n for i in kept}
    if len(kept) < 2:
        return
    gaps = Gaps(n, tuple(i for i in range(n) if i not in kept))
    line = start + slope * np.arange(n)
    expanded = gaps.expand(np.broadcast_to(line[sorted(kept)], (2, 3, len(kept))))
    expected = start + slope * np.clip(np.arange(n), min(kept), max(kept))
    np.testing.assert_allclose(expanded, np.broadcast_to(expected, (2, 3, n)), atol=1e-12)


@pytest.mark.parametrize(("spacing_mm", "k"), [(1.8, 2), (1.2, 3), (1.195, 3), (0.9, 4)])
def test_inserted_slices_leave_the_measured_ones_in_place(scan: Volume, spacing_mm: float, k: int) -> None:
    finer, missing = insert_slices(scan, spacing_mm)
    assert finer.shape == (32, 28, 23 * k + 1)
    assert missing == tuple(i for i in range(23 * k + 1) if i % k)
    assert np.array_equal(finer.data[:, :, ::k], scan.data)
    np.testing.assert_allclose(
        finer.data[:, :, 1], scan.data[:, :, 0] * (1 - 1 / k) + scan.data[:, :, 1] / k, rtol=1e-5
    )
    # The same voxel in mm from both grids; float64 rounding of coordinates of about 100 mm.
    corners = np.array([[x, y, z, 1] for x in (0, 31) for y in (0, 27) for z in (0, 23)]).T
    np.testing.assert_allclose(
        finer.affine_ras @ (corners * np.array([[1], [1], [k], [1]])), scan.affine_ras @ corners, atol=1e-12
    )
    assert (finer.name, finer.modality) == (scan.name, scan.modality)


def test_a_finer_grid_survives_its_file(tmp_path: Path) -> None:
    write_nifti(
        Volume(np.random.default_rng(0).integers(0, 99, (5, 6, 4)), AFFINE), tmp_path / "thick.nii", dtype="int16"
    )
    finer, _ = insert_slices(read_nifti(tmp_path / "thick.nii"), 1.2)
    write_nifti(finer, tmp_path / "fine.nii")
    # float32 of the header at coordinates of 20 mm
    np.testing.assert_allclose(read_nifti(tmp_path / "fine.nii").affine_ras, finer.affine_ras, atol=1e-5)


def test_grids_that_cannot_be_reached_name_those_that_can() -> None:
    thick = Volume.from_array(np.random.default_rng(0).random((6, 6, 5)), (1.0, 1.0, 6.5))
    with pytest.raises(
        UsageError, match=r"must lie on the new grid. The nearest possible spacings are 2\.167, 3\.25 mm"
    ):
        insert_slices(thick, 2.5)
    with pytest.raises(
        UsageError, match=r"must be finer than the slices are. Possible: 1\.083, 1\.3, 1\.625, 2\.167, 3\.25"
    ):
        insert_slices(thick, 6.5)
    with pytest.raises(UsageError, match="must not be finer than the voxels are wide"):
        insert_slices(thick, 0.5)
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(UsageError, match="must be a positive number of mm"):
            insert_slices(thick, bad)
    with pytest.raises(UsageError, match="no room"):
        insert_slices(Volume.from_array(thick.data), 0.5)
    with pytest.raises(GeometryError, match="the third axis, which must be the thickest"):
        insert_slices(Volume.from_array(thick.data, (5.0, 1.0, 1.0)), 0.5)


# The shipped prior ----------------------------------------------------------------------------------------------------


def test_general_beats_interpolation_on_an_unseen_patient(real_data: Callable[[str], Path]) -> None:
    """Every second slice of a hippocampus of val (python -m benchmarks.slices): at least 0.5 dB over linear."""
    folder = real_data("hippocampus")
    rows = [line.split("\t") for line in (folder / "participants.tsv").read_text().splitlines()]
    name = next(dict(zip(rows[0], row, strict=True))["case"] for row in rows[1:] if "val" in row)
    clean = read_nifti(folder / "images" / f"{name}.nii.gz")
    truth = clean.data.astype(np.float32)[:, :, :31]
    missing = tuple(range(1, 31, 2))
    filled = denoise(Volume.from_array(truth, clean.spacing_mm), missing=missing, noise="gaussian", device="cpu")
    linear = Gaps(31, missing).expand(truth[:, :, ::2])
    data_range = float(np.percentile(truth, 99.5) - np.percentile(truth, 0.5))
    hidden = list(missing)
    ours, theirs = (psnr(truth[:, :, hidden], x[:, :, hidden], data_range) for x in (filled.output.data, linear))
    assert ours > theirs + 0.5
