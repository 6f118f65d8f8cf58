"""`medidiff insert` from end to end: image, label map and record; NIfTI and DICOM; what is refused."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medidiff.io import read_nifti, write_nifti
from medidiff.prior import Prior

from ..tasks.random_priors import random_prior
from .conftest import Run, make_scan
from .dicom_files import make_series

CPU = ("--device", "cpu", "--precision", "float32", "--steps", "3")


@pytest.fixture
def joint(tmp_path: Path, tiny_prior: Prior) -> Path:
    random_prior(tiny_prior, ("image", "mask:1", "mask:2")).save(tmp_path / "joint.safetensors")
    return tmp_path / "joint.safetensors"


def test_image_label_and_record(scan: Path, joint: Path, tmp_path: Path, run: Run) -> None:
    place = ("--at", "0,-1,20", "--size-mm", "12")
    cond = ("--cond", "volume_ml=p0:p5", "--cond", "kind=knee", "--seed", 4)
    done = run("insert", scan, *place, "-p", joint, *cond, "-o", "out.nii.gz", "--report", *CPU, "--json")
    assert done.code == 0, done.err
    before, after, label = (read_nifti(tmp_path / name) for name in ("scan.nii.gz", "out.nii.gz", "out_label.nii.gz"))
    indices = np.argwhere(np.ones(before.shape)) @ before.affine_ras[:3, :3].T + before.affine_ras[:3, 3]
    inside = (np.linalg.norm(indices - [0, -1, 20], axis=1) <= 6).reshape(before.shape)
    assert np.array_equal(after.data[~inside], before.data[~inside])
    assert (after.data[inside] != before.data[inside]).mean() > 0.9
    for volume in (after, label):
        assert volume.header is not None
        assert volume.header.descrip.startswith("SYNTHETIC in part, see its JSON; medidiff")
    assert set(np.unique(label.data)) <= {0, 1, 2}
    assert 0 < (label.data > 0).sum() <= inside.sum()
    assert not label.data[~inside].any()
    np.testing.assert_allclose(label.affine_ras, before.affine_ras)
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["result"]["provenance"]["synthetic_content"]
    assert record["result"]["figures"]["inserted_voxels"] == inside.sum()
    asked = record["result"]["figures"]["conditions"][0]
    assert asked["kind"] == "knee"
    assert record["result"]["masks"][0]["file"] == "out_label.nii.gz"
    assert {"kind": "label", "file": "out_label.nii.gz"} in record["outputs"]
    assert (tmp_path / "out.html").is_file()
    voxel = np.linalg.solve(before.affine_ras, [0, -1, 20, 1])[:3]
    by_voxel = ("--at-voxel", ",".join(map(str, voxel)), "--size-mm", "12")
    again = run("insert", scan, *by_voxel, "-p", joint, *cond, "-o", "again.nii.gz", *CPU)
    assert again.code == 0, again.err
    assert np.array_equal(read_nifti(tmp_path / "again.nii.gz").data, after.data)


def test_several_samples_have_their_labels(scan: Path, joint: Path, tmp_path: Path, run: Run) -> None:
    volume = read_nifti(scan)
    region = np.zeros(volume.shape, dtype=np.uint8)
    region[5:12, 5:12, 5:12] = 1
    write_nifti(volume.with_data(region), tmp_path / "m.nii.gz", "uint8")
    more = ("--samples", 2, "--no-paste", "--noise-std", 40, "--guidance", 2, "--guidance-interval", "0.1:5")
    done = run("insert", scan, "--mask", "m.nii.gz", "-p", joint, "--cond", "kind=head", *more, "-o", "o.nii.gz", *CPU)
    assert done.code == 0, done.err
    first, second = (read_nifti(tmp_path / f"o_label-{k}.nii.gz").data for k in (1, 2))
    assert np.array_equal(read_nifti(tmp_path / "o_label.nii.gz").data, first)
    assert not np.array_equal(first, second)
    assert np.array_equal(read_nifti(tmp_path / "o_sample-1.nii.gz").data, read_nifti(tmp_path / "o.nii.gz").data)


def test_dicom_says_that_content_is_synthetic(tmp_path: Path, run: Run) -> None:
    make_series(tmp_path / "dicom")
    run("convert", "dicom", "-o", "scan.nii.gz")
    volume = read_nifti(tmp_path / "scan.nii.gz")
    centre = ",".join(str((n - 1) / 2) for n in volume.shape)
    place = ("--at-voxel", centre, "--size-mm", 3 * max(volume.spacing_mm), "--noise-std", 5)
    done = run("insert", "dicom", *place, "-p", "tiny", "-o", "new", *CPU)
    assert done.code == 0, done.err
    files = [pydicom.dcmread(path) for path in (tmp_path / "new").rglob("*.dcm")]
    said = {file.get("SyntheticData") for file in files}
    assert said == {"YES", "NO"}  # slice by slice: those that the region touches
    assert all("synthetic" in file.DerivationDescription for file in files)
    (label,) = (tmp_path / "new").glob("*_label.nii.gz")
    assert read_nifti(label).data.max() == 1


def test_what_is_refused_before_the_work(scan: Path, joint: Path, tmp_path: Path, run: Run) -> None:
    start = ("insert", scan, "-p", joint, "-o", "out.nii.gz")
    ball = ("--at-voxel", "8,8,8", "--size-mm", "10")
    run(*start).failed_cleanly(2, "--mask, --at, --at-voxel: give one of them")
    run(*start, "--at", "1,2", "--size-mm", "3").failed_cleanly(2, "three numbers")
    run(*start, "--at", "900,0,0", "--size-mm", "3").failed_cleanly(2, "outside the scan")
    run(*start, "--at", "0,0,0").failed_cleanly(2, "--size-mm: must be given")
    run(*start, *ball, "--cond", "volume_ml=99").failed_cleanly(2, "p50", "--extrapolate")
    run(*start, *ball, "--cond", "site=a").failed_cleanly(2, "does not know site", "volume_ml")
    run(*start, *ball, "--guidance", "-1").failed_cleanly(2, "--guidance")
    run(*start, *ball, "--guidance", "2", "--guidance-prior", "tiny").failed_cleanly(6, "channels")
    run(*start, "--at-voxel", "8,8,8", "--size-mm", "999").failed_cleanly(3, "covers the whole scan")
    make_scan(tmp_path / "other.nii.gz", shape=(9, 9, 9))
    run(*start, "--mask", "other.nii.gz").failed_cleanly(7, "another grid")
    assert not (tmp_path / "out.nii.gz").exists()
    dry = run(*start, *ball, "--cond", "volume_ml=99", "--extrapolate", "--dry-run")
    assert dry.code == 0, dry.err
    assert not (tmp_path / "out.nii.gz").exists()
    far = run(*start, *ball, "--cond", "volume_ml=99", "--extrapolate", *CPU)
    assert far.code == 0, far.err
    assert "volume_ml: beyond the trained range" in far.err
