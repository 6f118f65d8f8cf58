"""Other programs on what medidiff writes: dciodvfy finds no error, dcm2niix makes the same grid and values of it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medidiff.io.dicom_out import (
    Derivation,
    Standalone,
    Synthesis,
    write_derived,
    write_dicomdir,
    write_standalone,
    write_synthetic,
)
from medidiff.io.dicom_out.uids import derived_uid
from medidiff.volume import Volume

from .making import candidate_from, dciodvfy, make_series, read_back, volume_of

RealData = Callable[[str], Path]
DONE = Derivation(
    "Denoised by a diffusion prior", "general", "ab" * 32, noise_std=5.0,
    pseudonym=lambda patient_id, **_: "p-7f3k2m9q4d", keyed_uid=lambda uid: derived_uid("key", uid),
)  # fmt: skip
SYNTHETIC = Synthesis("general", "ab" * 32, seed=1, index=0)

needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is absent")
DCM2NIIX = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=str(Path(sys.executable).parent))
needs_dcm2niix = pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix is not installed")

REAL = {
    "SIEMENS MR": "brain_tumor/11-T1post-18670",
    "MR without a body part": "brain_tumor/11_HCropVolume",
    "registered MR": "brain_tumor/26401-T1prereg-52906",
    "enhanced Philips": "enhanced_mr/Philips",
    "enhanced Siemens": "enhanced_mr/Siemens/XA10",
    "enhanced Hyperfine": "dicom2nifti/hyperfine/anatomical/001",
    "GE MR": "dicom2nifti/ge/anatomical/001",
    "GE MR implicit": "dicom2nifti/ge/anatomical/001_implicit",
    "Hitachi MR": "dicom2nifti/hitachi/anatomical/001",
    "MR with slopes": "dicom2nifti/generic/anatomical/002_non_isotropic",
    "JPEG 2000": "dicom2nifti/generic/compressed_j2k/001",
    "JPEG lossless": "dicom2nifti/generic/compressed_jpeg/001",
    "GE CT": "dicom2nifti/failing/sliceincrement/001",
}


def files_of(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.is_file() and ".nii" not in p.name and "DIR" not in p.name)
    return files[:1] if "enhanced_mr" in str(folder) else files


def noisy(volume: Volume) -> Volume:
    noise = np.random.default_rng(4).normal(0, 0.3, volume.shape)
    return volume.with_data((volume.data + noise).astype(np.float32))


@pytest.mark.skipif(shutil.which("dcentvfy") is None, reason="dcentvfy (Debian: dicom3tools) is absent")
@pytest.mark.parametrize("deidentify", [False, True], ids=["kept", "deidentified"])
def test_dcentvfy_finds_the_images_of_a_series_agree(tmp_path: Path, real_data: RealData, deidentify: bool) -> None:
    source = candidate_from(files_of(real_data("dicom") / "brain_tumor/11-T1post-18670"))
    paths = write_derived(noisy(volume_of(source)), source, tmp_path, replace(DONE, deidentify=deidentify))
    done = subprocess.run(["dcentvfy", *map(str, paths)], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr).strip() == ""


def errors(paths: list[Path]) -> list[str]:
    return [line for line in dciodvfy([paths[0], paths[len(paths) // 2], paths[-1]]) if line.startswith("Error")]


@needs_dciodvfy
@pytest.mark.parametrize("folder", REAL.values(), ids=REAL.keys())
@pytest.mark.parametrize("deidentify", [False, True], ids=["kept", "deidentified"])
def test_dciodvfy_finds_no_error_in_a_derived_series(
    tmp_path: Path, real_data: RealData, folder: str, deidentify: bool
) -> None:
    source = candidate_from(files_of(real_data("dicom") / folder))
    volume = noisy(volume_of(source))
    paths = write_derived(volume, source, tmp_path, replace(DONE, deidentify=deidentify))
    assert errors(paths) == []
    back = read_back(paths)
    np.testing.assert_array_equal(back.affine_ras, volume.affine_ras)
    assert np.abs(back.data - volume.data).max() <= 5 / 4


@needs_dciodvfy
def test_dciodvfy_finds_no_error_in_a_resampled_tilt(tmp_path: Path, real_data: RealData) -> None:
    source = candidate_from(files_of(real_data("dicom") / "gantry_tilt_ct/S3010"))
    assert source.stacking is not None
    straight = source.stacking.affine_ras.copy()
    normal = np.cross(straight[:3, 0], straight[:3, 1])
    straight[:3, 2] = 2.4 * normal / np.linalg.norm(normal)
    straight = straight @ np.array([[1, 0, 0, 200.0], [0, 1, 0, 200], [0, 0, 1, 5], [0, 0, 0, 1]])
    volume = Volume(np.random.default_rng(0).normal(40, 9, (64, 60, 7)), straight)
    paths = write_derived(volume, source, tmp_path, DONE)
    assert errors(paths) == []
    np.testing.assert_allclose(read_back(paths).affine_ras, straight, atol=1e-4)


def made(kind: str, folder: Path) -> tuple[Volume, list[Path]]:
    """A volume and the series it was written to."""
    word, modality = kind.rsplit(" ", 1)
    volume = Volume.from_array(np.random.default_rng(1).gamma(2, 100, (20, 22, 6)).astype(np.float32), (1, 1.2, 3))
    volume = replace(volume, modality=modality)
    if word == "synthetic":
        return volume, write_synthetic(volume, folder / "out", SYNTHETIC)
    if word == "standalone":
        return volume, write_standalone(volume, folder / "out", Standalone("p-1", modality, DONE, "01" * 32))
    if word == "small values":
        volume = volume.with_data(volume.data / np.ptp(volume.data))
        return volume, write_synthetic(volume, folder / "out", SYNTHETIC)
    bare = {"BodyPartExamined": None, "PatientPosition": None, "ImageType": ["ORIGINAL", "PRIMARY"], "StudyID": None}
    lossy = {"LossyImageCompression": "01"}
    more = {"bare": bare, "lossy": lossy, "knee": {"BodyPartExamined": "KNEE"}}.get(word, {})
    source = candidate_from(make_series(folder / "source", modality, shape=(24, 20, 5), **more))
    volume, done = noisy(volume_of(source)), DONE
    if word == "generated":
        done = replace(DONE, generated=np.arange(5) == 2)
    if word == "finer":
        volume = Volume(np.repeat(volume.data, 2, axis=2), volume.affine_ras @ np.diag([1, 1, 0.5, 1]))
    return volume, write_derived(volume, source, folder / "out", done)


KINDS = [
    f"{word} {modality}"
    for modality in ("CT", "MR")
    for word in ("derived", "bare", "lossy", "knee", "generated", "finer", "synthetic", "small values", "standalone")
]


@needs_dciodvfy
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error_in_any_kind(tmp_path: Path, kind: str) -> None:
    assert errors(made(kind, tmp_path)[1]) == []


@needs_dciodvfy
def test_dciodvfy_does_find_errors(tmp_path: Path) -> None:
    paths = made("derived CT", tmp_path)[1]
    content = paths[0].read_bytes()
    paths[0].write_bytes(content.replace(b"\x20\x00\x52\x00UI", b"\x20\x00\x53\x00UI"))
    assert errors(paths[:1])


@needs_dciodvfy
@pytest.mark.parametrize("kind", ["derived MR", "synthetic CT"])
def test_dciodvfy_finds_no_error_in_a_dicomdir(tmp_path: Path, kind: str) -> None:
    made(kind, tmp_path)
    said = dciodvfy([write_dicomdir(tmp_path / "out")])
    assert not [line for line in said if line.startswith("Error")]


def assert_same_by_dcm2niix(volume: Volume, folder: Path, out: Path, tolerance: float) -> None:
    """dcm2niix makes one file of the folder, on the same grid, with the same values."""
    out.mkdir()
    command = [str(DCM2NIIX), "-b", "n", "-z", "n", "-f", "scan", "-o", str(out), str(folder)]
    subprocess.run(command, capture_output=True, check=True)
    (path,) = out.glob("*.nii")
    theirs = nib.as_closest_canonical(nib.load(path))
    ours = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine_ras))
    np.testing.assert_allclose(theirs.affine, ours.affine, atol=1e-3)
    assert np.abs(np.asarray(theirs.dataobj, dtype=np.float64) - ours.get_fdata()).max() <= tolerance


@needs_dcm2niix
@pytest.mark.parametrize(
    "folder", ["brain_tumor/11-T1post-18670", "enhanced_mr/Philips", "dicom2nifti/ge/anatomical/001"]
)
def test_dcm2niix_makes_the_same_of_a_real_scan(tmp_path: Path, real_data: RealData, folder: str) -> None:
    source = candidate_from(files_of(real_data("dicom") / folder))
    volume = noisy(volume_of(source))
    write_derived(volume, source, tmp_path / "out", DONE)
    assert_same_by_dcm2niix(volume, tmp_path / "out", tmp_path / "nifti", 5 / 4)


@needs_dcm2niix
@pytest.mark.parametrize("kind", KINDS)
def test_dcm2niix_makes_the_same_of_any_kind(tmp_path: Path, kind: str) -> None:
    volume, _ = made(kind, tmp_path)
    # Half a step of a 60 000th of the range, and float32 in dcm2niix; a quarter of the noise where it is told.
    tolerance = max(np.ptp(volume.data) / 60_000, 0 if kind.startswith(("synthetic", "small")) else 5 / 4)
    assert_same_by_dcm2niix(volume, tmp_path / "out", tmp_path / "nifti", tolerance)
