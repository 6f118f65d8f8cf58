"""4D scans: refused by naming the option, or every volume worked on and written as one file."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from medidiff.io import read_nifti
from medidiff.io.dicom.read import read_dicom
from medidiff.io.nifti_4d import read_frames

from .conftest import Run, make_scan

QUICK = ("--prior", "tiny", "--precision", "float32", "--device", "cpu")


def make_4d(path: Path, frames: int = 3, dtype: str = "int16") -> np.ndarray:
    path.parent.mkdir(exist_ok=True)
    data = np.random.default_rng(0).normal(300, 40, (12, 11, 10, frames))
    data[..., -1] += 100
    image = nib.Nifti1Image(data.astype(dtype), np.diag([2.0, 2.0, 3.0, 1.0]))  # pyright: ignore
    image.header["pixdim"][4] = 2.5
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)  # pyright: ignore
    return image.get_fdata().astype(np.float32)


@pytest.fixture
def dwi(tmp_path: Path) -> np.ndarray:
    (tmp_path / "dwi.bval").write_text("0 1000 1000\n")
    (tmp_path / "dwi.bvec").write_text("0 1 0\n0 0 1\n0 0 0\n")
    (tmp_path / "dwi.json").write_text(json.dumps({"EchoTime": 0.08, "PatientName": "DOE^JANE", "Modality": "MR"}))
    return make_4d(tmp_path / "dwi.nii.gz")


@pytest.mark.parametrize("verb", [("denoise", *QUICK), ("convert",)], ids=lambda verb: verb[0])
def test_refused_by_default_with_the_option_to_give(verb: tuple[str, ...], dwi: np.ndarray, run: Run) -> None:
    done = run(verb[0], "dwi.nii.gz", "-o", "o.nii.gz", *verb[1:])
    done.failed_cleanly(3, "4D, holds 3 volumes", "--4d each")
    run(*verb, "dwi.nii.gz", "-o", "o.nii.gz", "--4d", "some").failed_cleanly(2, "--4d some: must be error or each")


def test_converting_keeps_values_gradients_and_what_may_travel(dwi: np.ndarray, tmp_path: Path, run: Run) -> None:
    done = run("convert", "dwi.nii.gz", "-o", "out/", "--4d", "each")
    assert done.code == 0, done.err
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["dwi.bval", "dwi.bvec", "dwi.json", "dwi.nii.gz"]
    assert (tmp_path / "out" / "dwi.bvec").read_bytes() == (tmp_path / "dwi.bvec").read_bytes()
    image = nib.load(tmp_path / "out" / "dwi.nii.gz")  # pyright: ignore
    assert image.header.get_zooms()[3] == 2.5  # pyright: ignore
    assert image.get_data_dtype() == np.int16  # pyright: ignore
    for k, volume in enumerate(read_frames(tmp_path / "out" / "dwi.nii.gz")):
        np.testing.assert_array_equal(volume.data, dwi[..., k])
    record = json.loads((tmp_path / "out" / "dwi.json").read_text())
    assert record["EchoTime"] == 0.08
    assert {o["kind"] for o in record["outputs"]} == {"bval", "bvec", "output", "record"}
    assert "DOE" not in json.dumps(record)


def test_every_frame_is_denoised_as_if_alone(dwi: np.ndarray, tmp_path: Path, run: Run) -> None:
    args = ("--noise-std", 40, "--noise", "gaussian", "--save", "residual,noise-map", "--samples", 2, "--report")
    done = run("denoise", "dwi.nii.gz", "-o", "clean.nii.gz", "--4d", "each", *args, *QUICK, "--json")
    assert done.code == 0, done.err
    clean = list(read_frames(tmp_path / "clean.nii.gz"))
    residual = list(read_frames(tmp_path / "clean_residual.nii.gz"))
    assert len(clean) == len(residual) == len(list(read_frames(tmp_path / "clean_sample-2.nii.gz"))) == 3
    for k in range(3):  # exact: the residual is taken from the file that was written
        np.testing.assert_array_equal(residual[k].data, dwi[..., k] - clean[k].data)
    record = done.json["files"][0]["record"]
    assert len(record["result"]["figures"]["frames"]) == 3
    assert record["result"]["nfe"] == 3 * (2 + 2 * 21)
    assert len(record["result"]["provenance"]["input_data_sha256"]) == 3
    nib.save(nib.Nifti1Image(dwi[..., 1], np.diag([2.0, 2.0, 3.0, 1.0])), "one.nii.gz")  # pyright: ignore
    assert run("denoise", "one.nii.gz", "-o", "alone.nii.gz", "--modality", "MR", *args[:4], *QUICK).code == 0
    step = float(np.ptp([volume.data for volume in clean])) / 60000
    np.testing.assert_allclose(clean[1].data, read_nifti("alone.nii.gz").data, atol=step)


def test_gradients_that_do_not_fit_are_left_behind_with_a_warning(tmp_path: Path, run: Run) -> None:
    make_4d(tmp_path / "a.nii.gz")
    (tmp_path / "a.bval").write_text("0 1000\n")
    (tmp_path / "a.bvec").write_text("0 1\n0 0\n0 0\n")
    done = run("convert", "a.nii.gz", "-o", "out/", "--4d", "each")
    assert done.code == 0
    assert "the gradients were not carried along" in done.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.json", "a.nii.gz"]


def test_a_3d_scan_is_the_same_with_each(tmp_path: Path, run: Run, scan: Path) -> None:
    assert (
        run("convert", scan, "-o", "a.nii.gz").code == run("convert", scan, "-o", "b.nii.gz", "--4d", "each").code == 0
    )
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_4d_to_dicom_is_a_series_a_frame(dwi: np.ndarray, tmp_path: Path, run: Run) -> None:
    args = ("convert", "dwi.nii.gz", "-o", "out", "--format", "dicom")
    run(*args).failed_cleanly(3, "--4d each")
    done = run(*args, "--4d", "each")
    assert done.code == 0, done.err
    assert "not carried into DICOM" in done.err  # b-values
    folders = sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert [path.name for path in folders] == [f"dwi_frame-{k:03d}" for k in range(3)]
    images = [pydicom.dcmread(path / "00001.dcm") for path in folders]
    assert [image.SeriesNumber for image in images] == [1, 2, 3]
    assert len({image.SeriesInstanceUID for image in images}) == 3
    assert len({image.StudyInstanceUID for image in images}) == 1
    for k, folder in enumerate(folders):
        step = np.ptp(dwi[..., k]) / 60000
        volume, as_nifti = read_dicom(folder), nib.Nifti1Image(dwi[..., k], np.diag([2.0, 2.0, 3.0, 1.0]))  # pyright: ignore
        before = nib.as_closest_canonical(as_nifti).get_fdata()  # pyright: ignore
        after = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine_ras)).get_fdata()  # pyright: ignore
        np.testing.assert_allclose(after, before, atol=step)
    assert run(*args, "--4d", "each").out == "out: 3 skipped\n"


def test_a_4d_file_in_a_folder_does_not_stop_the_rest(dwi: np.ndarray, tmp_path: Path, run: Run) -> None:
    make_4d(tmp_path / "in" / "b.nii.gz")
    make_scan(tmp_path / "in" / "c.nii.gz")
    done = run("convert", "in", "-o", "out", "--format", "dicom", "--modality", "MR", "--json")
    assert (done.code, done.json["done"], done.json["failed"]) == (4, 1, 1)


def test_page_and_record_say_that_the_scan_is_4d(dwi: np.ndarray, tmp_path: Path, run: Run) -> None:
    args = ("--4d", "each", "--report", "--save", "residual", "--noise-std", 40, *QUICK)
    done = run("denoise", "dwi.nii.gz", "-o", "clean.nii.gz", *args)
    assert done.code == 0, done.err
    assert "denoise dwi.nii.gz: 12 x 11 x 10 x 3, prior tiny ..." in done.err.splitlines()
    page = Path("clean.html").read_text()
    assert "The pictures show the first one, frame 0." in page
    assert "12 x 11 x 10 voxels of 2 x 2 x 3 mm, 3 volumes" in page
    assert "{&#39;" not in page
    assert "frames.noise std" in page
    result = json.loads(Path("clean.json").read_text())["result"]
    assert result["output"]["shape"] == result["residual"]["shape"] == [12, 11, 10, 3]
    assert len(result["figures"]["frames"]) == 3
    assert run("convert", "dwi.nii.gz", "-o", "same.nii.gz", "--4d", "each").code == 0
    result = json.loads(Path("same.json").read_text())["result"]
    assert result["output"]["shape"] == [12, 11, 10, 3]
    assert result["figures"] == {}
