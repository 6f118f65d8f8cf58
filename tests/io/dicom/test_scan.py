from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from medidiff.io.dicom import group
from medidiff.io.dicom import scan as scan_module
from medidiff.io.dicom.header import Header
from medidiff.io.dicom.model import NOT_A_VOLUME, REFUSALS, Candidate
from medidiff.io.dicom.scan import scan_dicom


def test_real_series(real_data: Callable[[str], Path]) -> None:
    scan = scan_dicom(real_data("dicom") / "gantry_tilt_ct")
    codes = {c.refusal.code: c for c in scan.candidates if c.refusal}
    assert set(codes) == {"tilt", "localizer"}
    tilted = codes["tilt"].stacking
    assert tilted is not None
    assert tilted.tilt_deg == pytest.approx(16.5, abs=0.01)
    assert [note.kind for note in scan.notes] == ["a DICOMDIR"] * 2


def test_enhanced(real_data: Callable[[str], Path]) -> None:
    scan = scan_dicom(real_data("dicom") / "enhanced_mr")
    assert [c.status for c in scan.candidates] == ["volume"] * 6
    siemens = [c for c in scan.candidates if c.stacking and c.stacking.shape[2] == 6]
    assert len({c.stack for c in siemens}) == 1


def test_progress_and_names(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    source = real_data("dicom") / "brain_tumor" / "11_HCropVolume"
    folder = tmp_path / "PGBM-003"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    steps: list[tuple[int, int]] = []
    scan = scan_dicom(tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(k + 1, 40) for k in range(40)]
    assert "PGBM-003" in scan.identifiers
    assert not any("PGBM" in plane.file.label for c in scan.candidates for plane in c.planes)
    kept = scan_dicom(tmp_path, keep_ids=True)
    assert all("PGBM-003" in plane.file.label for c in kept.candidates for plane in c.planes)
    assert [c.id for c in kept.candidates] == [c.id for c in scan.candidates]


def test_a_truncated_file(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    for path in (real_data("dicom") / "brain_tumor" / "11_HCropVolume").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    victim = sorted(tmp_path.iterdir())[7]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-100])
    (candidate,) = scan_dicom(tmp_path).candidates
    assert candidate.refusal is not None
    assert candidate.refusal.code == "damaged"
    assert victim.name in candidate.refusal.message
    victim.write_bytes(whole[: len(whole) - 3500])  # ends in its header
    assert "damaged" in {c.refusal.code for c in scan_dicom(tmp_path).candidates if c.refusal}


def test_mutated_files_never_raise(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sources = [*(real_data("dicom") / "brain_tumor" / "11_HCropVolume").iterdir()][:3]
    sources += [real_data("dicom") / "enhanced_mr" / "Philips" / "IM_0027_fMAP.dcm"]
    for k in range(200):
        data = bytearray(sources[k % 4].read_bytes()[: int(rng.integers(200, 40000))])
        for place in rng.integers(0, min(len(data), 4000), int(rng.integers(1, 30))):
            data[place] = int(rng.integers(256))
        (tmp_path / f"{k}").write_bytes(data)
    scan = scan_dicom(tmp_path)
    assert scan.files == 200
    for candidate in scan.candidates:
        assert candidate.refusal is None or candidate.refusal.code in REFUSALS
    assert set(REFUSALS) > NOT_A_VOLUME


def test_one_series_that_no_rule_foresaw_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (3, 4):
        write_plain_series(tmp_path / str(number), number)

    def fails_on_3(headers: list[Header]) -> list[Candidate]:
        if headers[0].series.number == 3:
            raise OverflowError("a value of the header")
        return group.candidates_of(headers)

    monkeypatch.setattr(scan_module, "candidates_of", fails_on_3)
    bad, good = scan_dicom(tmp_path).candidates
    assert good.status == "volume"
    assert bad.refusal is not None
    assert (bad.refusal.code, bad.files) == ("damaged", 4)
    assert "value" not in str(bad.refusal)


def write_plain_series(folder: Path, number: int) -> None:
    folder.mkdir()
    for k in range(4):
        plane = Dataset()
        plane.file_meta = FileMetaDataset()
        plane.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        plane.file_meta.MediaStorageSOPClassUID = plane.SOPClassUID = MRImageStorage
        plane.file_meta.MediaStorageSOPInstanceUID = plane.SOPInstanceUID = UID(f"1.2.{number}.{k}")
        plane.StudyInstanceUID, plane.SeriesInstanceUID, plane.SeriesNumber = "1.1", f"1.2.{number}", number
        plane.Modality, plane.PatientID = "MR", "ID-1"
        plane.ImageOrientationPatient, plane.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, k]
        plane.PixelSpacing = [1, 1]
        plane.Rows = plane.Columns = 4
        plane.SamplesPerPixel, plane.PhotometricInterpretation = 1, "MONOCHROME2"
        plane.BitsAllocated, plane.BitsStored, plane.HighBit, plane.PixelRepresentation = 16, 16, 15, 0
        plane.PixelData = bytes(32)
        plane.save_as(folder / f"{k}.dcm", enforce_file_format=True)
