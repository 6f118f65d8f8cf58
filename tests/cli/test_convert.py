"""`medidiff convert` of NIfTI files: values and grid unchanged, DICOM that says what it must."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medidiff.io import read_nifti, write_nifti
from medidiff.volume import Volume

from .conftest import Run, make_scan


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_nifti_to_nifti_changes_nothing(name: str, tmp_path: Path, run: Run) -> None:
    make_scan(tmp_path / name)
    done = run("convert", name, "-o", "out/")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{Path('out')}/a.nii")
    before = read_nifti(name)
    after = read_nifti(next((tmp_path / "out").glob("a.nii*")))
    np.testing.assert_array_equal(before.data, after.data)
    np.testing.assert_array_equal(before.affine_ras, after.affine_ras)
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["status"] == "converted"
    assert record["request"]["prior"] == {}
    assert record["result"]["warnings"] == []


def test_nothing_is_said_of_a_prior_and_no_torch_is_loaded(scan: Path, tmp_path: Path, run: Run) -> None:
    done = run("convert", scan, "-o", "o.nii.gz", "--dry-run")
    assert done.out == f"{scan}: would be done, as o.nii.gz\n"
    program = (
        "import sys; from medidiff.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "sys.exit(3 if {'torch', 'highdicom'} & set(sys.modules) else 0)"
    )
    command = [sys.executable, "-c", program, "convert", str(scan), "-o", "o.nii.gz"]
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert (tmp_path / "o.nii.gz").exists()


def test_constant_scans_can_be_converted_though_not_denoised(tmp_path: Path, run: Run) -> None:
    write_nifti(Volume.from_array(np.full((4, 4, 4), 7, np.int16)), "mask.nii.gz")
    assert run("convert", "mask.nii.gz", "-o", "o.nii.gz").code == 0


def test_dicom_needs_to_know_the_modality(scan: Path, tmp_path: Path, run: Run) -> None:
    done = run("convert", scan, "-o", "out", "--format", "dicom")
    done.failed_cleanly(2, "MR or CT", "--modality")
    assert not (tmp_path / "out").exists()
    run("convert", scan, "-o", "o", "--format", "dicom", "--modality", "PT").failed_cleanly(2, "MR or CT")
    run("convert", scan, "-o", "o.nii.gz", "--format", "dicom", "--modality", "MR").failed_cleanly(2, "Give a folder")
    run("convert", scan, "-o", "o", "--format", "minc").failed_cleanly(2, "--format minc: must be same, nifti, dicom")
    (tmp_path / "scan.json").write_text('{"Modality": "MR"}')
    assert run("convert", scan, "-o", "out", "--format", "dicom").code == 0


def test_options_for_dicom_are_refused_for_nifti(scan: Path, run: Run) -> None:
    for option in (("--series", "3"), ("--resample-tilt",)):
        run("convert", scan, "-o", "o.nii.gz", *option).failed_cleanly(2, option[0], "is for DICOM")
    for option in (("--fill-gaps",), ("--target-spacing", "1")):
        run("convert", scan, "-o", "o.nii.gz", *option).failed_cleanly(2, "medidiff denoise")


def test_something_else_is_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    run("convert", "notes.txt", "-o", "o.nii.gz").failed_cleanly(2, "must be a NIfTI file")
    run("convert", "nothing", "-o", "o.nii.gz").failed_cleanly(3, "no such file")
