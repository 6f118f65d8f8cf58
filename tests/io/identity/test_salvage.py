"""Who a damaged file is of is still found, so that its path can be told without naming anybody."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from medidiff.io.dicom.model import FileRef
from medidiff.io.identity.find import find_identifiers
from medidiff.io.identity.salvage import salvage_from, salvaged_identifiers

from .planted import ACCESSION, BORN, NAME, NUMBER, plant


def a_file(folder: Path) -> Path:
    return next(path for path in plant(folder, 1).folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("implicit", "little"), [(False, True), (True, True), (False, False)])
def test_every_way_of_writing(implicit: bool, little: bool, tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, NUMBER, BORN
    dataset.AccessionNumber = ACCESSION
    dataset.save_as(tmp_path / "x", implicit_vr=implicit, little_endian=little)
    assert salvage_from(FileRef(tmp_path / "x")) >= {NAME, NUMBER, BORN, ACCESSION}


def test_a_truncated_file_is_named_without_its_patient(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    block = path.read_bytes()
    path.write_bytes(block[: block.index(NUMBER.encode()) + 10])
    assert NUMBER in salvage_from(FileRef(path))
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40 + block[132 : block.index(NUMBER.encode()) + 10])
    report = find_identifiers(tmp_path)
    assert not {NUMBER.casefold(), "zqfamily"} & set(" ".join(report.unreadable).casefold().replace("/", " ").split())


def test_nothing_to_find(tmp_path: Path) -> None:
    assert salvage_from(FileRef(tmp_path / "nothing")) == frozenset()
    assert salvaged_identifiers(b"") == frozenset()


@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_are_taken(block: bytes, at: int) -> None:
    for tag in (b"\x10\x00\x10\x00", b"\x00\x10\x00\x20PN"):
        assert all(text for text in salvaged_identifiers(block[:at] + tag + block[at:]))
