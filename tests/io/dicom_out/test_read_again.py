"""What medidiff writes of a DICOM scan, medidiff reads as the same volume."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medidiff.io.dicom.read import read_candidate
from medidiff.io.dicom.scan import scan_dicom
from medidiff.io.dicom_out import Derivation, write_derived, write_standalone
from medidiff.io.dicom_out.records import Standalone
from medidiff.io.dicom_out.uids import derived_uid
from medidiff.io.nifti import read_nifti, write_nifti
from medidiff.volume import Volume

from .making import dciodvfy, make_series

DONE = Derivation(
    "Denoised", pseudonym=lambda patient_id, **_: "p-7f3k2m9q4d", keyed_uid=lambda uid: derived_uid("key", uid)
)


def read(folder: Path) -> Volume:
    (candidate,) = scan_dicom(folder).candidates
    return read_candidate(candidate).volume


@pytest.mark.parametrize(
    "folder",
    [
        "brain_tumor/26401-T1prereg-52906",
        "enhanced_mr/Philips",
        "enhanced_mr/Siemens",
        "dicom2nifti/ge/dti/001",
        "dicom2nifti/generic/anatomical/002_non_isotropic",
        "dicom2nifti/generic/compressed_jpegls/001",
        "dicom2nifti/hyperfine/anatomical/001",
    ],
)
@pytest.mark.parametrize("deidentify", [False, True], ids=["kept", "deidentified"])
def test_every_volume_of_a_real_series(
    tmp_path: Path, real_data: Callable[[str], Path], folder: str, deidentify: bool
) -> None:
    volumes = scan_dicom(real_data("dicom") / folder).volumes
    assert volumes
    for candidate in volumes[:2]:
        volume = read_candidate(candidate).volume
        out = tmp_path / candidate.id
        write_derived(volume, candidate, out, replace(DONE, deidentify=deidentify))
        if shutil.which("dciodvfy"):
            assert not [line for line in dciodvfy(sorted(out.iterdir())[:1]) if line.startswith("Error")]
        (again,) = scan_dicom(out).candidates
        back = read_candidate(again).volume
        np.testing.assert_allclose(back.affine_ras, volume.affine_ras, atol=1e-10)
        # Whole numbers come back exactly, others to half a step of a 60 000th of their range.
        exact = np.array_equal(volume.data, np.rint(volume.data))
        error = np.abs(back.data - volume.data).max()
        assert error <= (0 if exact else 0.5 * np.ptp(volume.data) / 60_000 * 1.01)
        assert [p.facts.b_value_s_per_mm2 for p in again.planes] == [
            p.facts.b_value_s_per_mm2 for p in candidate.planes
        ]


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dicom_to_nifti_to_dicom(tmp_path: Path, modality: str) -> None:
    make_series(tmp_path / "source", modality)
    (candidate,) = scan_dicom(tmp_path / "source").candidates
    volume = read_candidate(candidate).volume
    write_nifti(volume, tmp_path / "scan.nii.gz")
    write_derived(read_nifti(tmp_path / "scan.nii.gz"), candidate, tmp_path / "out", DONE)
    back = read(tmp_path / "out")
    np.testing.assert_array_equal(back.affine_ras, volume.affine_ras)
    np.testing.assert_array_equal(back.data, volume.data)


def test_nifti_to_dicom_to_nifti(tmp_path: Path) -> None:
    affine = np.diag([-0.8, -0.9, 2.0, 1.0])  # as radiologists see it: nothing is turned
    affine[:3, 3] = [30, -20, 10]
    volume = Volume(np.random.default_rng(0).integers(0, 900, (12, 11, 7)).astype(np.float32), affine)
    write_standalone(volume, tmp_path / "out", Standalone("p-7f3k2m9q4d", "MR", DONE, "01" * 32))
    back = read(tmp_path / "out")
    assert back.modality == "MR"
    np.testing.assert_allclose(back.affine_ras @ [0, 0, 0, 1], affine @ [0, 0, 0, 1], atol=1e-9)
    np.testing.assert_array_equal(back.data, volume.data)
