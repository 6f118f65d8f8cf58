"""`medidiff scan`: what it tells of folders, what it writes, and that nothing of a patient is in either."""

import csv
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from medidiff.cohort.sources import read_split

from ..io.identity.planted import BORN, NAME, NUMBER, Planted, plant
from .conftest import Ran, Run, make_scan

pytest.importorskip("pydicom")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDIDIFF_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def written_below(folder: Path) -> Iterator[str]:
    """Names and contents of everything that a verb left."""
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder))
        if path.is_file():
            yield path.read_bytes().decode("latin-1")


def hashes(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


# Verbs that read DICOM, each with where it may write.
VERBS: dict[str, Callable[[Path, Path], list[object]]] = {
    "scan": lambda folder, out: ["scan", folder],
    "scan --json": lambda folder, out: ["scan", folder, "--json"],
    "scan --table": lambda folder, out: ["scan", folder, "--table", out / "participants.tsv"],
    "scan --phi": lambda folder, out: ["scan", folder, "--phi"],
    "scan --phi --json": lambda folder, out: ["scan", folder, "--phi", "--json"],
    "convert": lambda folder, out: ["convert", folder, "-o", out / "converted", "--all", "--json"],
    "convert --deidentify": lambda folder, out: [
        "convert", folder, "-o", out / "dicom", "--all", "--format", "dicom", "--deidentify",
    ],
    "denoise": lambda folder, out: [
        "denoise", folder, "-o", out / "clean", "-p", "tiny", "--all", "--format", "nifti", "--noise-std", "20",
        "--report", "--json",
    ],
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_of_a_patient_is_told_or_written(
    verb: str, planted: Planted, home: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = hashes(planted.folder)
    done = run(*VERBS[verb](planted.folder, out))
    assert done.code == 0, (done.out, done.err)
    assert not planted.left_in([done.out, done.err, *written_below(out)])
    assert hashes(planted.folder) == before


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_of_a_patient_is_told_when_it_fails(verb: str, home: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    out.mkdir()
    planted = plant(tmp_path / "in", 5)
    for path in planted.folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: -150 if path.name.endswith("3") else None])
    done = run(*VERBS[verb](planted.folder, out))
    assert "Traceback" not in done.err
    assert not planted.left_in([done.out, done.err, *written_below(out)])


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.startswith("scan")])
def test_a_folder_named_after_its_patient_is_not_repeated(
    verb: str, planted: Planted, home: Path, tmp_path: Path, run: Run
) -> None:
    done = run(*VERBS[verb](planted.folder / "Zqfamily_Zqgiven", tmp_path))
    assert done.code == 0
    assert "[id]" in done.out
    assert not planted.left_in([done.out, done.err])


def test_keep_ids_shows_them(planted: Planted, tmp_path: Path, run: Run) -> None:
    done = run("scan", planted.folder, "--keep-ids")
    assert f"Patient 1, study 1 ({NUMBER}, " in done.out
    told = run("scan", planted.folder, "--keep-ids", "--json").json["candidates"][0]
    assert told["patient_id"] == NUMBER
    assert told["series_description"] == planted.tokens["SeriesDescription"]
    assert NAME in run("scan", planted.folder, "--phi", "--keep-ids").out
    told = run("scan", planted.folder, "--phi", "--keep-ids", "--json").json["findings"]
    assert [BORN] in [found["values"] for found in told if found["where"] == "PatientBirthDate"]


def test_what_is_told_of_a_series(planted: Planted, run: Run) -> None:
    told = run("scan", planted.folder, "--json").json
    expected = {"status": "done", "exit_code": 0, "files": 5, "patients": 1, "studies": 1, "volumes": 1, "refused": 0}
    assert {key: told[key] for key in expected} == expected
    (one,) = told["candidates"]
    assert (one["shape"], one["spacing_mm"], one["plane"]) == ([16, 12, 5], [1.25, 1.5, 3.0], "axial")
    assert np.allclose(one["affine_ras"], [[-1.25, 0, 0, 0], [0, -1.5, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
    assert (one["series_number"], one["modality"], one["status"], one["refusal"]) == (7, "MR", "volume", None)
    assert one["files"] == one["slices"] == 5
    done = run("scan", planted.folder)
    assert f"{one['id']}  7       MR" in done.out
    assert "DICOM: 1 volume can be read, 0 refused, 0 set aside, of 1 patient in 1 study." in done.out


def test_a_zip_tells_the_same(planted: Planted, tmp_path: Path, run: Run) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in planted.folder.rglob("*"):
            archive.write(path, path.relative_to(planted.folder))
    done = run("scan", tmp_path / "x.zip", "--json")
    assert done.json["candidates"] == run("scan", planted.folder, "--json").json["candidates"]
    assert not planted.left_in([done.out, done.err])


def test_burned_in_text_is_warned_of(tmp_path: Path, run: Run) -> None:
    plant(tmp_path / "in", BurnedInAnnotation="YES")
    done = run("scan", tmp_path / "in")
    assert "warning: " in done.err
    assert "burned" in done.err.lower()


def test_a_refused_volume_is_told_and_no_failure_beside_a_good_one(tmp_path: Path, run: Run) -> None:
    plant(tmp_path / "in" / "good")
    bad = plant(tmp_path / "in" / "bad", 6, SeriesInstanceUID="1.2.999.5", SeriesNumber=8)
    next(path for path in bad.folder.rglob("*_3")).unlink()
    done = run("scan", tmp_path / "in")
    assert done.code == 0
    assert " refused\n" in done.out
    told = run("scan", tmp_path / "in", "--json").json
    assert told["refused"] == 1
    (refused,) = [one for one in told["candidates"] if one["status"] == "refused"]
    assert refused["refusal"]["code"] == "gap"
    assert refused["refusal"]["message"]
    assert refused["refusal"]["remedy"]
    (tmp_path / "only").mkdir()
    bad.folder.rename(tmp_path / "only" / "bad")
    run("scan", tmp_path / "only").failed_cleanly(3, "no volume that can be read as it is")
    failed = run("scan", tmp_path / "only", "--json")
    assert (failed.json["status"], failed.json["exit_code"], failed.json["refused"]) == ("failed", 3, 1)


@pytest.mark.parametrize("kind", ["nothing", "empty", "text"])
def test_where_there_is_nothing(kind: str, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "in"
    if kind != "nothing":
        folder.mkdir()
    if kind == "text":
        (folder / "notes.txt").write_text("no scan")
    run("scan", folder).failed_cleanly(3)
    run("scan", folder, "--phi").failed_cleanly(3)
    assert run("scan", folder, "--json").json["exit_code"] == 3


def test_the_json_object_has_the_same_keys_whatever_came_out(planted: Planted, tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    good = run("scan", planted.folder, "--json").json
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        bad = run("scan", folder, "--json").json
        assert bad.keys() == good.keys() | {"error"}
        assert (bad["candidates"], bad["nifti"], bad["other_files"], bad["files"]) == ([], [], [], 0)


def test_files_are_named_in_json(planted: Planted, run: Run) -> None:
    (one,) = run("scan", planted.folder, "--json").json["candidates"]
    assert one["file_names"] == [f"[id]/[id]-[id]/[id]_{index}" for index in range(5)]


def test_a_lost_slice_is_told(tmp_path: Path, run: Run) -> None:
    planted = plant(tmp_path / "in")
    next(planted.folder.rglob("*_4")).write_bytes(b"")
    done = run("scan", planted.folder)
    assert done.code == 3
    text = " ".join(done.out.split())
    assert "may be a slice of it: [id]/[id]-[id]/[id]_4 (empty). Get it again" in text
    assert "1 other file, empty:" in text
    assert "Patient 2" not in text


def test_usage(planted: Planted, tmp_path: Path, run: Run) -> None:
    run("scan", planted.folder, "--phi", "--table", tmp_path / "x.tsv").failed_cleanly(2, "--phi and --table")
    run("scan", planted.folder, "--overwrite").failed_cleanly(2, "--overwrite: is for --table")
    assert run("scan").code == 2


class TestTable:
    def test_it_is_a_cohort_split_by_patient(self, home: Path, tmp_path: Path, run: Run) -> None:
        for patient in range(12):
            for series in range(2):
                said = {"PatientID": f"ZQ{patient}", "StudyInstanceUID": f"1.2.9.{patient}", "SeriesNumber": series}
                uid = f"1.2.999.{patient}.{series}"
                plant(tmp_path / "in" / f"{patient}-{series}", 3, SeriesInstanceUID=uid, **said)
        table = tmp_path / "participants.tsv"
        assert run("scan", tmp_path / "in", "--table", table).code == 0
        rows = rows_of(table)
        assert len(rows) == 24
        assert len({row["case"] for row in rows}) == 24
        assert len({row["patient"] for row in rows}) == 12
        sides = {row["patient"]: row["split"] for row in rows}
        assert all(row["split"] == sides[row["patient"]] for row in rows)
        assert {(row["age"], row["sex"], row["modality"]) for row in rows} == {("89+", "F", "MR")}
        assert all(row["participant_id"] == "sub-p" + row["patient"][2:] for row in rows)
        found = {split: read_split(table, split) for split in ("train", "val", "holdout")}
        assert sum(map(len, found.values())) == 24
        first = table.read_bytes()
        assert run("scan", tmp_path / "in", "--table", table, "--overwrite").code == 0
        assert table.read_bytes() == first
        assert sorted(os.listdir(home)) == ["lock", "patients.csv", "pseudonym.key"]
        assert len((home / "patients.csv").read_text().splitlines()) == 13

    def test_its_cases_are_the_outputs_of_convert(self, planted: Planted, home: Path, tmp_path: Path, run: Run) -> None:
        run("scan", planted.folder, "--table", tmp_path / "participants.tsv")
        assert run("convert", planted.folder, "-o", tmp_path / "out", "--all").code == 0
        (row,) = rows_of(tmp_path / "participants.tsv")
        assert (tmp_path / "out" / f"{row['case']}.nii.gz").is_file()

    def test_nothing_is_replaced_unasked(self, planted: Planted, home: Path, tmp_path: Path, run: Run) -> None:
        table = tmp_path / "participants.tsv"
        run("scan", planted.folder, "--table", table)
        first = table.read_bytes()
        run("scan", planted.folder, "--table", table).failed_cleanly(2, "exists", "--overwrite")
        assert table.read_bytes() == first
        table.write_text("case\tsplit\nmine\ttrain\n")
        run("scan", planted.folder, "--table", table, "--overwrite").failed_cleanly(2, "no table of `medidiff scan`")
        assert table.read_text() == "case\tsplit\nmine\ttrain\n"

    def test_a_folder_that_is_not_there(self, planted: Planted, home: Path, tmp_path: Path, run: Run) -> None:
        run("scan", planted.folder, "--table", tmp_path / "no" / "x.tsv").failed_cleanly(5)

    def test_without_a_home_only_the_table_fails(
        self, planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("MEDIDIFF_HOME", str(tmp_path / "file" / "home"))
        assert run("scan", planted.folder).code == 0
        assert run("scan", planted.folder, "--phi").code == 0
        done = run("scan", planted.folder, "--table", tmp_path / "x.tsv")
        assert done.code in (3, 5)
        assert "MEDIDIFF_HOME" in done.err
        assert not (tmp_path / "x.tsv").exists()


class TestNifti:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "in"
        (folder / "sub-01" / "anat").mkdir(parents=True)
        make_scan(folder / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
        make_scan(folder / "loose.nii")
        nibabel.save(Nifti1Image(np.zeros((4, 5, 6, 7), np.int16), np.eye(4)), folder / "four.nii.gz")
        nibabel.save(Nifti1Image(np.zeros((4, 5, 1), np.int16), np.eye(4)), folder / "flat.nii.gz")
        (folder / "cut.nii").write_bytes((folder / "loose.nii").read_bytes()[:2000])
        return folder

    def test_all_of_them_are_listed(self, folder: Path, run: Run) -> None:
        done = run("scan", folder, "--json")
        assert done.code == 0
        told = {one["file"]: one for one in done.json["nifti"]}
        assert {name: (one["status"], one["shape"], one["volumes"]) for name, one in told.items()} == {
            "cut.nii": ("refused", None, 0),
            "flat.nii.gz": ("refused", None, 0),
            "four.nii.gz": ("volume", [4, 5, 6], 7),
            "loose.nii": ("volume", [17, 16, 20], 1),
            "sub-01/anat/sub-01_T1w.nii.gz": ("volume", [17, 16, 20], 1),
        }
        assert told["loose.nii"]["spacing_mm"] == [1.5, 1.0, 2.0]
        assert told["loose.nii"]["orientation"] == "LAS"
        assert told["cut.nii"]["refusal"].startswith("Truncated")
        assert "2D image" in told["flat.nii.gz"]["refusal"]
        text = run("scan", folder).out
        assert "NIfTI: 3 files can be read, 2 cannot." in text
        assert max(map(len, text.splitlines())) <= 100

    def test_one_file(self, folder: Path, run: Run) -> None:
        assert run("scan", folder / "loose.nii", "--json").json["nifti"][0]["file"] == "loose.nii"
        run("scan", folder / "cut.nii").failed_cleanly(3)

    def test_the_table_leaves_open_whose_a_loose_file_is(
        self, folder: Path, home: Path, tmp_path: Path, run: Run
    ) -> None:
        done = run("scan", folder, "--table", tmp_path / "participants.tsv")
        assert "3 scans of 1 known patient (" in done.err
        assert "2 whose patient is not known" in done.err
        rows = {row["case"]: row for row in rows_of(tmp_path / "participants.tsv")}
        assert rows["sub-01/anat/sub-01_T1w"]["patient"] == rows["sub-01/anat/sub-01_T1w"]["participant_id"] == "sub-01"
        assert rows["sub-01/anat/sub-01_T1w"]["split"] in ("train", "val", "holdout")
        assert rows["loose"]["split"] == rows["four"]["split"] == "n/a"
        assert not set(read_split(tmp_path / "participants.tsv", "train")) & {"loose", "four"}

    def test_age_and_sex_come_from_the_dataset(self, folder: Path, home: Path, tmp_path: Path, run: Run) -> None:
        """And the modality from the suffix; words for a sex are read, what else stands there is not."""
        (folder / "sub-02" / "ses-1" / "pet").mkdir(parents=True)
        make_scan(folder / "sub-02" / "ses-1" / "pet" / "sub-02_ses-1_pet.nii.gz")
        (folder / "sub-03").mkdir()
        make_scan(folder / "sub-03" / "sub-03_odd.nii.gz")
        table = "participant_id\tsex\tage\tname\nsub-01\tmale\t93\tZqname\nsub-02\tf\t41.6\tZqname\n03\tn/a\tZq\tx\n"
        (folder / "participants.tsv").write_text(table)
        assert run("scan", folder, "--table", tmp_path / "out.tsv").code == 0
        rows = {row["patient"]: (row["age"], row["sex"], row["modality"]) for row in rows_of(tmp_path / "out.tsv")}
        assert rows["sub-01"] == ("89+", "M", "MR")
        assert rows["sub-02"] == ("41", "F", "PT")
        assert rows["sub-03"] == ("n/a", "n/a", "n/a")
        assert "Zq" not in (tmp_path / "out.tsv").read_text()

    def test_names_of_patients_in_names_of_files(self, tmp_path: Path, home: Path, run: Run) -> None:
        (tmp_path / "in").mkdir()
        make_scan(tmp_path / "in" / "ZQ4471193_T1.nii.gz")
        (tmp_path / "in" / "ZQ4471193_T1.json").write_text(json.dumps({"PatientID": NUMBER}))
        done = run("scan", tmp_path / "in", "--table", tmp_path / "participants.tsv")
        assert "[id]_T1.nii.gz" in done.out
        assert "named after their patient" in done.err
        assert NUMBER not in done.out + done.err + (tmp_path / "participants.tsv").read_text()


@pytest.mark.parametrize("name", ["brain_tumor", "gantry_tilt_ct", "enhanced_mr", "dicom2nifti"])
def test_real_scans(name: str, real_data: Callable[[str], Path], run: Run) -> None:
    folder = real_data("dicom") / name
    done = run("scan", folder)
    assert done.code in (0, 3)
    assert max(map(len, done.out.splitlines())) <= 100
    told: dict[str, Any] = run("scan", folder, "--json").json
    assert told["candidates"]
    assert told["volumes"] + told["refused"] + told["not_volumes"] == len(told["candidates"])
    assert run("scan", folder, "--phi").code == 0


def test_one_id_of_a_4d_scan_everywhere(real_data: Callable[[str], Path], tmp_path: Path, run: Run) -> None:
    folder = real_data("dicom") / "dicom2nifti" / "ge" / "fmri" / "001"
    told = run("scan", folder, "--json")
    (listed,) = {one["stack"] for one in told.json["candidates"]}
    done = run("scan", folder)
    assert f"  {listed}  " in done.out
    assert f"warning: {listed}: only the instance numbers" in done.err
    out = tmp_path / "out.nii.gz"
    run("denoise", folder, "-o", out, "-p", "tiny").failed_cleanly(3, f"series-013-MR-{listed}: 4D")
    assert run("convert", folder, "-o", out, "--series", listed, "--4d", "each").code == 0
    assert run("scan", out, "--json").json["nifti"][0]["volumes"] == 2


def test_a_process_of_its_own(planted: Planted, home: Path, tmp_path: Path, shell: Run) -> None:
    done: Ran = shell("scan", planted.folder, "--table", tmp_path / "x.tsv")
    assert done.code == 0, done.err
    assert not planted.left_in([done.out, done.err, (tmp_path / "x.tsv").read_text()])
