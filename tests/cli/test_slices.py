"""Slices that nobody measured, filled in and said to be generated; tilted gantries; time points."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medidiff.io import read_nifti
from medidiff.io.dicom.read import read_dicom
from medidiff.io.nifti_4d import read_frames

from .conftest import Run, make_scan
from .dicom_files import make_series

QUICK = ("--prior", "tiny", "--precision", "float32", "--device", "cpu")
LEVEL = ("--noise-std", "30")


def synthetic(folder: Path) -> list[str]:
    return [str(pydicom.dcmread(path).get("SyntheticData")) for path in sorted(folder.glob("*.dcm"))]


def test_a_gap_is_refused_then_filled_and_flagged(tmp_path: Path, run: Run) -> None:
    series = make_series(tmp_path / "dicom", missing=(4,))
    run("denoise", "dicom", "-o", "out", *QUICK).failed_cleanly(7, "--fill-gaps")
    run("convert", "dicom", "-o", "out").failed_cleanly(7)
    done = run("denoise", "dicom", "-o", "out", "--fill-gaps", "--save", "residual,noise-map", "--json", *LEVEL, *QUICK)
    assert done.code == 0, done.err
    record = done.json["files"][0]["record"]
    assert record["generated_slices"] == [4]
    assert record["request"]["settings"]["fill_gaps"] is True
    assert any("1 of 10 slices are generated" in text for text in record["result"]["warnings"])
    stem = record["input"]
    assert synthetic(tmp_path / "out" / stem) == ["NO"] * 4 + ["YES"] + ["NO"] * 5
    noise_map = read_nifti(tmp_path / "out" / f"{stem}_noise-map.nii.gz", None, finite=False).data
    assert np.isinf(noise_map[:, :, 4]).all()
    assert np.isfinite(np.delete(noise_map, 4, axis=2)).all()
    residual = read_nifti(tmp_path / "out" / f"{stem}_residual.nii.gz").data
    assert not residual[:, :, 4].any()
    written = read_dicom(tmp_path / "out" / stem).data
    rest = [0, 1, 2, 3, 5, 6, 7, 8, 9]
    np.testing.assert_array_equal(residual[:, :, rest], (series - written)[:, :, rest])
    told = run("denoise", "dicom", "-o", "a.nii.gz", "--fill-gaps", *LEVEL, *QUICK)
    assert "1 of 10 slices generated, not measured" in told.out
    dry = run("denoise", "dicom", "-o", "b.nii.gz", "--fill-gaps", "--dry-run", "--json", *LEVEL, *QUICK).json["files"][
        0
    ]
    assert any("slices are generated" in text for text in dry["warnings"])


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_thick_slices_on_a_finer_grid(form: str, tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom", step_mm=5.0)
    args = ("denoise", "dicom", "-o", "out", "--format", form, "--target-spacing", 2.5, "--json", *LEVEL, *QUICK)
    done = run(*args)
    assert done.code == 0, done.err
    record = done.json["files"][0]["record"]
    assert record["generated_slices"] == list(range(1, 19, 2))
    assert any("thick slice" in text for text in record["result"]["warnings"])
    if form == "dicom":
        volume = read_dicom(tmp_path / "out" / record["input"])
        assert synthetic(tmp_path / "out" / record["input"]) == ["NO", "YES"] * 9 + ["NO"]
        images = [pydicom.dcmread(path) for path in sorted((tmp_path / "out" / record["input"]).iterdir())]
        assert [image.SliceThickness for image in images] == [5, None] * 9 + [5]
        told = ["This slice was generated" in image.DerivationDescription for image in images]
        assert told == [False, True] * 9 + [False]
    else:
        volume = read_nifti(tmp_path / "out" / f"{record['input']}.nii.gz")
    assert volume.shape == (14, 12, 19)
    np.testing.assert_allclose(volume.spacing_mm, (1.25, 1.5, 2.5), rtol=1e-5)
    run("denoise", "dicom", "-o", "o", "--target-spacing", 2, *QUICK).failed_cleanly(7, "--target-spacing 2 mm")
    run("denoise", "dicom", "-o", "o", "--target-spacing", -2, *QUICK).failed_cleanly(2, "--target-spacing -2")


def test_a_gap_among_thick_slices(tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom", step_mm=5.0, missing=(4,))
    args = ("--fill-gaps", "--target-spacing", 2.5, "--dry-run")
    run("denoise", "dicom", "-o", "out", *args[1:], *QUICK).failed_cleanly(7, "--fill-gaps")
    done = run("denoise", "dicom", "-o", "out", *args[:3], "--json", *LEVEL, *QUICK)
    assert done.code == 0, done.err
    assert done.json["files"][0]["record"]["generated_slices"] == sorted([*range(1, 19, 2), 8])


def test_thick_slices_of_nifti(tmp_path: Path, run: Run) -> None:
    make_scan(tmp_path / "scan.nii.gz")  # 1.5 x 1 x 2 mm
    assert run("denoise", "scan.nii.gz", "-o", "fine.nii.gz", "--target-spacing", 1, *QUICK).code == 0
    assert read_nifti("fine.nii.gz").shape == (17, 16, 39)
    args = ("-o", "out", "--format", "dicom", "--modality", "MR", "--target-spacing", 1)
    assert run("denoise", "scan.nii.gz", *args, *QUICK).code == 0
    images = [pydicom.dcmread(path) for path in sorted((tmp_path / "out" / "scan").iterdir())]
    assert {image.SliceThickness for image in images} == {None}  # a NIfTI file does not say
    told = ["This slice was generated" in image.DerivationDescription for image in images]
    assert told == [False, True] * 19 + [False]


def test_a_tilted_gantry_is_refused_or_resampled(tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom", tilt_deg=15.0)
    run("convert", "dicom", "-o", "scan.nii.gz").failed_cleanly(7, "15", "--resample-tilt")
    done = run("convert", "dicom", "-o", "scan.nii.gz", "--resample-tilt", "--json")
    assert done.code == 0, done.err
    record = done.json["files"][0]["record"]
    assert record["request"]["settings"]["resample_tilt"] is True
    assert any("gantry tilt of 15.0 degrees" in text for text in record["result"]["warnings"])
    axes = read_nifti("scan.nii.gz").affine_ras[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.diag(np.diag(axes.T @ axes)), atol=1e-4)
    done = run("denoise", "dicom", "-o", "out", "--resample-tilt", "--json", *LEVEL, *QUICK)
    assert done.code == 0, done.err
    written = read_dicom(tmp_path / "out" / done.json["files"][0]["record"]["input"])
    np.testing.assert_allclose(written.affine_ras, read_nifti("scan.nii.gz").affine_ras, atol=1e-3)


def test_padding_is_not_said_to_be_generated(tmp_path: Path, run: Run) -> None:
    values = make_series(tmp_path / "dicom", PixelPaddingValue=-2000)
    for path in (tmp_path / "dicom").iterdir():
        image = pydicom.dcmread(path)
        pixels = image.pixel_array.copy()
        pixels[:2, :] = -2000
        image.PixelData = pixels.tobytes()
        image.save_as(path)
    assert values.shape == (14, 12, 10)
    done = run("denoise", "dicom", "-o", "out", "--json", *LEVEL, *QUICK)
    assert done.code == 0, done.err
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    image = pydicom.dcmread(folder / "00003.dcm")
    assert image.get("SyntheticData") in (None, "NO")
    assert "generated" not in image.DerivationDescription


@pytest.fixture
def times(tmp_path: Path) -> list[np.ndarray]:
    """One MR series of eleven time points: "10" does not come before "2"."""
    frames = []
    for k in range(11):
        tags = {"TemporalPositionIdentifier": k + 1, "NumberOfTemporalPositions": 11, "SeriesInstanceUID": "1.2.3.4"}
        frames.append(make_series(tmp_path / "dicom" / str(k), modality="MR", slices=6, seed=k, **tags))
    return frames


def test_time_points_are_one_4d_scan(times: list[np.ndarray], tmp_path: Path, run: Run) -> None:
    done = run("convert", "dicom", "-o", "out")
    done.failed_cleanly(3, "4D, holds 11 volumes", "--4d each")
    done = run("convert", "dicom", "-o", "scan.nii.gz", "--4d", "each")
    assert done.code == 0, done.err
    for volume, frame in zip(read_frames("scan.nii.gz"), times, strict=True):
        np.testing.assert_array_equal(volume.data, frame)
    done = run("denoise", "dicom", "-o", "out", "--4d", "each", "--json", *LEVEL, *QUICK)
    assert (done.code, done.json["done"]) == (0, 11), done.err
    folders = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert len({pydicom.dcmread(path / "00001.dcm").SeriesInstanceUID for path in folders}) == 11
    assert len({pydicom.dcmread(path / "00001.dcm").SeriesNumber for path in folders}) == 11


@pytest.mark.slow
def test_real_mr_to_dicom_and_back(real_data: Callable[[str], Path], tmp_path: Path, run: Run) -> None:
    source = real_data("dicom") / "brain_tumor" / "36468-FLAIRreg-58706"
    assert run("convert", source, "-o", "scan.nii.gz").code == 0
    done = run("denoise", source, "-o", "out", "--save", "residual", "--noise-std", 20, "--json", *QUICK)
    assert done.code == 0, done.err
    stem = done.json["files"][0]["record"]["input"]
    before, after = read_nifti("scan.nii.gz"), read_dicom(tmp_path / "out" / stem)
    np.testing.assert_allclose(after.affine_ras, before.affine_ras, atol=1e-4)
    residual = read_nifti(tmp_path / "out" / f"{stem}_residual.nii.gz")
    np.testing.assert_allclose(residual.data + after.data, before.data, atol=1e-2)
    again = run("denoise", "scan.nii.gz", "-o", "clean.nii.gz", "--noise-std", 20, "--modality", "MR", *QUICK)
    assert again.code == 0, again.err
    np.testing.assert_allclose(read_nifti("clean.nii.gz").data, after.data, atol=20 / 10)
    assert json.loads(Path("scan.json").read_text())["Modality"] == "MR"
