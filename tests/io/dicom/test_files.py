"""Files of a tree, a zip and a DICOMDIR; what is DICOM at first sight."""

import os
import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.config import IGNORE
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from medidiff.errors import InputError
from medidiff.io.dicom import zips
from medidiff.io.dicom.files import find_files, has_dicom_start, looks_like_dicom, open_file
from medidiff.io.dicom.model import FileRef

DICOM = b"\0" * 128 + b"DICM" + bytes.fromhex("02000000554c0400") + b"\0" * 40


def labels(root: Path) -> list[str]:
    return [file.label for file in find_files(root)]


def put(path: Path, content: bytes = DICOM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_folder_tree_is_sorted_and_keeps_every_name(tmp_path: Path) -> None:
    for name in ("b/2", "a/IM1", "a/.hidden", "c.dcm", "a/._IM1", ".DS_Store", ".git/x", "__MACOSX/y"):
        put(tmp_path / name)
    assert labels(tmp_path) == ["a/.hidden", "a/IM1", "b/2", "c.dcm"]


def test_links_give_each_file_once_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "root/a/1")
    put(tmp_path / "outside/2")
    (tmp_path / "root/loop").symlink_to(tmp_path / "root")
    (tmp_path / "root/again").symlink_to(tmp_path / "root/a/1")
    (tmp_path / "root/linked").symlink_to(tmp_path / "outside")
    (tmp_path / "root/self").symlink_to("self")
    (tmp_path / "root/away").symlink_to("nowhere")
    assert labels(tmp_path / "root") == ["a/1", "away", "linked/2", "self"]
    away = next(f for f in find_files(tmp_path / "root") if f.label == "away")
    with pytest.raises(InputError, match="away: no such file"), open_file(away):
        pass


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    put(tmp_path / "1")
    os.mkfifo(tmp_path / "pipe")
    assert labels(tmp_path) == ["1"]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        find_files(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=name):
        find_files(tmp_path / name)


def test_zip_members_are_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "scan.zip"
    content = DICOM + os.urandom(300_000)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b/2", content, zipfile.ZIP_DEFLATED)
        archive.writestr("a/1.dcm", DICOM, zipfile.ZIP_STORED)
        archive.writestr("__MACOSX/a/._1.dcm", b"x")
        archive.writestr("inner.zip", b"PK\x03\x04")
    assert labels(path) == ["a/1.dcm", "b/2", "inner.zip"]
    assert looks_like_dicom(path)
    with open_file(FileRef(path, "b/2", "b/2")) as file:
        file.seek(200_000)
        assert file.read(10) == content[200_000:200_010]
        file.seek(0)
        assert file.read() == content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.zip"]


def test_damaged_member_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("1", DICOM)
    path.write_bytes(path.read_bytes().replace(b"DICM", b"DICK"))
    with pytest.raises(InputError, match="1: damaged inside its zip"), open_file(FileRef(path, "1", "1")) as file:
        file.read()


def test_damaged_encrypted_and_exploding_zips_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1", b"\0" * 100_000)
    whole = path.read_bytes()
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1
    for content, said in ((whole[:-30], "damaged"), (bytes(encrypted), "encrypted")):
        with pytest.raises(InputError, match=said):
            find_files(put(tmp_path / f"{said}.zip", content))
    monkeypatch.setattr(zips, "MAX_MEMBER_BYTES", 99_999)
    with pytest.raises(InputError, match="unpack"):
        find_files(put(tmp_path / "bomb.zip", whole))


def make_dicomdir(folder: Path, *references: list[str]) -> Path:
    records = []
    for parts in references:
        record = pydicom.Dataset()
        record.DirectoryRecordType = "IMAGE"
        element = pydicom.DataElement("ReferencedFileID", "CS", parts, validation_mode=IGNORE)
        record.add(element)
        records.append(record)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID("1.2.840.10008.1.3.10"), UID("1.2.3")
    meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    directory = pydicom.Dataset()
    directory.file_meta, directory.DirectoryRecordSequence = meta, records
    pydicom.dcmwrite(folder / "DICOMDIR", directory, enforce_file_format=True)
    return folder / "DICOMDIR"


def test_dicomdir_lists_files_below_it_and_nowhere_else(tmp_path: Path) -> None:
    put(tmp_path / "secret")
    put(tmp_path / "cd/images/im1")
    path = make_dicomdir(tmp_path / "cd", ["IMAGES", "IM1"], ["IMAGES", "GONE"], ["..", "SECRET"])
    found = {file.label: file.path for file in find_files(path)}
    assert found["IMAGES/IM1"] == tmp_path / "cd/images/im1"
    assert not found["IMAGES/GONE"].exists()
    assert not found["../SECRET"].exists()
    assert (tmp_path / "cd") in found["../SECRET"].resolve().parents


def test_dicomdir_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lists no files"):
        find_files(make_dicomdir(tmp_path))


@pytest.mark.parametrize(
    ("head", "is_dicom"),
    [
        (DICOM, True),
        (bytes.fromhex("0800050043530a00") + b"ISO_IR 100" + bytes.fromhex("080008004353"), False),  # cut off
        (bytes.fromhex("0800050043530a00") + b"ISO_IR 100" + bytes.fromhex("0800080043530200") + b"\0" * 40, True),
        (bytes.fromhex("080005000a000000") + b"ISO_IR 100" + bytes.fromhex("0800080002000000") + b"\0" * 40, True),
        (bytes.fromhex("000800050000000a") + b"ISO_IR 100" + bytes.fromhex("0008000800000002") + b"\0" * 40, True),
        (b"\x08\x00" * 200, False),
        (bytes.fromhex("5c010000") + b"\0" * 344, False),  # NIfTI
        (b"\x1f\x8b" + b"\0" * 200, False),
        (b"", False),
    ],
)
def test_first_sight(head: bytes, is_dicom: bool) -> None:
    assert has_dicom_start(head) is is_dicom


def test_looks(tmp_path: Path) -> None:
    put(tmp_path / "other/readme.txt", b"hello")
    assert not looks_like_dicom(tmp_path)
    assert not looks_like_dicom(tmp_path / "absent")
    for k in range(30):
        put(tmp_path / f"a/{k}.txt", b"hello")
    put(tmp_path / "z/deep/down/IM")
    assert looks_like_dicom(tmp_path)
    assert looks_like_dicom(tmp_path / "z/deep/down/IM")
    assert not looks_like_dicom(tmp_path / "a/1.txt")
