"""A DICOMDIR names every image, and pydicom's own file-set follows its pointers."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.fileset import FileSet

from medidiff.errors import InputError
from medidiff.io.dicom_out import Derivation, Synthesis, write_derived, write_dicomdir, write_synthetic
from medidiff.volume import Volume

from .making import candidate_from, make_series, read_back, volume_of

DONE = Derivation("Denoised")


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """pydicom's file-set leaves its temporary folder to the garbage collector, which complains."""
    folder = SimpleNamespace(name=str(tmp_path_factory.mktemp("file-set")), cleanup=lambda: None)
    monkeypatch.setattr("pydicom.fileset.TemporaryDirectory", lambda *_, **__: folder)


def instances(directory: Path) -> list[tuple[str, str]]:
    return sorted((str(i.SOPInstanceUID), Path(i.path).name) for i in FileSet(directory))


def test_two_patients_three_series(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR", PatientName="M\u00fcller^\u00c9va"))
    volume = volume_of(source)
    folder = tmp_path / "out"
    paths = write_derived(volume, source, folder / "denoised", DONE)
    paths += write_derived(volume, source, folder / "noise map", replace(DONE, what="Noise", series_number=9))
    scan = Volume(np.random.default_rng(0).normal(0, 1, (6, 5, 4)), np.eye(4), modality="CT")
    paths += write_synthetic(scan, folder / "synthetic", Synthesis("general", "ab" * 32, 1, 0))
    uids = sorted(str(pydicom.dcmread(path).SOPInstanceUID) for path in paths)
    directory = write_dicomdir(folder)
    assert directory == folder / "DICOMDIR"
    assert [uid for uid, _ in instances(directory)] == uids
    assert sorted(p.name for p in folder.iterdir()) == ["DICOMDIR", "PT000000", "PT000001"]
    files = FileSet(directory)
    assert len(files.find(Modality="CT")) == 4
    assert len(files.find(SeriesNumber=9)) == 5
    assert {str(i.PatientName) for i in files.find(Modality="MR")} == {"M\u00fcller^\u00c9va"}
    back = read_back([Path(i.path) for i in files.find(SeriesNumber=9)])
    np.testing.assert_array_equal(back.data, volume.data)


def test_a_rerun_replaces_and_another_series_is_added(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    folder = tmp_path / "out"
    write_derived(volume_of(source), source, folder, DONE)
    first = write_dicomdir(folder).read_bytes()
    write_derived(volume_of(source), source, folder, DONE)
    assert write_dicomdir(folder).read_bytes() == first
    assert len(instances(folder / "DICOMDIR")) == 5
    write_derived(volume_of(source), source, folder, replace(DONE, what="Else"))
    assert len(instances(write_dicomdir(folder))) == 10
    assert len(list(folder.rglob("IM*"))) == 10
    assert not list(folder.rglob("*.dcm"))


def test_nothing_to_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no DICOM images"):
        write_dicomdir(tmp_path)
    (tmp_path / "00001.dcm").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"00001\.dcm: not a DICOM image"):
        write_dicomdir(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["00001.dcm"]
