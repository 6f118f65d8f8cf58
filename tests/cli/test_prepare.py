"""`medidiff prepare` from end to end: real scans, DICOM, BIDS, bad input, interruption; stores that are the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from medidiff.cohort.data_card import HEADINGS
from medidiff.cohort.store import Store
from medidiff.io import read_nifti, write_nifti
from medidiff.volume import Volume

from .conftest import Run, make_scan
from .dicom_files import NUMBER, PLANTED, make_series

SHAPE = (12, 14, 10)


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Six scans of three patients, with a table."""
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    for k in range(6):
        make_scan(folder / ("more" if k > 3 else "") / f"case-{k}.nii.gz", seed=k, shape=SHAPE)
    rows = [f"case-{k}\tP{k // 2}\t{20 + k}\t{'FM'[k % 2]}" for k in range(6)]
    (tmp_path / "participants.tsv").write_text("\n".join(["case\tpatient\tage\tsex", *rows]) + "\n")
    return folder


def prepared(run: Run, *args: object, code: int = 0) -> dict:
    done = run("prepare", *args, "--jobs", 1, "--json")
    assert done.code == code, (done.out, done.err)
    return done.json


# What comes of it -----------------------------------------------------------------------------------------------------


def test_a_folder_with_a_table(cohort: Path, tmp_path: Path, run: Run) -> None:
    done = run("prepare", cohort, "-o", "store", "--table", "participants.tsv", "--seed", 3, "--licence", "CC0")
    assert done.code == 0, done.err
    assert done.out.startswith("store: 6 scans of 3 patients")
    assert "split (coin with seed 3): train" in done.out
    store = Store.open(tmp_path / "store")
    rows = store.scans()
    assert {row.source for row in rows} == {
        *(f"case-{k}.nii.gz" for k in range(4)),
        "more/case-4.nii.gz",
        "more/case-5.nii.gz",
    }
    assert {row.patient for row in rows} == {"P0", "P1", "P2"}
    assert store.attributes["age"]["kind"] == "continuous"
    card = (tmp_path / "store" / "card.md").read_text()
    assert [line for line in card.splitlines() if line.startswith("## ")] == [f"## {heading}" for heading in HEADINGS]
    assert "CC0." in card
    assert "seed 3" in card
    for name in ("case-", "P0", "P1", "P2"):
        assert name not in card
    for picture in ("splits", "grids", "intensities", "attributes"):
        assert (tmp_path / "store" / f"card_{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_two_folders_with_files_of_the_same_name(tmp_path: Path, run: Run) -> None:
    for k, name in enumerate(("anna", "bert")):
        (tmp_path / name).mkdir()
        scan = make_scan(tmp_path / name / "t1.nii.gz", seed=k, shape=SHAPE)
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[: k + 1, 0, 0] = 1
        write_nifti(Volume(labels, scan.affine_ras), tmp_path / f"{name}" / "labels.nii.gz")
    (tmp_path / "p.tsv").write_text("participant_id\tsplit\nanna\ttrain\nbert\tholdout\n")
    scans = "anna/t1.nii.gz", "bert/t1.nii.gz"
    prepared(run, *scans, "-o", "store", "--table", "p.tsv", "--masks", "labels.nii.gz")
    store = Store.open(tmp_path / "store")
    found = {row.patient: (row.split, int(store.read(row.scan_id, array="mask").sum())) for row in store.scans()}
    assert found == {"anna": ("train", 1), "bert": ("holdout", 2)}


def test_visits_that_are_called_as_patients_are(tmp_path: Path, run: Run) -> None:
    for k, name in enumerate(("1/1", "1/2", "2/1", "2/2")):
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        make_scan(tmp_path / "scans" / f"{name}.nii.gz", seed=k, shape=SHAPE)
    (tmp_path / "p.tsv").write_text("participant_id\tsplit\n1\ttrain\n2\tholdout\n")
    done = run("prepare", "scans", "-o", "store", "--table", "p.tsv", "--jobs", 1)
    assert done.code == 2
    assert "two of its patients" in done.err
    rows = "1/1\t1\n1/2\t1\n2/1\t2\n2/2\t2\n"
    (tmp_path / "p.tsv").write_text("case\tpatient\n" + rows)
    prepared(run, "scans", "-o", "store", "--table", "p.tsv")
    assert {row.source: row.patient for row in Store.open(tmp_path / "store").scans()} == {
        f"{v}/{w}.nii.gz": v for v in "12" for w in "12"
    }


def test_scans_that_are_not_given_again_are_told(cohort: Path, tmp_path: Path, run: Run) -> None:
    prepared(run, cohort, "-o", "store", "--table", "participants.tsv", "--seed", 3, "--licence", "CC0")
    done = prepared(run, cohort, "-o", "store", "--table", "participants.tsv", "--include", "case-[0-3]*")
    assert any("2 prepared before are not among the scans given now" in text for text in done["warnings"])
    done = prepared(run, cohort, "-o", "store", "--table", "participants.tsv")
    assert not any("prepared before" in text for text in done["warnings"])
    assert Store.open(tmp_path / "store").meta["licence"] == "CC0"


def test_a_table_of_cases_alone_takes_each_for_a_patient_and_says_so(cohort: Path, tmp_path: Path, run: Run) -> None:
    told = prepared(run, cohort, "-o", "store", "--table", "participants.tsv", "--seed", 3)
    assert not any("a patient of its own" in text for text in told["warnings"])
    (tmp_path / "t.tsv").write_text("\n".join(["case\tage", *(f"case-{k}\t{k}" for k in range(6))]) + "\n")
    told = prepared(run, cohort, "-o", "other", "--table", "t.tsv", "--seed", 3)
    assert sum("whose 6 scans are (column `patient`): every case is taken" in text for text in told["warnings"]) == 1


def test_a_window_asks_what_scans_of_no_known_modality_are(cohort: Path, tmp_path: Path, run: Run) -> None:
    args = (cohort, "-o", "store", "--table", "participants.tsv", "--seed", 3, "--intensity", "window:-1000,1000")
    told = prepared(run, *args)
    assert any(text.startswith("6 of 6 scans: nobody says whether it is CT") for text in told["warnings"])
    told = prepared(run, *args, "--modality", "CT")  # the answer counts in the same store
    assert not any("whether it is CT" in text for text in told["warnings"])
    assert {row.modality for row in Store.open(tmp_path / "store").scans()} == {"CT"}


def test_one_scan_of_two_patients_is_in_the_store_under_no_name(cohort: Path, tmp_path: Path, run: Run) -> None:
    shutil.copy(cohort / "case-0.nii.gz", cohort / "more" / "case-3b.nii.gz")
    with (tmp_path / "participants.tsv").open("a") as table:
        table.write("case-3b\tP9\t20\tF\n")
    done = run("prepare", cohort, "-o", "store", "--table", "participants.tsv", "--jobs", 1)
    assert done.code == 4
    assert "TWO PATIENTS" in done.err
    sources = {row.source for row in Store.open(tmp_path / "store").scans()}
    assert len(sources) == 5
    assert not sources & {"case-0.nii.gz", "more/case-3b.nii.gz"}


def test_the_advice_on_4d_dicom_names_options_of_prepare(tmp_path: Path, run: Run) -> None:
    for k in range(2):
        make_series(tmp_path / "dicom" / str(k), seed=k, study=str(k), patient=(f"A{k}", f"{NUMBER}{k}"))
    for time_point in (1, 2):
        folder = tmp_path / "dicom" / f"t{time_point}"
        make_series(folder, number=9, study="0", patient=("A0", f"{NUMBER}0"), TemporalPositionIdentifier=time_point)
        for file in folder.iterdir():
            plane = pydicom.dcmread(file)
            plane.SeriesInstanceUID = "1.2.3.4"
            plane.save_as(file)
    told = prepared(run, "dicom", "-o", "store", code=4)
    reasons = [one["reason"] for one in told["rejected"] if one["kind"] == "4D"]
    assert len(reasons) == 1
    assert "--4d each takes every one of them." in reasons[0]
    assert "--series" not in (tmp_path / "store" / "rejected.tsv").read_text()


def test_scans_that_leave_train_are_told(cohort: Path, tmp_path: Path, run: Run) -> None:
    table = tmp_path / "split.tsv"
    rows = "".join(f"case-{k}\tP{k // 2}\tSPLIT{k // 2}\n" for k in range(6))
    for change, told in ((("train", "val", "holdout"), False), (("holdout", "val", "train"), True)):
        text = rows
        for k, split in enumerate(change):
            text = text.replace(f"SPLIT{k}", split)
        table.write_text("case\tpatient\tsplit\n" + text)
        done = prepared(run, cohort, "-o", "store", "--table", "split.tsv")
        assert any("2 of 2 scans that were in train are held out now" in one for one in done["warnings"]) == told


def test_dicom_that_may_split_a_person_is_told(tmp_path: Path, run: Run) -> None:
    for k, (number, issuer) in enumerate((("", ""), ("", ""), ("77123", "A"), ("77123", "B"))):
        tags: dict[str, Any] = {"IssuerOfPatientID": issuer} if issuer else {}
        make_series(tmp_path / "d" / str(k), seed=k, study=str(k), number=k + 1, patient=("X^Y", number), **tags)
    done = prepared(run, "d", "-o", "store")
    told = " ".join(done["warnings"])
    assert "2 scans without a patient number in the header" in told
    assert "the numbers of 1 patient occur with several issuers" in told
    assert "77123" not in told


def test_the_stored_scan_is_the_file_turned_to_ras(cohort: Path, tmp_path: Path, run: Run) -> None:
    prepared(run, cohort, "-o", "store", "--table", "participants.tsv", "--seed", 3)
    store = Store.open(tmp_path / "store")
    row = next(row for row in store.scans() if row.source == "case-1.nii.gz")
    file = read_nifti(cohort / "case-1.nii.gz")  # its x axis runs to the left
    back = store.read(row.scan_id).astype(np.float64) * row.intensity_scale + row.intensity_offset
    np.testing.assert_allclose(back, file.data[::-1], atol=row.intensity_scale * 2**-10)
    assert row.affine_ras[:4] == (1.5, 0, 0, 12 - 1.5 * (SHAPE[0] - 1))


def test_shuffled_input_and_a_second_run_give_the_same_hash(cohort: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "other").mkdir()
    for file in cohort.rglob("*.nii.gz"):  # the same scans in folders of another order
        os.link(file, tmp_path / "other" / file.name)
    first = prepared(run, cohort, "-o", "a", "--table", "participants.tsv", "--seed", 3)
    files = sorted((tmp_path / "other").iterdir(), reverse=True)
    second = prepared(run, *files, "-o", "b", "--table", "participants.tsv", "--seed", 3)
    again = prepared(run, cohort, "-o", "a", "--table", "participants.tsv")
    assert first["content_hash"] == second["content_hash"] == again["content_hash"]
    assert again["resumed"] == 6
    assert first["splits"] == again["splits"]


def test_include_and_masks(tmp_path: Path, run: Run) -> None:
    for k in range(4):
        folder = tmp_path / "set" / f"S{k}"
        folder.mkdir(parents=True)
        scan = make_scan(folder / "CT_image.nii.gz", seed=k, shape=SHAPE)
        make_scan(folder / "MR_image.nii.gz", seed=10 + k, shape=SHAPE)
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[2:5] = 1 + k
        write_nifti(scan.with_data(labels), folder / "CT_mask.nii.gz", "uint8")
    (tmp_path / "t.csv").write_text("case,split\n" + "".join(f"S{k},train\n" for k in range(4)))
    told = prepared(run, "set", "-o", "ct", "--table", "t.csv", "--include", "*CT_*", "--masks", "CT_mask.nii.gz")
    assert (told["scans"], told["patients"], told["rejected"]) == (4, 4, [])
    store = Store.open(tmp_path / "ct")
    row = next(row for row in store.scans() if row.patient == "S2")
    assert sorted(np.unique(store.read(row.scan_id, array="mask"))) == [0, 3]
    # without --masks label maps are no scans, and that is said
    told = prepared(run, "set", "-o", "all", "--table", "t.csv", code=4)
    assert told["scans"] == 8
    assert {one["kind"] for one in told["rejected"]} == {"label map"}


def test_dicom_by_pseudonym_with_age_and_sex(tmp_path: Path, run: Run) -> None:
    for k in range(3):
        make_series(tmp_path / "dicom" / str(k), seed=k, study=str(k), patient=(f"Quxwort^Zelda{k}", f"{NUMBER}{k}"))
    make_series(
        tmp_path / "dicom" / "gap", seed=9, study="0", number=7, missing=(4,), patient=("Quxwort^Zelda0", f"{NUMBER}0")
    )
    done = run("prepare", "dicom", "-o", "store", "--intensity", "window:-1000,400", "--jobs", 1, "--json")
    assert done.code == 4, done.err
    told = done.json
    assert (told["scans"], told["patients"]) == (3, 3)
    assert [one["kind"] for one in told["rejected"]] == ["geometry"]
    rows = Store.open(tmp_path / "store").scans()
    assert {row.modality for row in rows} == {"CT"}
    assert all(row.patient.startswith("p-") for row in rows)
    assert [row.attributes for row in rows] == [{"age": 58.0, "sex": "F"}] * 3
    written = [path for path in (tmp_path / "store").iterdir() if path.is_file()]
    text = b" ".join(path.read_bytes() for path in written).lower() + (done.out + done.err).lower().encode()
    for planted in PLANTED:
        assert planted.encode() not in text, planted


def test_a_hospitals_own_table_of_patient_numbers(tmp_path: Path, run: Run) -> None:
    for k in range(3):
        make_series(tmp_path / "dicom" / str(k), seed=k, study=str(k), patient=(f"Quxwort^Zelda{k}", f"{NUMBER}{k}"))
    rows = [f"{NUMBER}{k}\t{'train' if k else 'val'}\t{k}.5" for k in range(2)]
    (tmp_path / "t.tsv").write_text("\n".join(["participant_id\tsplit\tbmi", *rows, "XX-absent\ttrain\t3"]) + "\n")
    done = run("prepare", "dicom", "-o", "store", "--table", "t.tsv", "--jobs", 1, "--json")
    assert done.code == 0, done.err
    told = done.json
    assert told["scans"] == 2
    assert [(one["kind"], one["failed"]) for one in told["rejected"]] == [("not in the table", False)]
    assert any("1 row of t.tsv without a scan." in text for text in told["warnings"])
    rows = Store.open(tmp_path / "store").scans()
    assert {(row.split, row.attributes["bmi"]) for row in rows} == {("val", 0.5), ("train", 1.5)}
    assert all(row.patient.startswith("p-") for row in rows)
    assert NUMBER not in done.out + done.err
    # two series of a patient, one under its own name and one under his number, in two splits
    make_series(tmp_path / "dicom" / "b", seed=7, number=8, study="0", patient=("Quxwort^Zelda0", f"{NUMBER}0"))
    series = next(row.source for row in rows if row.split == "val")
    (tmp_path / "t.tsv").write_text(f"case\tsplit\n{series}\tval\n{NUMBER}0\ttrain\n{NUMBER}1\ttrain\n")
    clash = run("prepare", "dicom", "-o", "other", "--table", "t.tsv", "--jobs", 1)
    clash.failed_cleanly(2, "stands in two splits, ")
    assert NUMBER not in clash.err
    (tmp_path / "t.tsv").write_text(f"case\tsplit\n{series}\tval\n{NUMBER}0\tval\n{NUMBER}1\ttrain\n")
    assert prepared(run, "dicom", "-o", "other", "--table", "t.tsv")["patients"] == 2


def test_a_bids_dataset_with_its_own_table(tmp_path: Path, run: Run) -> None:
    root = tmp_path / "bids"
    for k in range(1, 4):
        folder = root / f"sub-0{k}" / "anat"
        folder.mkdir(parents=True)
        make_scan(folder / f"sub-0{k}_T1w.nii.gz", seed=k, shape=SHAPE)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\nsub-02\tn/a\nsub-03\t50\n")
    told = prepared(run, root, "-o", "store", "--holdout", "none", "--seed", 1)
    assert (told["scans"], told["patients"], told["coin"]["holdout"]) == (3, 3, "none")
    rows = {row.patient: row for row in Store.open(tmp_path / "store").scans()}
    assert rows["sub-02"].attributes == {"age": None}
    assert rows["sub-03"].modality == "MR"


def test_4d_is_refused_or_taken_apart(tmp_path: Path, run: Run) -> None:
    import nibabel as nib

    rng = np.random.default_rng(0)
    for k in range(2):
        data = rng.normal(0, 20, (*SHAPE, 3)).astype(np.float32) + 100 * np.arange(SHAPE[0])[:, None, None, None]
        nib.Nifti1Image(data, np.diag([2, 2, 2, 1])).to_filename(tmp_path / f"b{k}.nii.gz")  # type: ignore[no-untyped-call]
    (tmp_path / "t.tsv").write_text("case\nb0\nb1\n")
    refused = run("prepare", "b0.nii.gz", "b1.nii.gz", "-o", "s", "--table", "t.tsv", "--jobs", 1)
    refused.failed_cleanly(3, "2 refused (2 4D)", "--4d each takes every one of them")
    told = prepared(run, "b0.nii.gz", "b1.nii.gz", "-o", "s", "--table", "t.tsv", "--4d", "each")
    assert (told["scans"], told["patients"]) == (6, 2)


# Bad input ------------------------------------------------------------------------------------------------------------


def test_bad_files_are_listed_and_the_rest_is_done(cohort: Path, tmp_path: Path, run: Run) -> None:
    flat = Volume.from_array(np.full(SHAPE, 5.0, dtype=np.float32))
    write_nifti(flat, cohort / "case-6.nii.gz")
    (cohort / "case-7.nii.gz").write_bytes(b"not a scan")
    whole = (cohort / "case-0.nii.gz").read_bytes()
    (cohort / "case-8.nii.gz").write_bytes(whole[: len(whole) // 2])
    table = tmp_path / "participants.tsv"
    table.write_text(table.read_text() + "".join(f"case-{k}\tP{k}\tn/a\tF\n" for k in (6, 7, 8, 9)))
    done = run("prepare", cohort, "-o", "store", "--table", table, "--seed", 3, "--jobs", 1)
    done.failed_cleanly(4, "3 scans could not be used, 6 are done", "refused (constant): case-6.nii.gz")
    assert "warning: 1 row of participants.tsv without a scan: case-9." in done.err
    listed = (tmp_path / "store" / "rejected.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[0] for line in listed] == ["case-6.nii.gz", "case-7.nii.gz", "case-8.nii.gz"]
    assert str(tmp_path) not in "".join(listed)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("absent/", "-o", "s"), 3, "no such file or folder"),
        (("scans", "-o", "s"), 2, "--table: is needed: nothing says whose case-0.nii.gz is (and 5 more)"),
        (("scans", "-o", "s", "--table", "absent.tsv"), 2, "no such file"),
        (("scans", "-o", "scans/store", "--table", "participants.tsv"), 2, "Give a folder outside"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--include", "*.mgz"), 3, "none of 6 scans fits"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--masks", "{case}_s.nii.gz"), 2, "no such file for any"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--masks", "labels"), 2, "must end in .nii.gz"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--spacing-mm", "1,2"), 2, "one number of mm or three"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--spacing-mm", "0"), 2, "one number of mm or three"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--intensity", "window:5,1"), 2, "window:LOW,HIGH"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--orientation", "LPS"), 2, "must be RAS or native"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--holdout", "half"), 2, "must be coin or none"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--jobs", 0), 2, "must be 1 or more"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--seed", -1), 2, "must be 0 or more"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--recipe", "absent.yaml"), 2, "cannot be read"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--categorical", "site"), 2, "must be a column of"),
        (("scans", "-o", "s", "--table", "participants.tsv", "--4d", "all"), 2, "must be error or each"),
        (("scans", "-o", "s", "--table", "other.tsv"), 3, "none of its 2 rows belongs to a scan. Found: case-0.nii.gz"),
        (("scans/case-0.nii.gz", "-o", "s", "--table", "participants.tsv"), 3, "a cohort of one patient"),
        (("scans", "-o", "participants.tsv/s", "--table", "participants.tsv"), 5, "cannot be made"),
        (("scans", "-o", "full", "--table", "participants.tsv"), 3, "holds other files"),
        (("scans", "-o", "nowhere://s", "--table", "participants.tsv"), 3, "cannot be reached"),
    ],
)  # fmt: skip
def test_bad_arguments(args: tuple[object, ...], code: int, said: str, cohort: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "other.tsv").write_text("case\nX1\nX2\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    run("prepare", *args).failed_cleanly(code, said)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spacing: 1", "spacing: no such key"),
        ("spacing_mm: [1, 2]", "spacing_mm"),
        ("intensity: {type: window, low: 3, high: 1}", "low 3 must be below high 1"),
        ("tau: -1", "tau"),
        ("- 1", "must hold keys and values"),
        ("a: [", "not YAML"),
    ],
)
def test_bad_recipes(text: str, said: str, cohort: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "r.yaml").write_text(text)
    done = run("prepare", cohort, "-o", "s", "--table", "participants.tsv", "--recipe", "r.yaml")
    done.failed_cleanly(2, said)


def test_a_recipe_file_and_options_over_it_and_another_recipe_later(cohort: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "r.yaml").write_text("spacing_mm: [2, 2, 2]\ntau: 0.01\n")
    args = (cohort, "-o", "s", "--table", "participants.tsv", "--recipe", "r.yaml", "--seed", 1)
    prepared(run, *args, "--spacing-mm", "1.5,1,2")
    rows = Store.open(tmp_path / "s").scans()
    assert {row.spacing_mm for row in rows} == {(1.5, 1, 2)}
    assert {row.tau for row in rows} == {0.01}
    run("prepare", *args).failed_cleanly(2, "spacing_mm: [1.5, 1.0, 2.0] -> [2.0, 2.0, 2.0]", "Nothing was done")


def test_nifti_and_dicom_together_are_refused(cohort: Path, run: Run) -> None:
    make_series(cohort / "dicom")
    run("prepare", cohort, "-o", "s").failed_cleanly(2, "6 NIfTI files and DICOM too")


def test_a_full_disk(cohort: Path, tmp_path: Path, run: Run, mounted: Callable[..., Path]) -> None:
    place = mounted(size="48k")
    done = run("prepare", cohort, "-o", place / "s", "--table", "participants.tsv", "--seed", 1, "--jobs", 1)
    done.failed_cleanly(5, "No space left")
    subprocess.run(["mount", "-o", "remount,size=4m", place], check=True)
    told = prepared(run, cohort, "-o", place / "s", "--table", "participants.tsv", "--seed", 1)
    assert 0 < told["resumed"] < 6
    fresh = prepared(run, cohort, "-o", "fresh", "--table", "participants.tsv", "--seed", 1)
    assert told["content_hash"] == fresh["content_hash"]


# Killed and stopped ---------------------------------------------------------------------------------------------------


def many(folder: Path, count: int) -> None:
    folder.mkdir()
    for k in range(count):
        make_scan(folder / f"case-{k:03d}.nii.gz", seed=k, shape=SHAPE)
    rows = [f"case-{k:03d}\tP{k // 2}" for k in range(count)]
    (folder.parent / "t.tsv").write_text("\n".join(["case\tpatient", *rows]) + "\n")


def journal_lines(store: Path) -> int:
    journal = store / "prepare.jsonl"
    return journal.read_bytes().count(b'"key"') if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_killed_or_stopped_it_goes_on_without_doing_anything_twice(
    how: signal.Signals, code: int, tmp_path: Path, run: Run
) -> None:
    many(tmp_path / "many", 60)
    args = [str(a) for a in ("prepare", "many", "-o", "s", "--table", "t.tsv", "--seed", 1)]
    process = subprocess.Popen(
        [sys.executable, "-m", "medidiff", *args, "--jobs", "2"],
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    deadline = time.monotonic() + 60
    while journal_lines(tmp_path / "s") < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == code, said
    assert "Traceback" not in said
    if how == signal.SIGINT:
        assert "of 60 scans looked at; the same command goes on." in said
    done = journal_lines(tmp_path / "s")
    assert 10 <= done < 60
    told = prepared(run, *args[1:])
    assert told["resumed"] == done
    fresh = prepared(run, "many", "-o", "fresh", "--table", "t.tsv", "--seed", 1)
    assert told["content_hash"] == fresh["content_hash"]
    for name in ("manifest.parquet",):
        assert (tmp_path / "s" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


# Real scans -----------------------------------------------------------------------------------------------------------


def test_hippocampus(real_data: Callable[[str], Path], tmp_path: Path, run: Run) -> None:
    root = real_data("hippocampus")
    told = prepared(
        run, root / "images", "-o", "h", "--table", root / "participants.tsv", "--masks", "../labels/{case}.nii.gz",
        "--include", "hippocampus_0*",
    )  # fmt: skip
    rows = Store.open(tmp_path / "h").scans()
    assert told["scans"] == len(rows) == len(list((root / "images").glob("hippocampus_0*")))
    assert told["coin"]["seed"] is None
    split_of = {}
    for row in rows:
        assert split_of.setdefault(row.patient, row.split) == row.split
        assert 0.01 < row.tau < 0.1  # about 4% of p99.5, half that of the normalised range of 2
    assert sorted(np.unique(Store.open(tmp_path / "h").read(rows[0].scan_id, array="mask"))) == [0, 1, 2]


def test_ixi_at_4_mm(real_data: Callable[[str], Path], tmp_path: Path, run: Run) -> None:
    root = real_data("ixi")
    args = (root / "images", "--table", root / "participants.tsv", "--include", "IXI01*")
    prepared(run, *args, "-o", "fine")
    told = prepared(run, *args, "-o", "coarse", "--spacing-mm", 4)
    fine = {row.patient: row for row in Store.open(tmp_path / "fine").scans()}
    coarse = {row.patient: row for row in Store.open(tmp_path / "coarse").scans()}
    assert set(fine) == set(coarse)
    assert told["attributes"]["sex"] == {"kind": "categorical", "values": ["F", "M"]} or len(fine) < 4
    for patient, row in coarse.items():
        assert row.shape == (45, 60, 60)
        assert row.spacing_mm == pytest.approx((4, 4, 4))
        # the mean over 2 x 2 x 2 leaves 1/sqrt(8) of white noise
        before = fine[patient]
        noise = before.tau * before.intensity_scale
        assert row.tau * row.intensity_scale == pytest.approx(noise / np.sqrt(8), rel=0.02)


def test_real_dicom_of_one_patient_and_its_tables_word(
    real_data: Callable[[str], Path], tmp_path: Path, run: Run
) -> None:
    root = real_data("dicom") / "brain_tumor"
    run("prepare", root, "-o", "s", "--jobs", 1).failed_cleanly(3, "a cohort of one patient")
    scanned = run("scan", root, "--table", "t.tsv")
    assert scanned.code == 0, scanned.err
    told = prepared(run, root, "-o", "s", "--table", "t.tsv")  # its split column insists
    assert told["patients"] == 1
    assert told["scans"] >= 3
    assert any("no patient in" in text for text in told["warnings"])
    assert {row.modality for row in Store.open(tmp_path / "s").scans()} == {"MR"}


def test_the_json_of_a_run_that_fails_names_what_was_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "x").mkdir()
    for k in range(2):
        write_nifti(Volume.from_array(np.full(SHAPE, float(k), dtype=np.float32)), tmp_path / "x" / f"c{k}.nii.gz")
    (tmp_path / "t.tsv").write_text("case\nc0\nc1\n")
    told = prepared(run, "x", "-o", "s", "--table", "t.tsv", code=3)
    assert told["status"] == "failed"
    assert [one["kind"] for one in told["rejected"]] == ["constant", "constant"]
    assert json.loads((tmp_path / "s" / "store.json").read_text())["complete"] is False
