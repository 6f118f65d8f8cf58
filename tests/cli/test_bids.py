"""BIDS in, a BIDS derivative out."""

import json
from pathlib import Path

import pytest

from .conftest import Run, make_scan

QUICK = ("--prior", "tiny", "--precision", "float32", "--device", "cpu")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for label in ("01", "02"):
        (root / f"sub-{label}" / "anat").mkdir(parents=True)
        make_scan(root / f"sub-{label}" / "anat" / f"sub-{label}_T1w.nii.gz", seed=int(label))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.8.0"}))
    (root / "T1w.json").write_text(json.dumps({"EchoTime": 0.003, "PatientName": "DOE^JANE"}))
    (root / "participants.tsv").write_text("participant_id\tname\nsub-01\tDOE\n")
    return root


def tree(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_every_scan_gets_its_derivative(dataset: Path, tmp_path: Path, run: Run) -> None:
    done = run("denoise", dataset, "-o", "out", "--save", "residual", *QUICK)
    assert done.code == 0, done.err
    assert done.out == "out: 2 done\n"
    assert tree(tmp_path / "out") == [
        ".bidsignore",
        "dataset_description.json",
        *(
            f"sub-{label}/anat/sub-{label}_desc-{name}"
            for label in ("01", "02")
            for name in ("denoised_T1w.json", "denoised_T1w.nii.gz", "residual_T1w.nii.gz")
        ),
    ]
    record = json.loads((tmp_path / "out/sub-01/anat/sub-01_desc-denoised_T1w.json").read_text())
    assert record["EchoTime"] == 0.003
    # Outside of the scans' dataset there is no link that names nobody, so no BIDS URI either.
    assert record["Sources"] == ["sub-01/anat/sub-01_T1w.nii.gz"]
    description = json.loads((tmp_path / "out/dataset_description.json").read_text())
    assert "DatasetLinks" not in description
    assert description["Name"] == "Scans denoised by medidiff"
    assert record["input"] == "sub-01/anat/sub-01_T1w.nii.gz"
    assert record["format"] == "medidiff-sidecar"
    assert not any("DOE" in path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*.json"))
    assert run("denoise", dataset, "-o", "out", "--save", "residual", *QUICK).out == "out: 2 skipped\n"
    again = run("denoise", dataset, "-o", "out", "--overwrite", *QUICK)
    assert again.code == 0, again.err
    assert not [name for name in tree(tmp_path / "out") if "residual" in name]


def test_participants(dataset: Path, tmp_path: Path, run: Run) -> None:
    done = run("denoise", dataset, "-o", "out", "--participant-label", "02", *QUICK)
    assert done.code == 0, done.err
    assert {name[:6] for name in tree(tmp_path / "out") if name.startswith("sub")} == {"sub-02"}
    run("denoise", dataset, "-o", "o", "--participant-label", "03", *QUICK).failed_cleanly(2, "--participant-label 03")
    scan = dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    run("denoise", scan, "-o", "o.nii.gz", "--participant-label", "01", *QUICK).failed_cleanly(2, "BIDS dataset")


def test_outputs_do_not_go_among_the_scans(dataset: Path, run: Run) -> None:
    run("denoise", dataset, "-o", dataset / "out", *QUICK).failed_cleanly(2, "derivatives")
    done = run("denoise", dataset, "-o", dataset / "derivatives" / "medidiff", "--dry-run", *QUICK)
    assert done.code == 0, done.err
    assert not (dataset / "derivatives").exists()


def test_inside_the_dataset_a_link_says_where_the_scans_lie(dataset: Path, run: Run) -> None:
    out = dataset / "derivatives" / "medidiff"
    assert run("convert", dataset, "-o", out).code == 0
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetLinks"] == {"raw": "../.."}
    assert description["Name"] == "Scans converted by medidiff"
    record = json.loads((out / "sub-01/anat/sub-01_desc-converted_T1w.json").read_text())
    assert record["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
