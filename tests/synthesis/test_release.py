"""`medidiff release`: nothing leaves without an audit of these very files and a person who looked."""

import datetime
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from medidiff.errors import AuditFailedError, AuditUndecidedError, InputError, MedidiffError, UsageError
from medidiff.io import hash_file
from medidiff.prior import Prior
from medidiff.privacy.finding import Finding
from medidiff.privacy.report_record import AuditReport, CaseNote, SignOff, read_audit, read_sign_off, set_hash
from medidiff.privacy.set_content import content_files, content_hashes, hash_of_rows
from medidiff.privacy.thresholds import Thresholds
from medidiff.synthesis.release import release, write_form
from medidiff.synthesis.release_card import HEADINGS
from medidiff.synthesis.release_checks import check_set
from medidiff.synthesis.release_croissant import validate
from medidiff.synthesis.request import SetRequest
from medidiff.synthesis.run import Where, run
from medidiff.tasks.condition_request import parse_requests

from .conftest import SLOTS, Options, Run

WORDS = "No copying above 4.2% detected; this audit cannot see copies under strong noise."


@pytest.fixture(scope="module")
def made(priors_folder: Path, mask_prior: Prior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "set"
    request = SetRequest(
        priors_folder / "tinymask.safetensors", 3, plan=parse_requests(SLOTS, ["volume_ml=1:2"]), **Options
    )
    run(request, request.maker(mask_prior), Where(root))
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "set"))


def audit(root: Path, **changes: Any) -> AuditReport:
    """An audit of the set in its folder `audit`, and in no other."""
    values = {
        "verdict": "PASS",
        "words": WORDS,
        "created": datetime.datetime.now(datetime.UTC),
        "medidiff_version": "1",
        "thresholds": Thresholds(),
        "synthetic_hash": set_hash(root),
        "prior_hash": json.loads((root / "synthesis.json").read_text())["prior"]["hash"],
        "samples": 3,
        "findings": (Finding("label permutation", "primary", statistic=0.1, p_value=0.4, verdict="PASS"),),
        "limits": ("A copy under noise as strong as the patient's signal is not seen.",),
        "subgroups": (
            {"attribute": "sex", "label": "F", "patients": 2, "synthetic": 1, "status": "few", "words": "w"},
        ),
        "references": {"train patients": 82, "holdout patients": 43},
        "random_samples": (CaseNote(file="synthetic-000000.nii.gz", index=0, why="drawn"),),
        "worst_samples": (CaseNote(file="synthetic-000002.nii.gz", index=2, similarity=0.4, why="nearest"),),
    }
    report = AuditReport(**(values | changes))
    (root / "audit").mkdir(exist_ok=True)
    (root / "audit" / "audit.json").write_text(report.to_json(), encoding="utf-8")
    return report


def sign(root: Path, **changes: Any) -> Path:
    """A complete form beside the audit."""
    path = root / "audit" / "audit.json"
    form = SignOff.form(read_audit(path), path).model_dump(mode="json")
    for kind in ("random_samples", "worst_samples"):
        for row in form[kind]:
            row["reviewed"] = True
    form |= {
        "reviewer": "A. Person", "role": "privacy officer", "date": str(datetime.date.today()),
        "statement": "I looked at all of them.", "decision": "approve",
    }  # fmt: skip
    place = root / "audit" / "signoff.json"
    place.write_text(json.dumps(form | changes))
    return place


def refused(root: Path, kind: type[MedidiffError], said: str) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(kind, match=said):
        release(root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before, "something was written"


def test_the_hash_is_of_names_and_bytes_alone(root: Path, tmp_path: Path) -> None:
    first = set_hash(root)
    names = [path.as_posix() for path in content_files(root)]
    assert names == sorted(names)
    assert {"manifest.parquet", "labels.csv", "synthesis.json", "synthetic-000001_mask.nii.gz"} <= set(names)
    assert not [name for name in names if name.startswith(("runs/", "audit/")) or name == "README.md"]
    assert set_hash(Path(shutil.copytree(root, tmp_path / "elsewhere"))) == first
    assert hash_of_rows(dict(reversed(content_hashes(root).items()))) == first
    scan = root / "synthetic-000001.nii.gz"
    moved = scan.rename(root / "synthetic-000009.nii.gz")
    assert set_hash(root) != first
    moved.rename(scan)
    assert set_hash(root) == first
    scan.write_bytes(scan.read_bytes() + b"\0")
    assert set_hash(root) != first
    with pytest.raises(InputError, match="no files"):
        set_hash(root / "audit" if (root / "audit").mkdir() is None else root)
    (root / "away").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"):
        set_hash(root)


def test_a_released_set_has_its_cards_and_every_hash(root: Path) -> None:
    audit(root)
    sign(root)
    done = release(root)
    assert done.written == ("DATA_CARD.md", "croissant.json", "README.md", "RELEASE.json")
    record = json.loads((root / "RELEASE.json").read_text())
    assert record == done.record
    assert record["files"] == {name: hash_file(root / name) for name in record["files"]}
    assert set(record["files"]) == {*map(str, content_files(root)), "DATA_CARD.md", "croissant.json", "README.md"}
    assert record["audit_sha256"] == hash_file(root / "audit" / "audit.json")
    assert record["content_sha256"] == set_hash(root), "releasing did not change what was audited"
    card = (root / "DATA_CARD.md").read_text()
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == list(HEADINGS)
    for text in (WORDS, "CC BY-SA 4.0 (share alike)", "A. Person (privacy officer)", "I looked at all", "82", "sex F"):
        assert text in card
    assert "No privacy audit" not in (root / "README.md").read_text()
    assert not list(root.rglob("*.partial"))
    machine = json.loads((root / "croissant.json").read_text())
    assert machine["rai:personalSensitiveInformation"][0].endswith(WORDS)
    assert any("sex F: 2 patients" in text for text in machine["rai:dataBiases"])
    again = release(root)
    assert again.record | {"created": ""} == done.record | {"created": ""}


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:rdflib")  # a library of mlcroissant's
def test_the_croissant_file_is_valid_by_its_makers_own_tool_and_records_are_read(root: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    audit(root)
    sign(root)
    told = release(root).warnings
    assert not [text for text in told if "rai" in text.lower()]
    dataset = mlcroissant.Dataset(jsonld=root / "croissant.json")
    assert len(list(dataset.records("scans"))) == 3
    assert dataset.metadata.data_limitations == ["A copy under noise as strong as the patient's signal is not seen."]
    broken = json.loads((root / "croissant.json").read_text())
    del broken["name"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="has no name"):
            validate(broken)
        broken["name"] = "x"
        del broken["distribution"][0]["sha256"]
        with pytest.raises(InputError, match="refuses it"):
            validate(broken)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"verdict": "FAIL"}, AuditFailedError, "says FAIL. No copying"),
        ({"verdict": "INCONCLUSIVE"}, AuditUndecidedError, "INCONCLUSIVE"),
        ({"findings": (Finding("copies", "secondary", verdict="FAIL"),)}, AuditFailedError, r"FAIL \(copies\)"),
        ({"synthetic_hash": "0" * 64}, UsageError, "another set, or the files changed"),
        ({"synthetic_hash": None}, UsageError, "of a prior alone"),
        ({"prior_hash": "0" * 64}, UsageError, "another prior"),
        ({"samples": 2}, UsageError, "audited 2 scans, the set has 3"),
        ({"worst_samples": ()}, UsageError, "no samples for a person"),
        ({"findings": ()}, UsageError, "no findings"),
    ],
)
def test_an_audit_that_does_not_fit_is_refused(
    root: Path, changes: dict[str, Any], kind: type[MedidiffError], said: str
) -> None:
    audit(root, **changes)
    sign(root)
    refused(root, kind, said)
    with pytest.raises(kind, match=said):
        write_form(root, overwrite=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reviewer": " "}, "reviewer is empty"),
        ({"date": ""}, "date is empty"),
        ({"decision": ""}, "neither approve nor reject"),
        ({"decision": "reject", "statement": "no. 2 is a copy"}, "A. Person rejects the release: no. 2 is a copy"),
        ({"random_samples": []}, "1 of 1 random samples not reviewed, such as synthetic-000000.nii.gz"),
        ({"worst_samples": [{"file": "synthetic-000001.nii.gz", "reviewed": True}]}, "1 of 1 worst samples"),
        ({"audit_sha256": "1" * 64}, "signed for another audit"),
        ({"date": "2020-01-01"}, "must lie between"),
        ({"date": "2999-01-01"}, "must lie between"),
        ({"date": str(datetime.date.today() + datetime.timedelta(days=1))}, "must lie between"),
        ({"date": str(datetime.date.today() - datetime.timedelta(days=1))}, "must lie between"),
    ],
)
def test_a_sign_off_that_is_not_whole_is_refused(root: Path, changes: dict[str, Any], said: str) -> None:
    audit(root)
    sign(root, **changes)
    refused(root, UsageError, said)


def test_without_audit_or_form_or_with_other_files_nothing_is_released(root: Path, made: Path) -> None:
    refused(root, UsageError, "Nothing is released without an audit")
    audit(root)
    refused(root, UsageError, "there is no sign-off")
    form = sign(root)
    audit(root, words="Another one.")
    refused(root, UsageError, "signed for another audit")
    audit(root)
    form.write_text("{}")
    refused(root, InputError, "is not a sign-off")
    sign(root)
    (root / "patient.nii.gz").write_bytes(b"")
    refused(root, InputError, r"patient.nii.gz, which is no file of the set")
    (root / "patient.nii.gz").unlink()
    scan = root / "synthetic-000000.nii.gz"
    kept = scan.read_bytes()
    scan.unlink()
    refused(root, InputError, "lacks 1 of its files")
    scan.write_bytes(kept[:-1])
    refused(root, UsageError, "the files changed since")
    scan.write_bytes(kept)
    (root / "manifest.parquet").unlink()
    refused(root, InputError, "not finished")
    with pytest.raises(InputError, match="no set of medidiff synth"):
        release(root / "audit")


@pytest.mark.parametrize(("layout", "form"), [("bids", "nifti"), ("nnunet", "nifti"), ("flat", "dicom")])
def test_every_layout_is_whole(priors_folder: Path, mask_prior: Prior, tmp_path: Path, layout: str, form: str) -> None:
    request = SetRequest(
        priors_folder / "tinymask.safetensors", 1, plan=parse_requests(SLOTS, []), layout=layout, form=form, **Options
    )
    run(request, request.maker(mask_prior), Where(tmp_path / "set"))
    whole = check_set(tmp_path / "set")
    assert whole.scans == 1
    (tmp_path / "set" / "imagesTr").mkdir(exist_ok=True)
    (tmp_path / "set" / "imagesTr" / "patient.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="no file of the set"):
        check_set(tmp_path / "set")


def test_a_croissant_file_of_other_tables_is_refused(root: Path) -> None:
    audit(root)
    sign(root)
    text = (root / "croissant.json").read_text()
    (root / "croissant.json").write_text(text.replace(hash_file(root / "labels.csv"), "0" * 64))
    refused(root, InputError, r"not of its labels.csv")


def test_the_form_is_written_filled_in_as_yaml_and_taken(root: Path, run: Run) -> None:
    audit(root)
    done = run("release", root, "--template")
    assert done.code == 0, done.err
    form = root / "audit" / "signoff.json"
    assert read_sign_off(form).missing(read_audit(root / "audit" / "audit.json"))
    assert run("release", root, "--template").code == 2
    assert run("release", root, "--template", "--overwrite", "--json").code == 0
    values = json.loads(form.read_text()) | {
        "reviewer": "B. Other", "role": "reader", "date": datetime.date.today(), "statement": "Seen.",
        "decision": "approve",
    }  # fmt: skip
    for kind in ("random_samples", "worst_samples"):
        values[kind] = [row | {"reviewed": True} for row in values[kind]]
    form.unlink()
    elsewhere = root.parent / "mine.yaml"
    elsewhere.write_text(yaml.safe_dump(values))
    assert run("release", root).code == 2
    told = run("release", root, "--sign-off", elsewhere, "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["reviewer"] == "B. Other"
    assert "No copying above 4.2%" in run("release", root, "--sign-off", elsewhere).out


@pytest.mark.parametrize(("verdict", "code"), [("FAIL", 10), ("INCONCLUSIVE", 11)])
def test_exit_codes(root: Path, run: Run, verdict: str, code: int) -> None:
    audit(root, verdict=verdict)
    done = run("release", root, "--json")
    assert done.code == code
    assert json.loads(done.out)["exit_code"] == code
    assert run("release", root / "runs").code == 3


def test_an_audit_is_read_back_as_it_was(root: Path, tmp_path: Path) -> None:
    report = audit(root, findings=(Finding("x", "descriptive", statistic=float("inf"), interval=(0.0, float("inf"))),))
    assert read_audit(root / "audit" / "audit.json") == report
    (tmp_path / "bad.json").write_text('{"format": "medidiff-audit"}')
    for path in (tmp_path / "bad.json", tmp_path / "none.json"):
        with pytest.raises(InputError, match=path.name):
            read_audit(path)


def test_without_mlcroissant_it_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    audit(root)
    sign(root)
    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    refused(root, UsageError, r"pip install 'medidiff\[release\]'")


def test_a_full_disk_leaves_nothing_half_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit(root)
    sign(root)
    before = (root / "croissant.json").read_bytes()
    wanted: Callable[..., None] = lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))  # noqa: E731
    monkeypatch.setattr("medidiff.io.atomic.os.fsync", wanted)
    with pytest.raises(MedidiffError, match="disk is full"):
        release(root)
    assert not (root / "RELEASE.json").exists()
    assert (root / "croissant.json").read_bytes() == before
    assert not list(root.rglob("*.partial"))
