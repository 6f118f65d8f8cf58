"""Origin confirmed by making a scan again."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.io import read_nifti, write_nifti
from medidiff.prior import Prior
from medidiff.synthesis.request import SetRequest, settings_hash
from medidiff.synthesis.run import Where, run
from medidiff.synthesis.stored import record_of, records_in
from medidiff.synthesis.verify import DIFFERENT, IDENTICAL, NO_PRIOR, WITHIN, Verifier
from medidiff.tasks.condition_request import parse_requests
from medidiff.tasks.draw_sample import SAMPLING

from .conftest import SLOTS, Options, Run

MACHINE = {"device": "cpu", "precision": "auto", "threads": None, "max_gb": None}


@pytest.fixture
def flat(prior_file: Path, mask_prior: Prior, tmp_path: Path) -> Path:
    request = SetRequest(prior_file, 3, plan=parse_requests(SLOTS, ["volume_ml=1:2"]), **Options)
    run(request, request.maker(mask_prior), Where(tmp_path / "set"))
    return tmp_path / "set"


def test_an_untouched_scan_is_identical(flat: Path) -> None:
    verifier = Verifier(None, MACHINE)
    assert [verifier.verify(path).status for path in records_in(flat)] == [IDENTICAL] * 3


def test_another_precision_is_within_tolerance(flat: Path) -> None:
    verdict = Verifier(None, {**MACHINE, "precision": "bf16"}).verify(flat / "synthetic-000001.json")
    assert verdict.status == WITHIN
    assert 0 < verdict.figures["rms"] < 0.05


def test_one_changed_voxel_is_found(flat: Path) -> None:
    path = flat / "synthetic-000001.nii.gz"
    volume = read_nifti(path)
    data = volume.data.copy()
    data[4, 5, 6] += 1
    write_nifti(volume.with_data(data), path)
    verdict = Verifier(None, MACHINE).verify(record_of(path))
    assert verdict.status == DIFFERENT
    assert "changed since it was made" in verdict.detail


def test_a_record_that_claims_another_seed_is_found(flat: Path) -> None:
    path = flat / "synthetic-000001.json"
    record = json.loads(path.read_text())
    record["settings"]["seed"] = 99
    path.write_text(json.dumps(record))
    assert Verifier(None, MACHINE).verify(path).status == DIFFERENT


def test_a_record_that_says_something_else_is_found(flat: Path) -> None:
    """Whatever a record claims is held against what is made again, not its voxels alone."""
    path, verifier = flat / "synthetic-000001.json", Verifier(None, MACHINE)
    assert verifier.verify(flat / "synthetic-000000.json").status == IDENTICAL  # the settings are known from here on
    whole = json.loads(path.read_text())
    for claim, said in (
        ({"seed": 99}, "the record's seed"),
        ({"settings": whole["settings"] | {"seed": 99}}, "settings_hash"),
        ({"prior": whole["prior"] | {"hash": "0" * 64}}, "the record's prior"),
        ({"group": "control", "licence": "CC0"}, "group, licence"),
        ({"measured": {"volume_ml": 99.0}}, "the record's measured"),
        ({"extrapolated": ["volume_ml"]}, "the record's extrapolated"),
        ({"files": {"image": whole["files"]["image"]}}, "a mask is missing"),
    ):
        path.write_text(json.dumps(whole | claim))
        verdict = verifier.verify(path)
        assert verdict.status == DIFFERENT
        assert said in verdict.detail
    for damage in ({"files": {}}, {"index": "a"}, {"settings": None}):
        path.write_text(json.dumps(whole | damage))
        with pytest.raises(InputError, match="is not the record of a scan"):
            verifier.verify(path)


def test_a_mask_with_other_values_or_another_place_is_found(flat: Path) -> None:
    path = flat / "synthetic-000001_mask.nii.gz"
    image: Any = nib.load(path)
    labels = np.asarray(image.dataobj)
    verifier = Verifier(None, MACHINE)
    nib.save(nib.Nifti1Image(labels.astype(np.int16) + 256, image.affine), path)  # the same as uint8
    assert verifier.verify(record_of(path)).status == DIFFERENT
    nib.save(nib.Nifti1Image(labels, np.diag([-1.0, 1, 1, 1]) @ image.affine), path)
    assert verifier.verify(record_of(path)).detail == "the mask's grid is not the one in the settings"


def test_a_file_that_no_record_speaks_of_is_found(flat: Path, run: Run) -> None:
    (flat / "synthetic-000001.nii.gz").rename(flat / "synthetic-000001.nii")
    with pytest.raises(InputError, match="does not speak of this file"):
        Verifier(None, MACHINE).verify(flat / "synthetic-000001.json", flat / "synthetic-000001.nii")
    (flat / "synthetic-000001.nii").rename(flat / "real.nii.gz")
    (flat / "synthetic-000001.json").unlink()
    done = run("verify", flat, "--json")
    assert done.code == 3
    assert "no record speaks of it" in done.out
    assert json.loads(done.out)["counts"] == {"identical": 2, "not reproduced": 3}


def test_a_set_that_lacks_scans_is_found(flat: Path, run: Run) -> None:
    """A finished one fails; one that is not finished says so; one damaged scan does not hide the others."""
    for path in flat.glob("synthetic-000002*"):
        path.unlink()
    done = run("verify", flat, "--all")
    assert done.code == 3
    assert "1 of its 3 scans are missing" in done.err
    (flat / "manifest.parquet").unlink()
    done = run("verify", flat, "--all")
    assert done.code == 0
    assert "2 identical (of 2 scans); not finished: 1 of 3 are not made yet" in done.out
    (flat / "synthetic-000000_mask.nii.gz").unlink()
    done = run("verify", flat, "--all", "--json")
    assert done.code == 3
    assert json.loads(done.out)["counts"] == {"identical": 1, "not reproduced": 1}
    (flat / "synthetic-000000.json").write_text("{")
    assert json.loads(run("verify", flat, "--all", "--json").out)["counts"] == {"identical": 1, "not reproduced": 1}


def test_another_version_of_the_sampler_is_told(flat: Path) -> None:
    path = flat / "synthetic-000001.json"
    record = json.loads(path.read_text())
    del record["settings"]["sampling"]  # version 1 did not say
    record["settings_hash"] = settings_hash(record["settings"])
    record["files"]["image"]["voxels_sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    image = flat / "synthetic-000001.nii.gz"
    volume = read_nifti(image)
    write_nifti(volume.with_data(volume.data + 1), image)
    verdict = Verifier(None, MACHINE).verify(path)
    assert verdict.status == WITHIN
    assert f"made by sampling version 1, this medidiff has {SAMPLING}" in verdict.detail


def test_a_moved_grid_is_found(flat: Path) -> None:
    path = flat / "synthetic-000001.nii.gz"
    image: Any = nib.load(path)
    moved = image.affine.copy()
    moved[0, 3] += 5
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), path)
    verdict = Verifier(None, MACHINE).verify(record_of(path))
    assert (verdict.status, verdict.detail) == (DIFFERENT, "the grid is not the one in the settings")


def test_the_prior_is_found_by_its_hash_or_missed(
    flat: Path, prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "other-name.safetensors"
    moved.write_bytes(prior_file.read_bytes())
    monkeypatch.setenv("MEDIDIFF_PRIORS", str(tmp_path / "nowhere"))
    record = flat / "synthetic-000000.json"
    assert Verifier(None, MACHINE).verify(record).status == NO_PRIOR
    assert Verifier(str(moved), MACHINE).verify(record).status == IDENTICAL
    assert Verifier("general", MACHINE).verify(record).status == NO_PRIOR


def test_records_are_found_from_any_file(tmp_path: Path) -> None:
    def touch(*names: str) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("")

    touch("a/s.nii.gz", "a/s_mask.nii.gz", "a/s.json", "b/imagesTr/s_0000.nii.gz", "b/labelsTr/s.nii.gz")
    touch("b/records/s.json", "c/x_dseg.nii.gz", "c/x_T1w.nii.gz", "c/x_T1w.json", "d/s/00001.dcm", "d/s.json")
    for name, record in (
        ("a/s.nii.gz", "a/s.json"),
        ("a/s_mask.nii.gz", "a/s.json"),
        ("b/imagesTr/s_0000.nii.gz", "b/records/s.json"),
        ("b/labelsTr/s.nii.gz", "b/records/s.json"),
        ("c/x_dseg.nii.gz", "c/x_T1w.json"),
        ("d/s/00001.dcm", "d/s.json"),
        ("d/s", "d/s.json"),
    ):
        assert record_of(tmp_path / name) == tmp_path / record
    touch("e/alone.nii.gz")
    with pytest.raises(InputError, match="no record beside it"):
        record_of(tmp_path / "e" / "alone.nii.gz")


def test_verify_tells_by_its_exit_code(flat: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("verify", flat, "--sample", 2)
    assert done.code == 0
    assert "2 identical (of 3 scans)" in done.out
    (flat / "synthetic-000002_mask.nii.gz").write_bytes((flat / "synthetic-000001_mask.nii.gz").read_bytes())
    done = run("verify", flat, "--all", "--json")
    assert done.code == 3
    assert json.loads(done.out)["counts"] == {"identical": 2, "not reproduced": 1}
    assert run("verify", flat / "nothing.nii.gz").code == 3
    monkeypatch.setenv("MEDIDIFF_PRIORS", str(flat))
    assert run("verify", flat / "synthetic-000000.nii.gz").code == 6
