"""Participants tables as people have them: the real ones, BIDS', `scan --table`, spreadsheets; and bad ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medidiff.cohort.participants import names_of, read_participants
from medidiff.errors import ConfigError


def write(folder: Path, text: str, name: str = "participants.tsv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_types_and_missing_values(tmp_path: Path) -> None:
    table = read_participants(
        write(tmp_path, "case\tage\tsex\tsite\tEDSS\nA\t41.5\tF\t1\tn/a\nB\t89+\tn/a\t2\t \nC\tn/a\tM\t1\tNaN\n"),
        categorical=["site"],
    )
    assert table.kinds == {"age": "continuous", "sex": "categorical", "site": "categorical"}
    assert [row.attributes for row in table.rows] == [
        {"age": 41.5, "sex": "F", "site": "1"},
        {"age": 89.0, "sex": None, "site": "2"},
        {"age": None, "sex": "M", "site": "1"},
    ]
    assert [row.patient for row in table.rows] == ["A", "B", "C"]
    assert any("EDSS is left out: it is empty" in text for text in table.warnings)


def test_a_spreadsheet_saved_as_csv(tmp_path: Path) -> None:
    text = '\ufeffCase;Patient;Split;Diagnosis\nscan 1;P1;Train;"sarcoma; high grade"\nscan 2;P1;;benign\n'
    table = read_participants(write(tmp_path, text, "table.csv"))
    assert [(row.patient, row.split) for row in table.rows] == [("P1", "train"), ("P1", "")]
    assert table.splits() == {"P1": "train"}
    assert table.rows[0].attributes == {"Diagnosis": "sarcoma; high grade"}


def test_cases_may_be_written_as_files(tmp_path: Path) -> None:
    table = read_participants(write(tmp_path, "case,age\nimages/A_T1w.nii.gz,30\nB.NII,40\n", "t.csv"))
    assert [row.keys for row in table.rows] == [("images/A_T1w",), ("B",)]
    assert table.find(names_of("images/A_T1w")) is table.rows[0]


def test_bids_has_one_row_a_participant(tmp_path: Path) -> None:
    table = read_participants(write(tmp_path, "participant_id\tage\nsub-01\t30\nsub-02\t40\n"))
    found = table.find(["sub-02/ses-1/anat/sub-02_ses-1_T1w", "sub-02"])
    assert found is not None
    assert (found.patient, found.attributes) == ("sub-02", {"age": 40.0})


def test_the_table_of_medidiff_scan(tmp_path: Path) -> None:
    head = "participant_id\tpatient\tcase\tsplit\tage\tsex\tmodality"
    rows = ["sub-p1\tp-1\tp-1_003_MR_a\ttrain\t44\tF\tMR", "sub-p1\tp-1\tp-1_004_MR_b\ttrain\t44\tF\tMR",
            "sub-p2\tp-2\tp-2_001_CT_c\tn/a\t89+\tn/a\tCT"]  # fmt: skip
    table = read_participants(write(tmp_path, "\n".join([head, *rows])))
    assert table.kinds == {"age": "continuous", "sex": "categorical"}
    assert table.find(["p-1_004_MR_b"]) is table.rows[1]
    assert table.find(["p-1"]) is None  # two scans: which row is meant is not clear
    assert table.find(["sub-p2"]) is table.rows[2]
    assert table.splits() == {"p-1": "train"}


def test_columns_that_name_people_stay_out(tmp_path: Path) -> None:
    table = read_participants(write(tmp_path, "case\tpatient_name\tDate_of_Birth\tage\nA\tDoe\t1970-01-31\t50\n"))
    assert list(table.kinds) == ["age"]
    assert len(table.warnings) == 2
    assert "Doe" not in " ".join(table.warnings)


@pytest.mark.parametrize(
    ("column", "meant"),
    [("pateint", "patient"), ("Patients", "patient"), ("patient_id", "patient"), ("Patient ID", "patient"),
     ("splt", "split"), ("Spilt", "split"), ("modalty", "modality"), ("participant-id", "participant_id"),
     ("cases", "case")],
)  # fmt: skip
def test_a_slip_in_a_columns_name_is_no_attribute(column: str, meant: str, tmp_path: Path) -> None:
    key = "participant_id" if meant == "case" else "case"
    with pytest.raises(ConfigError, match=f"the column '{column}': is `{meant}` meant\\? Rename it so"):
        read_participants(write(tmp_path, f"{key}\t{column}\nA\tx\nB\tx\n"))


def test_names_may_have_capitals_and_spaces_and_other_words_are_attributes(tmp_path: Path) -> None:
    text = (
        " Case,Patient , SPLIT,mortality,site,age,race,patient_no,outpatient\nA,p,train,1,2,3,4,5,6\nB,p,,1,2,3,4,5,6\n"
    )
    table = read_participants(write(tmp_path, text, "t.csv"))
    assert [(row.patient, row.split) for row in table.rows] == [("p", "train"), ("p", "")]
    assert set(table.kinds) == {"mortality", "site", "age", "race", "patient_no", "outpatient"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no rows"),
        ("case\tage\n", "holds no rows"),
        ("name\tage\nA\t3\n", "needs `case` or `participant_id`"),
        ("case\tage\nA\t3\nA\t4\n", "A stands in rows 2 and 3"),
        ("case\tage\tAge\nA\t3\t4\n", "stands in it twice"),
        ("case\tage\nA\n", "row 2 has 1 cells, the first line 2"),
        ("case\tage\n\t3\n", "row 2 has neither"),
        ("case\tsplit\nA\ttest\n", "split test: must be train, val, holdout"),
        ("case\tpatient\tsplit\nA\tp\ttrain\nB\tp\tval\n", "stands in two splits, train and val"),
        ("case\ttau\nA\t3\n", "the store has a column of that name"),
    ],
)
def test_bad_tables_are_refused_with_their_reason(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_participants(write(tmp_path, text))
    assert said in str(caught.value)


def test_no_such_table_no_text_no_such_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_participants(tmp_path / "absent.tsv")
    (tmp_path / "x.tsv").write_bytes(b"case\tage\n\xff\xfe\x00\t3\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_participants(tmp_path / "x.tsv")
    with pytest.raises(ConfigError, match="--categorical site"):
        read_participants(write(tmp_path, "case\tage\nA\t3\n"), ["site"])


def test_what_a_file_may_be_called() -> None:
    assert list(names_of("a/STS_002/CT_image")) == ["a/STS_002/CT_image", "CT_image", "CT", "STS_002", "a"]
    assert list(names_of("IXI012_T1w")) == ["IXI012_T1w", "IXI012_T1w", "IXI012"]


@pytest.mark.parametrize("name", ["hippocampus", "ixi", "sarcoma"])
def test_the_real_tables(name: str, real_data: Callable[[str], Path]) -> None:
    table = read_participants(real_data(name) / "participants.tsv")
    counts = {"hippocampus": (201, 131), "ixi": (99, 99), "sarcoma": (20, 20)}[name]
    assert (len(table.rows), len(table.splits())) == counts
    if name == "ixi":
        assert table.kinds == {"age_years": "continuous", "sex": "categorical"}
