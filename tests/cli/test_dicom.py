"""DICOM in and out through the commands: the right volume or a question, the right numbers at the right place."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medidiff.io import read_nifti, write_nifti
from medidiff.io.dicom.read import read_dicom
from medidiff.tasks.known_noise import Told, find_noise
from medidiff.volume import Volume

from .conftest import Run, make_scan
from .dicom_files import NAME, NUMBER, make_series

QUICK = ("--prior", "tiny", "--precision", "float32", "--device", "cpu")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def series(tmp_path: Path) -> np.ndarray:
    return make_series(tmp_path / "dicom" / "a")


def test_convert_gives_the_files_integers_in_their_place(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    done = run("convert", "dicom", "-o", "scan.nii.gz")
    assert done.code == 0, done.err
    volume = read_nifti("scan.nii.gz")
    np.testing.assert_array_equal(volume.data, series)
    expected = np.diag([-1.25, -1.5, 2.0, 1.0])  # columns lie 1.25 mm apart; LPS to RAS
    expected[:3, 3] = (10.0, 20.0, 30.0)
    np.testing.assert_allclose(volume.affine_ras, expected, atol=1e-6)
    assert volume.header is not None
    assert (volume.header.dtype, volume.header.slope, volume.header.inter) == ("int16", 1.0, -1024.0)
    record = json.loads(Path("scan.json").read_text())
    assert (record["KVP"], record["Manufacturer"], record["Modality"]) == (120, "Siemens", "CT")


def test_a_slope_for_each_slice_becomes_float32(tmp_path: Path, run: Run) -> None:
    slopes = tuple(1.0 + 0.25 * k for k in range(10))
    stored = make_series(tmp_path / "dicom", RescaleSlope=slopes) + 1024
    assert run("convert", "dicom", "-o", "scan.nii.gz").code == 0
    volume = read_nifti("scan.nii.gz")
    np.testing.assert_allclose(volume.data, stored * slopes - 1024, rtol=1e-6)
    assert volume.header is not None
    assert volume.header.dtype == "float32"


def test_several_volumes_are_listed_and_never_guessed(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom" / "b", number=4, modality="MR", seed=1)
    done = run("convert", "dicom", "-o", "out")
    done.failed_cleanly(2, "holds 2 DICOM volumes", "--series", "--all", "series 3  10 slices", "MR  series 4")
    ids = [line.split()[0] for line in done.err.splitlines() if line.startswith("  ")]
    uid = pydicom.dcmread(tmp_path / "dicom" / "a" / "IM0000.dcm").SeriesInstanceUID
    for chosen in (ids[0], "3", uid):
        assert run("convert", "dicom", "-o", "scan.nii.gz", "--series", chosen, "--overwrite").code == 0
        np.testing.assert_array_equal(read_nifti("scan.nii.gz").data, series)
    run("convert", "dicom", "-o", "out", "--series", "9").failed_cleanly(2, "--series 9", ids[1])
    run("convert", "dicom", "-o", "out", "--series", "3", "--all").failed_cleanly(2, "give one of them")
    run("convert", "dicom", "-o", "a.nii.gz", "--all").failed_cleanly(2, "must be one too")
    done = run("convert", "dicom", "-o", "out", "--all", "--json")
    assert (done.code, done.json["done"]) == (0, 2)
    assert len([name for name in names(tmp_path / "out") if name.endswith(".nii.gz")]) == 2
    assert run("convert", "dicom", "-o", "out", "--all").out == "out: 2 skipped\n"


def test_what_is_no_volume_is_skipped_and_what_is_broken_is_failed(
    series: np.ndarray, tmp_path: Path, run: Run
) -> None:
    make_series(tmp_path / "dicom" / "one", number=5, slices=1)
    done = run("convert", "dicom", "-o", "out", "--json")
    assert (done.code, done.json["status"], done.json["done"], done.json["skipped"]) == (0, "done", 1, 1)
    assert done.json["files"][0]["reason"]
    assert "skipped" in done.err
    make_series(tmp_path / "dicom" / "gap", number=6, missing=(4,), seed=2)
    run("convert", "dicom", "-o", "out2").failed_cleanly(2, "refused", "series 6")
    done = run("convert", "dicom", "-o", "out2", "--all", "--json")
    assert (done.code, done.json["status"], done.json["done"], done.json["failed"]) == (4, "partly done", 1, 1)
    assert next(f for f in done.json["files"] if f["status"] == "failed")["exit_code"] == 7
    shutil.rmtree(tmp_path / "dicom" / "a")
    run("convert", "dicom", "-o", "out3").failed_cleanly(7, "series-006")
    run("convert", "dicom", "-o", "out3", "--all").failed_cleanly(7, "failed: series-006", "1 of 1 scan failed")
    shutil.rmtree(tmp_path / "dicom" / "gap")
    run("convert", "dicom", "-o", "out3").failed_cleanly(3, "no DICOM volume")


def test_a_damaged_file_beside_a_volume_is_refused(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    last = tmp_path / "dicom" / "a" / "IM0009.dcm"
    last.write_bytes(last.read_bytes()[:700])
    # The last slice leaves no gap.
    for more in ((), ("--series", "3"), ("--all",)):
        done = run("convert", "dicom", "-o", "out", *more)
        assert done.code == 3, done.err
        assert "IM0009" in done.err
    for path in (tmp_path / "dicom" / "a").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    run("convert", "dicom", "-o", "o.nii.gz").failed_cleanly(3, "damaged")


def test_denoised_dicom_is_a_derived_series_of_the_same_study(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    args = ("--noise-std", 30, "--save", "residual", "--report", *QUICK)
    done = run("denoise", "dicom", "-o", "out", "--json", *args)
    assert done.code == 0, done.err
    assert done.err.count("keep the patient's identity") == 1
    record = done.json["files"][0]["record"]
    stem = record["input"]
    assert names(tmp_path / "out") == [stem, f"{stem}.html", f"{stem}.json", f"{stem}_residual.nii.gz"]
    assert names(tmp_path / "out" / stem) == [f"{k:05d}.dcm" for k in range(1, 11)]
    before = pydicom.dcmread(tmp_path / "dicom" / "a" / "IM0000.dcm")
    after = pydicom.dcmread(tmp_path / "out" / stem / "00001.dcm")
    assert after.StudyInstanceUID == before.StudyInstanceUID
    assert after.SeriesInstanceUID != before.SeriesInstanceUID
    assert (after.PatientName, after.PatientID) == (NAME, NUMBER)
    assert after.ImageType[0] == "DERIVED"
    assert after.SOPClassUID == before.SOPClassUID
    assert run("denoise", "dicom", "-o", "clean.nii.gz", *args).code == 0
    written, nifti = read_dicom(tmp_path / "out" / stem), read_nifti("clean.nii.gz")
    np.testing.assert_allclose(written.affine_ras, nifti.affine_ras, atol=1e-4)
    np.testing.assert_allclose(written.data, nifti.data, atol=30 / 4)  # a quarter of the noise
    residual = read_nifti(tmp_path / "out" / f"{stem}_residual.nii.gz")
    np.testing.assert_array_equal(residual.data, series - written.data)


def test_running_again_makes_the_same_objects(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    args = ("denoise", "dicom", "--noise-std", 30, *QUICK)
    assert run(*args, "-o", "a").code == run(*args, "-o", "b").code == 0
    (folder,) = [path for path in (tmp_path / "a").iterdir() if path.is_dir()]
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "b" / folder.name / path.name).read_bytes()
    run(*args, "-o", "a").failed_cleanly(2, "--overwrite")
    assert run(*args, "-o", "a", "--overwrite").code == 0
    run(*args, "-o", "a", "--all", "--seed", 1).failed_cleanly(2, "--seed was 0, is 1")
    assert run(*args, "-o", "a", "--all").out == "a: 1 skipped\n"
    next(folder.iterdir()).unlink()
    assert run(*args, "-o", "a", "--all").out == "a: 1 done\n"


def test_a_folder_of_others_is_never_replaced(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    args = ("convert", "dicom", "-o", "a", "--format", "dicom", "--overwrite")
    assert run(*args).code == 0
    (folder,) = [path for path in (tmp_path / "a").iterdir() if path.is_dir()]
    (tmp_path / "a" / f"{folder.name}.json").unlink()
    (folder / "mine.txt").write_text("mine")
    run(*args).failed_cleanly(2, "never replaced")
    assert (folder / "mine.txt").exists()


def test_overwriting_dicom_with_nifti_leaves_no_series_without_a_record(
    series: np.ndarray, tmp_path: Path, run: Run
) -> None:
    for form, left in (("dicom", 2), ("nifti", 2), ("dicom", 2)):
        assert run("convert", "dicom", "-o", "a", "--format", form, "--overwrite").code == 0
        assert len(names(tmp_path / "a")) == left, names(tmp_path / "a")


def test_a_full_disk_leaves_nothing_of_a_series(
    series: np.ndarray, tmp_path: Path, run: Run, mounted: Callable[..., Path]
) -> None:
    folder = mounted(size="16k")
    done = run("convert", "dicom", "-o", folder, "--format", "dicom")
    done.failed_cleanly(5, str(folder))
    assert ".partial" not in done.err
    assert list(folder.iterdir()) == []


def test_outputs_do_not_go_into_the_input(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    run("denoise", "dicom", "-o", "dicom/out", *QUICK).failed_cleanly(2, "inside the input folder")
    run("convert", "dicom", "-o", "dicom").failed_cleanly(2, "input folder")
    make_scan(tmp_path / "dicom" / "scan.nii.gz")
    run("convert", "dicom", "-o", "out").failed_cleanly(2, "1 NIfTI file and DICOM", "of their own")


def test_a_zip_and_a_single_series_folder_are_the_same(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    with zipfile.ZipFile(tmp_path / "dicom.zip", "w") as archive:
        for path in (tmp_path / "dicom" / "a").iterdir():
            archive.write(path, f"somebody/{path.stem}")
    for source in ("dicom.zip", "dicom"):
        assert run("convert", source, "-o", f"{source}.nii.gz").code == 0
    assert (tmp_path / "dicom.nii.gz").read_bytes() == (tmp_path / "dicom.zip.nii.gz").read_bytes()
    hashes = {
        json.loads(Path(name).read_text())["request"]["input_file_sha256"] for name in ("dicom.json", "dicom.zip.json")
    }
    assert len(hashes) == 1


def test_ct_is_never_rician_and_a_modality_the_prior_has_not_seen_is_told(
    series: np.ndarray, tmp_path: Path, run: Run
) -> None:
    scan = Volume.from_array(np.abs(series))
    for modality, kind, expected in (("CT", "auto", "gaussian"), ("CT", "rician", "rician"), ("", "rician", "rician")):
        known = find_noise(replace(scan, modality=modality), scan.data, Told(kind, 20.0, correlated="no"))
        assert known.kind == expected  # what the person says holds
    done = run("denoise", "dicom", "-o", "out", "--json", "--noise-std", 30, *QUICK)
    result = done.json["files"][0]["record"]["result"]
    assert result["figures"]["noise_kind"] == "gaussian"
    assert result["figures"]["noise_kind_because"].startswith("CT")
    assert any("tiny has seen no CT" in text for text in result["warnings"])
    dry = run("denoise", "dicom", "-o", "out2", "--json", "--dry-run", "--noise-std", 30, *QUICK).json["files"][0]
    assert any("tiny has seen no CT" in text for text in dry["warnings"])
    run("denoise", "dicom", "-o", "o", "--modality", "MR", *QUICK).failed_cleanly(2, "is CT by its own header")


def test_a_nifti_scan_goes_back_into_the_study_it_came_from(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    assert run("convert", "dicom", "-o", "scan.nii.gz").code == 0
    volume = read_nifti("scan.nii.gz")
    write_nifti(volume.with_data(volume.data * 0.5), "half.nii.gz", "float32")
    done = run("convert", "half.nii.gz", "-o", "back", "--format", "dicom", "--like", "dicom", "--modality", "CT")
    assert done.code == 0, done.err
    assert "keep the patient's identity" in done.err
    written = read_dicom(tmp_path / "back" / "half")
    np.testing.assert_allclose(written.data, volume.data * 0.5, atol=0.02)
    np.testing.assert_allclose(written.affine_ras, volume.affine_ras, atol=1e-4)
    assert pydicom.dcmread(tmp_path / "back" / "half" / "00001.dcm").PatientID == NUMBER
    run("convert", "dicom", "-o", "o", "--like", "dicom").failed_cleanly(2, "--like")
    alone = run("convert", "half.nii.gz", "-o", "alone", "--format", "dicom", "--modality", "CT")
    assert alone.code == 0, alone.err
    assert "identity" not in alone.err
    assert NUMBER not in str(pydicom.dcmread(tmp_path / "alone" / "half" / "00001.dcm"))


def test_no_series_is_filed_beside_one_that_it_does_not_come_from(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom" / "b", number=4, shape=(9, 11), step_mm=3.0)
    assert run("convert", "dicom", "-o", "scan.nii.gz", "--series", "3").code == 0
    args = ("convert", "scan.nii.gz", "-o", "back", "--format", "dicom", "--modality", "CT", "--like", "dicom")
    run(*args).failed_cleanly(2, "--like dicom: holds 2 DICOM volumes. --series ID takes one:")
    for more in ((), ("--dry-run",)):
        done = run(*args, "--series", "4", *more)
        done.failed_cleanly(7, "14 x 12 x 10 voxels of 1.25 x 1.5 x 2 mm here, 9 x 11 x 10 voxels")
    assert not (tmp_path / "back").exists()
    volume = read_nifti("scan.nii.gz")
    moved = volume.affine_ras.copy()
    moved[0, 3] += 0.1
    write_nifti(Volume(volume.data, moved), "moved.nii.gz", "float32")
    run("convert", "moved.nii.gz", *args[2:], "--series", "3").failed_cleanly(7, "at another place")
    turned = Volume(volume.data[::-1].transpose(2, 0, 1), volume.affine_ras @ _turn(volume.shape[0]))
    write_nifti(turned, "turned.nii.gz", "float32")
    done = run("convert", "turned.nii.gz", *args[2:], "--series", "3")
    assert done.code == 0, done.err
    assert "note: filed beside p-" in done.err
    images = [pydicom.dcmread(path) for path in sorted((tmp_path / "back" / "turned").iterdir())]
    assert not any("DerivationCodeSequence" in image for image in images)  # nothing was resampled
    np.testing.assert_allclose(read_dicom(tmp_path / "back" / "turned").data, volume.data, atol=0.02)
    run(*args[:-2], "--like", "nowhere").failed_cleanly(3, "--like nowhere")
    run("convert", "scan.nii.gz", "-o", "o.nii.gz", "--series", "3").failed_cleanly(2, "--series: is for DICOM")


def _turn(columns: int) -> np.ndarray:
    """New axes (z, -x, y) to old ones."""
    matrix = np.zeros((4, 4))
    matrix[2, 0] = matrix[1, 2] = matrix[3, 3] = 1
    matrix[0, 1], matrix[0, 3] = -1, columns - 1
    return matrix


def test_scans_of_one_run_get_numbers_of_their_own(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom" / "b", number=302, seed=2)
    for name in ("x", "y"):
        assert run("convert", "dicom", "-o", f"in/{name}.nii.gz", "--series", "3").code == 0
    args = ("--format", "dicom", "--like", "dicom", "--series", "3", "--modality", "CT")
    assert run("convert", "in", "-o", "back", *args).code == 0
    first = [pydicom.dcmread(tmp_path / "back" / name / "00001.dcm") for name in ("x", "y")]
    assert [image.SeriesNumber for image in first] == [301, 303]
    done = run("convert", "in", "-o", "back", *args[:4], "--series", "302", *args[6:])
    done.failed_cleanly(2, "--like was")
    plain = run("convert", "in/x.nii.gz", "-o", "alone", "--format", "dicom", "--modality", "CT")
    assert plain.code == 0
    assert "DerivationCodeSequence" not in pydicom.dcmread(tmp_path / "alone" / "x" / "00001.dcm")


def test_dicom_output_is_a_folder_and_options_are_not_ignored(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    for name in ("zz.txt", "zy.dcm", "zx.nii"):
        run("convert", "dicom", "-o", name, "--format", "dicom").failed_cleanly(2, f"-o {name}", "older")
    assert run("convert", "dicom", "-o", "my.study", "--format", "dicom").code == 0
    (tmp_path / "in").mkdir()
    make_scan(tmp_path / "in" / "scan.nii.gz")
    for source in ("in", "in/scan.nii.gz"):
        run("convert", source, "-o", "out/", "--all").failed_cleanly(2, "--all: is for DICOM")
    make_series(tmp_path / "mr", number=5, modality="MR")
    done = run("convert", "mr", "-o", "o", "--modality", "CT")
    done.failed_cleanly(2, "_005_MR_", "is MR by its own header")
    make_series(tmp_path / "one", slices=1)
    done = run("convert", "one", "-o", "o")
    done.failed_cleanly(3, "one: no DICOM volume in it. What is there: One image, not a volume. 1 file was looked at")


def test_a_disc(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    done = run("convert", "dicom", "-o", "out", "--format", "dicom", "--dicomdir")
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "disc" / "DICOMDIR").is_file()
    assert run("convert", "out/disc", "-o", "back.nii.gz").code == 0
    np.testing.assert_array_equal(read_nifti("back.nii.gz").data, series)
    run("convert", "dicom", "-o", "x.nii.gz", "--dicomdir").failed_cleanly(2, "--dicomdir")


def test_inpainting_dicom(series: np.ndarray, tmp_path: Path, run: Run) -> None:
    assert run("convert", "dicom", "-o", "scan.nii.gz").code == 0
    volume = read_nifti("scan.nii.gz")
    hole = np.zeros(volume.shape, np.uint8)
    hole[4:8, 4:8, 3:6] = 1
    write_nifti(volume.with_data(hole), "hole.nii.gz", "uint8")
    done = run("inpaint", "dicom", "-o", "out", "--mask", "hole.nii.gz", "--json", *QUICK)
    assert done.code == 0, done.err
    written = read_dicom(tmp_path / "out" / done.json["files"][0]["record"]["input"])
    step = np.ptp(written.data) / 60000
    np.testing.assert_allclose(written.data[hole == 0], series[hole == 0], atol=step)
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    told = [pydicom.dcmread(folder / f"{k:05d}.dcm").get("SyntheticData") for k in range(1, 11)]
    assert told == ["NO"] * 3 + ["YES"] * 3 + ["NO"] * 4


def test_deidentify_means_dicom_and_pseudonyms(series: np.ndarray, run: Run) -> None:
    assert run("convert", "dicom", "-o", "x.nii.gz", "--deidentify").code == 0  # nothing of a patient is in it anyway
    run("convert", "x.nii.gz", "-o", "y.nii.gz", "--deidentify").failed_cleanly(2, "--deidentify: is for DICOM")
    args = ("convert", "dicom", "-o", "out", "--format", "dicom", "--deidentify", "--keep-ids")
    run(*args).failed_cleanly(2, "--keep-ids")


def test_two_hospitals_with_one_number_are_two_patients(tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom" / "a", IssuerOfPatientID="North")
    make_series(tmp_path / "dicom" / "b", number=4, study="2", IssuerOfPatientID="South")
    done = run("convert", "dicom", "-o", "out", "--all", "--json")
    assert done.code == 0, done.err
    assert len({Path(entry["output"]).name.split("_")[0] for entry in done.json["files"]}) == 2


def test_a_series_that_was_deidentified_here_stays_the_same_person(
    series: np.ndarray, tmp_path: Path, run: Run
) -> None:
    for source, out in (("dicom", "once"), ("once", "twice")):
        done = run("convert", source, "-o", out, "--format", "dicom", "--deidentify")
        assert done.code == 0, done.err
    ids = {pydicom.dcmread(path).PatientID for out in ("once", "twice") for path in (tmp_path / out).rglob("*.dcm")}
    assert len(ids) == 1
    assert NUMBER not in ids
