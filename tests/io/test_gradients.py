"""FSL's gradient files: exact directions, dcm2niix and dicom2nifti as second opinions, damage, byte-exact copies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from medidiff.errors import GeometryError, InputError
from medidiff.io.gradients import (
    Gradients,
    carry_gradients,
    fsl_gradients,
    gradient_paths,
    read_gradients,
    write_gradients,
)

load: Any = nib.load  # nibabel's own types do not say what an image has
DCM2NIIX = Path(sys.executable).with_name("dcm2niix")

GOOD_BVAL, GOOD_BVEC = "0 1000 1000\n", "0 1 0.6\n0 0 0.8\n0 0 0\n"


def files(folder: Path, bval: str | None = GOOD_BVAL, bvec: str | None = GOOD_BVEC) -> Path:
    for name, text in (("a.bval", bval), ("a.bvec", bvec)):
        if text is not None:
            (folder / name).write_text(text)
    return folder / "a.nii.gz"


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize(
    ("affine_ras", "lps", "fsl"),
    [
        # Voxel axes R, A, S (determinant > 0: x negated). LPS (1,0,0) points left: -1 along x, negated 1.
        (np.diag([2.0, 2, 2, 1]), (1, 0, 0), (1, 0, 0)),
        (np.diag([2.0, 2, 2, 1]), (0, 1, 0), (0, -1, 0)),
        (np.diag([2.0, 2, 2, 1]), (0, 0, 1), (0, 0, 1)),
        # Voxel axes L, A, S (determinant < 0, as dcm2niix writes): nothing negated.
        (np.diag([-2.0, 2, 2, 1]), (1, 0, 0), (1, 0, 0)),
        (np.diag([-2.0, 2, 2, 1]), (0, 1, 0), (0, -1, 0)),
        # Voxel axes L, P, S (determinant > 0, as a plain DICOM stack): x negated.
        (np.diag([-2.0, -2, 2, 1]), (1, 0, 0), (-1, 0, 0)),
        (np.diag([-2.0, -2, 2, 1]), (0, 1, 0), (0, 1, 0)),
        # x along S, y along R, z along A: determinant > 0; LPS (0,0,1) is S, which is x.
        (np.array([[0.0, 3, 0, 0], [0, 0, 4, 0], [2, 0, 0, 0], [0, 0, 0, 1]]), (0, 0, 1), (-1, 0, 0)),
        (np.array([[0.0, 3, 0, 0], [0, 0, 4, 0], [2, 0, 0, 0], [0, 0, 0, 1]]), (-3, 0, 0), (0, 1, 0)),
    ],
)
def test_directions_by_hand(affine_ras: np.ndarray, lps: tuple[float, ...], fsl: tuple[float, ...]) -> None:
    gradients = fsl_gradients([0, 1000], [None, lps], affine_ras)
    np.testing.assert_array_equal(gradients.b_values_s_per_mm2, [0, 1000])
    np.testing.assert_array_equal(gradients.directions, [(0, 0, 0), fsl])
    assert not np.signbit(gradients.directions[gradients.directions == 0]).any()
    assert gradients.warnings == ()


@given(st.integers(0, 2**31), st.tuples(*[st.sampled_from([1, -1])] * 3), st.floats(0.1, 10))
def test_a_direction_survives_the_way_to_fsl_and_back(seed: int, signs: tuple[int, ...], length: float) -> None:
    """FSL's own rule undone: negate x where the determinant is positive, then along the voxel axes, then to LPS."""
    axes = rotation(seed) @ np.diag(signs)
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag([1.0, 2, 3])
    lps = np.random.default_rng(seed).standard_normal((5, 3))
    fsl = fsl_gradients([1000] * 5, (length * lps).tolist(), affine).directions
    np.testing.assert_allclose(np.linalg.norm(fsl, axis=1), 1, rtol=1e-12)
    undone = fsl * ((-1, 1, 1) if np.linalg.det(axes) > 0 else (1, 1, 1))
    back = (axes @ undone.T).T * (-1, -1, 1)
    np.testing.assert_allclose(back, lps / np.linalg.norm(lps, axis=1, keepdims=True), atol=1e-12)


def test_weighted_frames_without_a_direction_are_named() -> None:
    gradients = fsl_gradients([0, 1000, 1000], [None, (0, 0, 1), None], np.eye(4))
    np.testing.assert_array_equal(gradients.directions, [(0, 0, 0), (0, 0, 1), (0, 0, 0)])
    np.testing.assert_array_equal(gradients.b_values_s_per_mm2, [0, 1000, 1000])
    assert len(gradients.warnings) == 1
    assert "frame 2: diffusion-weighted without a direction" in gradients.warnings[0]
    many = fsl_gradients([700.0] * 20, [None] * 20, np.eye(4))
    assert "frames 0, 1, 2, 3, 4, 5, 6, 7, ...:" in many.warnings[0]


def test_a_direction_without_weighting_is_dropped() -> None:
    np.testing.assert_array_equal(fsl_gradients([0], [(0, 0, 1)], np.eye(4)).directions, [(0, 0, 0)])


def test_gradients_that_cannot_be_written_so() -> None:
    with pytest.raises(InputError, match="2 b-values and 1 gradients"):
        fsl_gradients([0, 1], [None], np.eye(4))
    for b_value, gradient in ((-1.0, (0, 0, 1)), (np.nan, (0, 0, 1)), (1.0, (0, 0, np.inf))):
        with pytest.raises(InputError, match="must be finite"):
            fsl_gradients([b_value], [gradient], np.eye(4))
    sheared = np.eye(4)
    sheared[1, 2] = 0.3
    with pytest.raises(GeometryError, match="not orthogonal"):
        fsl_gradients([1000], [(0, 0, 1)], sheared)


def diffusion_dicom(folder: Path, maker: str, b_values: list[float], lps: np.ndarray, axes: np.ndarray) -> None:
    """An oblique classic MR series with the standard's diffusion tags, four slices a frame."""
    series, study, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    for n in range(4 * len(b_values)):
        t, k = divmod(n, 4)
        d = Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = MRImageStorage
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        d.SeriesInstanceUID, d.StudyInstanceUID, d.FrameOfReferenceUID = series, study, frame_of_reference
        d.Modality, d.Manufacturer, d.ImageType = "MR", maker, ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
        d.SeriesNumber, d.InstanceNumber, d.AcquisitionNumber, d.TemporalPositionIdentifier = 3, n + 1, t + 1, t + 1
        d.AcquisitionTime, d.PatientPosition, d.InPlanePhaseEncodingDirection = f"10{t:02d}00.0", "HFS", "COL"
        d.Rows, d.Columns, d.PixelSpacing, d.SliceThickness, d.SpacingBetweenSlices = 6, 8, [2, 2], 3, 3
        d.ImageOrientationPatient = [float(f"{v:.9f}") for v in (*axes[:, 0], *axes[:, 1])]
        d.ImagePositionPatient = [float(f"{v:.6f}") for v in axes @ (-8.0, -6.0, 3.0 * k)]
        d.EchoTime, d.RepetitionTime, d.MagneticFieldStrength = 80, 5000, 3
        d.SamplesPerPixel, d.PhotometricInterpretation, d.PixelRepresentation = 1, "MONOCHROME2", 0
        d.BitsAllocated, d.BitsStored, d.HighBit = 16, 12, 11
        d.DiffusionBValue = float(b_values[t])
        d.DiffusionDirectionality = "DIRECTIONAL" if b_values[t] else "NONE"
        if b_values[t]:
            d.DiffusionGradientOrientation = lps[t].tolist()
        d.PixelData = np.random.default_rng(n).integers(0, 1000, (6, 8)).astype("<u2").tobytes()
        d.save_as(folder / f"{n:03d}.dcm", enforce_file_format=True)


def dcm2niix(source: Path, target: Path) -> Path:
    if not DCM2NIIX.is_file():
        pytest.skip("dcm2niix is not installed in this environment")
    target.mkdir()
    subprocess.run([DCM2NIIX, "-b", "n", "-f", "a", "-o", target, source], check=True, capture_output=True)
    return target / "a.nii"


@pytest.mark.parametrize("maker", ["Philips", "SIEMENS"])
def test_dcm2niix_writes_the_same_directions(tmp_path: Path, maker: str) -> None:
    """In its own file, whose rows it turns round; and on the grid as the slices lie, the same directions in space."""
    axes = rotation(3)
    b_values = [0.0, 1000, 1000, 700]
    lps = np.array([(0, 0, 0), (1, 0, 0), (0.6, 0.8, 0), (-0.48, 0.6, 0.64)])
    (tmp_path / "in").mkdir()
    diffusion_dicom(tmp_path / "in", maker, b_values, lps, axes)
    theirs = dcm2niix(tmp_path / "in", tmp_path / "out")
    affine = load(theirs).affine
    ours = fsl_gradients(b_values, lps.tolist(), affine)
    read = read_gradients(theirs, 4)
    assert read is not None
    np.testing.assert_array_equal(read.b_values_s_per_mm2, b_values)
    np.testing.assert_allclose(read.directions, ours.directions, atol=2e-6)  # it writes six digits
    unturned = affine @ np.diag([1.0, -1, 1, 1])
    assert np.linalg.det(unturned) > 0 > np.linalg.det(affine)
    mirrored = fsl_gradients(b_values, lps.tolist(), unturned).directions
    np.testing.assert_allclose(mirrored, ours.directions * (-1, -1, 1), atol=1e-12)


def test_ge_diffusion_agrees_with_both_converters(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = real_data("dicom") / "dicom2nifti" / "ge" / "dti"
    b_values, lps = [], []
    for path in sorted((folder / "001").iterdir())[::4]:  # four slices a frame
        dataset = dcmread(path, stop_before_pixels=True)
        b_values.append(float(dataset[0x0043, 0x1039].value[0]))
        # GE counts along rows, columns and slices.
        row, column = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
        along = np.array([float(dataset[0x0019, element].value) for element in (0x10BB, 0x10BC, 0x10BD)])
        lps.append((np.stack([row, column, np.cross(row, column)], axis=1) @ along).tolist())
    for stored in (folder / "001_ground_truth.nii.gz", dcm2niix(folder / "001", tmp_path / "out")):
        theirs = read_gradients(stored, 2)
        ours = fsl_gradients(b_values, lps, load(stored).affine)
        assert theirs is not None
        np.testing.assert_array_equal(theirs.b_values_s_per_mm2, ours.b_values_s_per_mm2)
        np.testing.assert_array_equal(theirs.directions, ours.directions)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((7, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[0] = 0
    b_values = np.array([0, 5, 700, 1000, 1000.5, 2000, 3000])
    paths = write_gradients(Gradients(b_values, directions), tmp_path / "a.nii.gz")
    assert paths == (tmp_path / "a.bval", tmp_path / "a.bvec") == gradient_paths(tmp_path / "a.nii")
    assert paths[0].read_text() == "0 5 700 1000 1000.5 2000 3000\n"
    assert len(paths[1].read_text().splitlines()) == 3
    again = read_gradients(tmp_path / "a.nii.gz", 7)
    assert again is not None
    assert again.warnings == ()
    np.testing.assert_array_equal(again.b_values_s_per_mm2, b_values)
    np.testing.assert_allclose(again.directions, directions, atol=1e-9)


def test_neither_file_is_no_gradients(tmp_path: Path) -> None:
    assert read_gradients(tmp_path / "a.nii", 3) is None
    assert carry_gradients(tmp_path / "a.nii", tmp_path / "b.nii", 3).files == ()
    assert carry_gradients(tmp_path / "a.nii", tmp_path / "b.nii", 3).warnings == ()


@pytest.mark.parametrize(
    ("bval", "bvec", "reason"),
    [
        (GOOD_BVAL, None, r"a\.bval: without a\.bvec"),
        (None, GOOD_BVEC, r"a\.bvec: without a\.bval"),
        ("0 1000\n", GOOD_BVEC, "1 rows of 2 numbers: must be one row of 3"),
        ("0 1000 1000 1000\n", GOOD_BVEC, "must be one row of 3"),
        ("0 1000 -5\n", GOOD_BVEC, "negative"),
        ("0 1000 nan\n", GOOD_BVEC, "not finite"),
        ("0 1000 many\n", GOOD_BVEC, "not rows of"),
        ("", GOOD_BVEC, "empty"),
        ("\x00\xff 3", GOOD_BVEC, "not rows of"),
        (GOOD_BVAL, "0 1\n0 0\n0 0\n", "3 rows of 2 numbers: must be 3 rows of 3"),
        (GOOD_BVAL, "0 1 0\n0 0 0\n", "2 rows of 3"),
        (GOOD_BVAL, "0 1 0\n0 0\n0 0 0\n", "not rows of"),
        (GOOD_BVAL, "0 1 0\n0 inf 0\n0 0 0\n", "not finite"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_not_carried(
    tmp_path: Path, bval: str | None, bvec: str | None, reason: str
) -> None:
    scan = files(tmp_path, bval, bvec)
    with pytest.raises(InputError, match=reason):
        read_gradients(scan, 3)
    carried = carry_gradients(scan, tmp_path / "out.nii.gz", 3)
    assert carried.files == ()
    assert "not carried along" in carried.warnings[0]
    assert not (tmp_path / "out.bval").exists()


def test_three_columns_are_turned_round_with_a_warning(tmp_path: Path) -> None:
    scan = files(tmp_path, "0\n1000\n1000\n1000\n", "0 0 0\n1 0 0\n0 1 0\n0 0 1\n")
    gradients = read_gradients(scan, 4)
    assert gradients is not None
    np.testing.assert_array_equal(gradients.directions[1:], np.eye(3))
    assert "FSL writes 3 rows of 4" in gradients.warnings[0]


def test_directions_of_another_length_are_kept_with_a_warning(tmp_path: Path) -> None:
    """Some sites scale the direction instead of the b-value: not ours to correct."""
    gradients = read_gradients(files(tmp_path, bvec="0 0.5 0.6\n0 0 0.8\n0 0 0\n"), 3)
    assert gradients is not None
    assert "frame 1: directions of another length than 1 (the first: 0.5)" in gradients.warnings[0]
    rounded = read_gradients(files(tmp_path, bvec="0 0.577 0.6\n0 0.577 0.8\n0 0.577 0\n"), 3)
    assert rounded is not None
    assert rounded.warnings == ()


def test_a_copy_has_the_same_bytes(tmp_path: Path) -> None:
    odd = ("0   1000\t1000  \r\n", "0 1e0 .6\r\n\r\n0 0 8E-1\r\n0 -0 0")
    scan = files(tmp_path)
    (tmp_path / "a.bval").write_bytes(odd[0].encode())
    (tmp_path / "a.bvec").write_bytes(odd[1].encode())
    (tmp_path / "out").mkdir()
    carried = carry_gradients(scan, tmp_path / "out" / "b_denoised.nii.gz", 3)
    assert carried.warnings == ()
    assert [path.name for path in carried.files] == ["b_denoised.bval", "b_denoised.bvec"]
    assert [path.read_bytes() for path in carried.files] == [text.encode() for text in odd]


def test_a_file_that_is_no_table_is_not_read(tmp_path: Path) -> None:
    scan = files(tmp_path)
    with open(tmp_path / "a.bval", "wb") as file:
        file.truncate((1 << 24) + 1)
    with pytest.raises(InputError, match="larger than 16 MiB"):
        read_gradients(scan, 3)
