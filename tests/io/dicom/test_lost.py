"""Files that may be lost slices: which count, and whom they concern."""

from pathlib import Path

import pytest

from benchmarks._dicom_corpus.series import Grid, make_series, write
from medidiff.io.dicom import header as header_module
from medidiff.io.dicom.lost import _form
from medidiff.io.dicom.model import Candidate, DicomScan
from medidiff.io.dicom.scan import scan_dicom


def only(scan: DicomScan) -> Candidate:
    (candidate,) = scan.candidates
    return candidate


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"hello"), ("notes.txt", b""), ("scan.json", b"{"), ("scan.nii.gz", b""), ("a.bval", b""),
        ("Thumbs.db", b"\xd0\xcf"), ("DICOMDIR", b""), ("DIRFILE", b"x"), (".hidden", b""), ("viewer", b"x"),
        ("0009.xyz", b"what is this"),
    ],
)  # fmt: skip
def test_what_is_no_slice_changes_nothing(name: str, content: bytes, tmp_path: Path) -> None:
    write(make_series(), tmp_path)
    (tmp_path / name).write_bytes(content)
    candidate = only(scan_dicom(tmp_path))
    assert candidate.refusal is None
    assert not candidate.warnings


def test_the_file_is_named_with_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    write(make_series(), tmp_path)
    (tmp_path / "0009.dcm").write_bytes(b"")
    refusal = only(scan_dicom(tmp_path)).refusal
    assert refusal is not None
    assert refusal.code == "damaged"
    assert refusal.message == "A file of its folder may be a slice of it: 0009.dcm (empty)."
    assert refusal.remedy == "Get it again, or take it out of the folder if it is no slice of this series."
    (tmp_path / "0010.dcm").write_bytes(b"garbage")
    refusal = only(scan_dicom(tmp_path)).refusal
    assert refusal is not None
    assert "2 files of its folder may be slices of it: 0009.dcm (empty), 0010.dcm (not DICOM)." in refusal.message
    assert refusal.remedy.startswith("Get them again")


def test_elsewhere_is_not_beside(tmp_path: Path) -> None:
    write(make_series(), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0009.dcm").write_bytes(b"")
    assert only(scan_dicom(tmp_path)).refusal is None


def test_a_gap_names_the_file(tmp_path: Path) -> None:
    write(make_series().without(4), tmp_path)
    (tmp_path / "last.dcm").write_bytes(b"")
    candidate = only(scan_dicom(tmp_path))
    assert candidate.refusal is not None
    assert candidate.refusal.code == "gap"
    assert "last.dcm (empty)" in candidate.refusal.message
    assert "last.dcm (empty)" in " ".join(candidate.warnings)  # for the record, where --fill-gaps reads it


def test_a_gap_in_a_tilted_stack_names_both_options(tmp_path: Path) -> None:
    write(make_series(Grid(shear=0.3)).without(4), tmp_path)
    refusal = only(scan_dicom(tmp_path)).refusal
    assert refusal is not None
    assert "--fill-gaps --resample-tilt" in refusal.remedy


def test_a_single_image_left_beside_damaged_ones_is_refused(tmp_path: Path) -> None:
    for path in write(make_series(), tmp_path)[1:]:
        path.write_bytes(b"")
    refusal = only(scan_dicom(tmp_path)).refusal
    assert refusal is not None
    assert refusal.code == "damaged"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told apart from damage; by a stand-in for `open`, since root may read everything."""
    paths = write(make_series(), tmp_path)
    real_open = open

    def refuse(file: Path, *args: object, **kwargs: object) -> object:
        if Path(file) == paths[3]:
            raise PermissionError(13, "Permission denied")
        return real_open(file, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr("medidiff.io.dicom.files.open", refuse, raising=False)
    scan = scan_dicom(tmp_path)
    assert [note.kind for note in scan.notes] == ["no permission"]
    refusal = only(scan).refusal
    assert refusal is not None
    assert f"{paths[3].name} (no permission)" in refusal.message
    assert header_module.read_header(scan.notes[0].file) == scan.notes[0]


def test_a_cut_header_is_a_file_and_no_patient(tmp_path: Path) -> None:
    paths = write(make_series(), tmp_path)
    paths[8].write_bytes(paths[8].read_bytes()[:500])
    scan = scan_dicom(tmp_path)
    assert [(note.kind, note.message) for note in scan.notes] == [("damaged", "Its header is cut off.")]
    assert only(scan).series.modality == "MR"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("0001.dcm", "x.DCM", True),
        ("IM00001", "IM00123", True),
        ("IM00001", "README", False),
        ("1.2.840.1", "1.2.840.12", True),
        ("0A1B2C3D", "99999999", True),
        ("I1", "I1.txt", False),
        ("a-1", "a_1", False),
    ],
)
def test_names_of_one_form(one: str, other: str, alike: bool) -> None:
    assert (_form(one) == _form(other)) is alike
