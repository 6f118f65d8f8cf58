"""Nothing of a patient in what is printed, written, or in the names of files, but for DICOM that keeps its identity."""

import gzip
from pathlib import Path

import pytest

from .conftest import Ran, Run
from .dicom_files import NAME, NUMBER, PLANTED, make_series

QUICK = ("--prior", "tiny", "--precision", "float32", "--device", "cpu")
LEVEL = ("--noise-std", "30")  # the series are too small to estimate it
PERSON = "Quxwort_Zelda_ZQ77341905"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_series(tmp_path / PERSON / "Zelda CT 20190814" / "3")
    make_series(tmp_path / PERSON / "scout", number=4, slices=1)
    make_series(tmp_path / PERSON / "gap", number=5, missing=(3,), seed=1)
    (tmp_path / PERSON / "Zelda.txt").write_text("kneecase")
    return tmp_path / PERSON


def planted_in(root: Path, done: Ran) -> list[str]:
    """Where an identifier stands."""
    texts = {"stdout": done.out.encode(), "stderr": done.err.encode()}
    for path in root.rglob("*") if root.exists() else ():
        name = path.relative_to(root).as_posix()
        texts[f"name {name}"] = name.encode()
        if path.is_file():
            content = path.read_bytes()
            texts[name] = gzip.decompress(content) if name.endswith(".gz") else content
    return [f"{where}: {what}" for where, text in texts.items() for what in PLANTED if what.encode() in text.lower()]


RUNS = [
    ("convert", "--all"),
    ("convert", "--all", "--json"),
    ("convert", "--all", "--format", "dicom", "--deidentify", "--json"),
    ("denoise", "--all", "--format", "nifti", "--save", "all", "--report", "--samples", "1", "--json", *LEVEL, *QUICK),
    ("denoise", "--all", "--deidentify", "--save", "residual", "--report", *LEVEL, *QUICK),
    ("denoise", "--all", "--dry-run", *LEVEL, *QUICK),
    ("convert",),
    ("convert", "--series", "5"),
    ("convert", "--series", "nobody"),
    ("convert", "--participant-label", "1"),
    ("convert", "--modality", "MR", "--series", "3"),
]


@pytest.mark.parametrize("args", RUNS, ids=lambda args: " ".join(args[:4]))
def test_no_identifier_gets_out(args: tuple[str, ...], folder: Path, tmp_path: Path, run: Run) -> None:
    done = run(args[0], PERSON, "-o", "out", *args[1:])
    assert done.code in (0, 2, 4, 7), done.err
    assert planted_in(tmp_path / "out", done) == []


def test_the_check_finds_what_is_planted(folder: Path, tmp_path: Path, run: Run) -> None:
    done = run("convert", PERSON, "-o", "out", "--series", "3", "--format", "dicom")
    found = planted_in(tmp_path / "out", done)
    assert any("quxwort" in text for text in found)  # DICOM for the PACS keeps the patient,
    assert all(".dcm" in text for text in found)  # and nothing else does


def test_keep_ids(folder: Path, tmp_path: Path, run: Run) -> None:
    assert run("convert", PERSON, "-o", "out", "--series", "3", "--keep-ids").code == 0
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    assert written.name.startswith(f"{NUMBER}_003_CT_")
    assert NAME.split("^")[0].lower() not in written.name.lower()


def test_a_librarys_own_words_are_not_repeated(
    folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medidiff.io.dicom import read

    def fail(*args: object, **options: object) -> None:
        raise ValueError(f"Invalid value for VR PN: {NAME}")

    monkeypatch.setattr(read, "read_candidate", fail)
    for more in (("--series", "3"), ("--all",)):
        done = run("convert", PERSON, "-o", "out", *more)
        assert "ValueError" in done.err
        assert planted_in(tmp_path / "out", done) == []


@pytest.mark.parametrize("args", [("info", PERSON, "--series", "3"), ("info", PERSON, "--series", "3", "--json")])
def test_info_names_nobody(args: tuple[str, ...], folder: Path, tmp_path: Path, run: Run) -> None:
    done = run(*args)
    assert done.code == 0, done.err
    assert planted_in(tmp_path / "out", done) == []
