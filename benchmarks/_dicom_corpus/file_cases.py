"""How the files lie: names, folders, archives, media, and what lies beside them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.filebase import DicomBytesIO

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.geometry_cases import OBLIQUE, alike
from benchmarks._dicom_corpus.medium import make_medium
from benchmarks._dicom_corpus.series import (
    EXPLICIT,
    IMPLICIT,
    PATIENT_ID,
    Grid,
    Series,
    make_series,
    unchecked,
    write,
)
from benchmarks._dicom_corpus.truth import VolumeTruth


def good(folder: Path, pattern: str = "{:04d}.dcm", syntax: str = EXPLICIT, seed: int = 0) -> VolumeTruth:
    """A good oblique series."""
    series = make_series(Grid(directions=OBLIQUE), seed=seed, series=seed)
    write(series, folder, syntax, pattern)
    return series.truth()


@case("volume")
def no_extension(folder: Path) -> VolumeTruth:
    return good(folder, "IM{:05d}")


@case("volume")
def misleading_extensions(folder: Path) -> VolumeTruth:
    return good(folder, "{:04d}.txt")


@case("volume")
def names_are_uids(folder: Path) -> VolumeTruth:
    return good(folder, "1.2.840.99999.{:d}")


def _without_preamble(folder: Path, syntax: str) -> VolumeTruth:
    series = make_series(Grid(directions=OBLIQUE))
    folder.mkdir(parents=True, exist_ok=True)
    for k, dataset in enumerate(series.datasets):
        buffer = DicomBytesIO()
        with unchecked():
            pydicom.dcmwrite(buffer, dataset, implicit_vr=syntax == IMPLICIT, little_endian=True)
        (folder / f"{k:04d}.dcm").write_bytes(buffer.getvalue())
    return series.truth()


@case("volume")
def no_preamble_implicit(folder: Path) -> VolumeTruth:
    """Data elements from the first byte on, as ACR-NEMA and old archives have it."""
    return _without_preamble(folder, IMPLICIT)


@case("volume")
def no_preamble_explicit(folder: Path) -> VolumeTruth:
    return _without_preamble(folder, EXPLICIT)


@case("volume", oracle=False)
def meta_without_preamble(folder: Path) -> VolumeTruth:
    """The file meta information is there, the 128 bytes and DICM are not."""
    truth = good(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    return truth


@case("volume x3")
def nested_folders(folder: Path) -> list[VolumeTruth]:
    """Studies in folders in folders, one series in two of them."""
    first = good(folder / "st1" / "se1", seed=0)
    second = good(folder / "st2" / "deep" / "deeper" / "se1", seed=1)
    series = make_series(Grid(), seed=2, series=2)
    write(Series(series.datasets[:4], []), folder / "st3" / "a")
    write(Series(series.datasets[4:], []), folder / "st3" / "b")
    return [first, second, series.truth()]


@case("volume")
def unicode_names(folder: Path) -> VolumeTruth:
    """Folders in Japanese and with a space, a patient in Japanese."""
    series = make_series()
    alike(series, SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    write(series, folder / "脳 MRI" / "Übersicht")
    return series.truth()


@case("volume")
def character_set_lies(folder: Path) -> VolumeTruth:
    """UTF-8 said, Latin-1 written; and a character set that does not exist."""
    truth = good(folder)
    for n, path in enumerate(sorted(folder.iterdir())):
        raw = path.read_bytes().replace(b"Quinquaille^Zebedee", b"Quinquaill\xe9^Zebedee")
        at = raw.index(b"\x08\x00\x08\x00CS")
        said = b"\x08\x00\x05\x00CS\x0a\x00" + (b"ISO_IR 999" if n % 2 else b"ISO_IR 192")
        path.write_bytes(raw[:at] + said + raw[at:])
    return truth


@case("volume")
def names_carry_the_patient(folder: Path) -> VolumeTruth:
    """Folder and file names made of the patient: they may not show up in any message."""
    return good(folder / f"{PATIENT_ID}_Quinquaille_Zebedee", "Quinquaille_{:04d}.dcm")


@case("refused", oracle=False)
def names_carry_the_patient_and_fail(folder: Path) -> None:
    """The same, with a gap and a truncated file: what is refused is not to name anybody either."""
    series = make_series().without(4)
    paths = write(series, folder / f"{PATIENT_ID}_Quinquaille_Zebedee", pattern="Zebedee_{:04d}.dcm")
    paths[0].write_bytes(paths[0].read_bytes()[:-50])


@case("nothing | unreadable", oracle=False)
def empty_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


@case("nothing", oracle=False, notes=("not DICOM",))
def no_dicom_at_all(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "readme.txt").write_text("nothing to see")
    (folder / "noise.dcm").write_bytes(np.random.default_rng(0).bytes(5000))


@case("volume", notes=("not DICOM",))
def junk_beside(folder: Path) -> VolumeTruth:
    """What file managers, viewers and people leave behind."""
    import nibabel as nib

    truth = good(folder)
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(3000))
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(500))
    (folder / "._0001.dcm").write_bytes(b"\0\5\x16\7" + bytes(4000))
    (folder / "notes.txt").write_text("slice 4 looks odd")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "README").write_text("no slice either")
    (folder / "page.html").write_text("<html>" + "x" * 500)
    nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)).to_filename(folder / "scan.nii")
    nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)).to_filename(folder / "scan.nii.gz")
    return truth


@case("volume x2", root="export.zip")
def zip_of_folders(folder: Path) -> list[VolumeTruth]:
    truths = [good(folder / "in" / "a", seed=0), good(folder / "in" / "b", "IM{:04d}", seed=1)]
    with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "in").rglob("*")):
            archive.write(path, path.relative_to(folder / "in"))
        archive.writestr("__MACOSX/._junk", b"\0\5\x16\7")
    return truths


@case("volume", root="flat.zip")
def zip_stored_without_compression(folder: Path) -> VolumeTruth:
    truth = good(folder / "in")
    with zipfile.ZipFile(folder / "flat.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((folder / "in").iterdir()):
            archive.write(path, path.name)
    return truth


def _media(folder: Path) -> list[VolumeTruth]:
    """A CD: DICOMDIR and files named by its rules."""
    truths, paths = [], []
    for n in range(2):
        series = make_series(Grid(directions=OBLIQUE), seed=n, series=n).set(SeriesNumber=n + 1)
        paths += write(series, folder / "raw" / str(n))
        truths.append(series.truth())
    make_medium(folder / "cd", paths)
    return truths


@case("volume x2", root="cd/DICOMDIR")
def dicomdir_file(folder: Path) -> list[VolumeTruth]:
    return _media(folder)


@case("volume x2", root="cd", notes=("a DICOMDIR",))
def folder_of_a_cd(folder: Path) -> list[VolumeTruth]:
    return _media(folder)


@case("volume", root="in/0003.dcm")
def one_file_of_a_multiframe_series(folder: Path) -> VolumeTruth:
    """A file given instead of a folder, which holds all by itself."""
    from benchmarks._dicom_corpus.enhanced_cases import one_enhanced

    return one_enhanced(folder / "in" / "0003.dcm")


@case("one-slice | volume", oracle=False, root="in/0003.dcm")
def one_file_of_a_classic_series(folder: Path) -> VolumeTruth:
    """A slice given instead of its folder: one slice, or the series around it."""
    return good(folder / "in")


@case("volume | duplicate")
def symlinks(folder: Path) -> VolumeTruth:
    """Links to each file, to the folder, and one that goes in a circle."""
    truth = good(folder / "real")
    (folder / "links").mkdir()
    for path in sorted((folder / "real").iterdir()):
        os.symlink(path, folder / "links" / path.name)
    os.symlink(folder / "real", folder / "again")
    os.symlink(folder, folder / "real" / "circle")
    os.symlink(folder / "nowhere", folder / "broken")
    return truth


@case("volume", root="links")
def symlinked_files_only(folder: Path) -> VolumeTruth:
    """A folder of links into a store, as DataLad and nipype make them."""
    truth = good(folder / "store")
    (folder / "links").mkdir()
    for n, path in enumerate(sorted((folder / "store").iterdir())):
        os.symlink(path, folder / "links" / f"{n}.dcm")
    return truth
