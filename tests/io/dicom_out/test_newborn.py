"""Studies without a DICOM source: of a NIfTI scan, and of nobody."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medidiff.errors import GeometryError, UsageError
from medidiff.io.dicom_out import Derivation, Standalone, Synthesis, write_standalone, write_synthetic
from medidiff.volume import Volume

from .making import read_back

SAMPLED = Synthesis("general", "ef" * 32, seed=5, index=0, settings={"steps": 20}, body_part="HEAD")
SCAN = Standalone("p-7f3k2m9q4d", "MR", Derivation("Denoised", "general", "ab" * 32, noise_std=0.5), "01" * 32)


def volume(axcodes: str = "RAS", modality: str = "MR") -> Volume:
    """An uneven grid, its axes along other ones than the world's, slightly turned."""
    signs = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    directions = np.zeros((3, 3))
    for axis, letter in enumerate(axcodes):
        row, sign = signs[letter]
        directions[row, axis] = sign
    a = np.deg2rad(8)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ directions @ np.diag([0.9, 1.1, 3.0])
    affine[:3, 3] = [12.5, -40.25, 7.125]
    data = np.random.default_rng(2).gamma(2, 150, (14, 11, 6)).astype(np.float32)
    return Volume(data, affine, modality=modality)


def at_world(scan: Volume, points_mm: np.ndarray) -> np.ndarray:
    """Values at places, by the nearest voxel."""
    inverse = np.linalg.inv(scan.affine_ras)
    indices = np.rint(points_mm @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    return scan.data[tuple(indices.T)]


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LPI", "PSR", "PIL", "RSA", "LIP", "ASL", "SPR"])
def test_every_voxel_is_where_it_was(tmp_path: Path, axcodes: str) -> None:
    scan = volume(axcodes)
    back = read_back(write_standalone(scan, tmp_path / "out", SCAN))
    assert sorted(back.shape) == sorted(scan.shape)
    indices = np.stack(np.meshgrid(*map(np.arange, scan.shape), indexing="ij"), -1).reshape(-1, 3)
    places = indices @ scan.affine_ras[:3, :3].T + scan.affine_ras[:3, 3]
    inverse = np.linalg.inv(back.affine_ras)
    reached = places @ inverse[:3, :3].T + inverse[:3, 3]
    assert np.abs(reached - np.rint(reached)).max() < 1e-4 / 0.9
    assert np.abs(at_world(back, places) - scan.data.reshape(-1)).max() <= 0.5 * np.ptp(scan.data) / 60_000 * 1.01
    image = pydicom.dcmread(tmp_path / "out" / "00001.dcm")
    assert float(image.SliceThickness) == 3.0  # the third axis stays the slices
    shown = {"S": ("L", "P"), "I": ("L", "P"), "A": ("L", "I"), "P": ("L", "I"), "R": ("P", "I"), "L": ("P", "I")}
    lps = np.array([[-1.0], [-1.0], [1.0]]) * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    letters = {"L": -lps[:, 0] * -1, "P": lps[:, 1], "I": -lps[:, 2]}
    orientation = np.array(image.ImageOrientationPatient, dtype=float)
    for direction, letter in zip((orientation[:3], orientation[3:]), shown[axcodes[2]], strict=True):
        world = {"L": [1, 0, 0], "P": [0, 1, 0], "I": [0, 0, -1]}[letter]
        assert direction @ np.array(world) > 0.9, letters


def test_a_standalone_study_is_of_a_pseudonym(tmp_path: Path) -> None:
    scan = volume()
    paths = write_standalone(scan, tmp_path / "out", SCAN)
    image = pydicom.dcmread(paths[0])
    assert image.PatientName == image.PatientID == "p-7f3k2m9q4d"
    assert list(image.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]
    assert image.SeriesDescription == "MR [denoised, research]"
    assert image.StudyDate == ""
    assert "SourceImageSequence" not in image
    assert "SyntheticData" not in image
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_standalone(scan, tmp_path / "out", SCAN)] == first
    other = replace(SCAN, derivation=replace(SCAN.derivation, settings={"passes": 2}))
    second = pydicom.dcmread(write_standalone(scan, tmp_path / "b", other)[0])
    assert second.StudyInstanceUID == image.StudyInstanceUID  # one scan, one study
    assert second.FrameOfReferenceUID == image.FrameOfReferenceUID
    assert second.SeriesInstanceUID != image.SeriesInstanceUID


def test_generated_slices_of_a_standalone_study_are_flagged(tmp_path: Path) -> None:
    scan = volume("RAI")
    done = replace(SCAN, derivation=replace(SCAN.derivation, generated=np.arange(6) == 1))
    paths = write_standalone(scan, tmp_path / "out", done)
    flags = [pydicom.dcmread(path).SyntheticData for path in paths]
    assert flags == ["NO", "NO", "NO", "NO", "YES", "NO"]  # slices of the file run the other way, towards the head


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_synthetic_study_is_of_nobody(tmp_path: Path, modality: str) -> None:
    scan = volume(modality=modality)
    images = [pydicom.dcmread(path) for path in write_synthetic(scan, tmp_path / "out", SAMPLED)]
    for image in images:
        assert (str(image.PatientName), image.PatientID) == ("SYNTHETIC^001", "SYNTH-001")
        assert image.SyntheticData == "YES"
        assert image.ContentQualification == "RESEARCH"
        assert list(image.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert "SourceImageSequence" not in image
        assert image.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert image.DerivationDescription.startswith("Sampled from general")
        assert image.Modality == modality
    other = pydicom.dcmread(write_synthetic(scan, tmp_path / "b", replace(SAMPLED, index=1))[0])
    assert other.PatientID == "SYNTH-002"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
        assert other[keyword].value != images[0][keyword].value


def test_other_modalities_and_sheared_grids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown"):
        write_synthetic(volume(modality=""), tmp_path / "out", SAMPLED)
    with pytest.raises(UsageError, match="PT"):
        write_standalone(volume(), tmp_path / "out", replace(SCAN, modality="PT"))
    sheared = volume().affine_ras.copy()
    sheared[:3, 2] += 0.3 * sheared[:3, 1]
    with pytest.raises(GeometryError, match="sheared"):
        write_standalone(Volume(volume().data, sheared), tmp_path / "out", SCAN)
    assert not (tmp_path / "out").exists()
