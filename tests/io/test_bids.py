"""BIDS: which scans are found, how outputs are called, and that the specification's own validator takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medidiff import __version__
from medidiff.errors import InputError, OutputError, UsageError
from medidiff.io.atomic import atomic_write_text
from medidiff.io.bids import (
    ENTITIES,
    SCANS,
    BidsScan,
    find_scans,
    inherited_gradients,
    inherited_sidecar,
    is_bids,
    is_derivative,
    parse_name,
)
from medidiff.io.bids_derivatives import (
    check_output_root,
    derivative_path,
    derivative_sidecar,
    desc_of,
    link_name,
    write_dataset_description,
)
from medidiff.io.gradients import Gradients, carry_gradients, gradient_paths, write_gradients
from medidiff.io.nifti import write_nifti
from medidiff.io.nifti_4d import write_nifti_4d
from medidiff.volume import Volume

# Written from the specification's text (BIDS 1.10, "Filename rules"), not from our own list: entities in this order, a
# label of letters and digits, one suffix.
_ORDER = (
    "sub tpl ses cohort sample task tracksys acq nuc voi ce trc stain rec dir run mod echo flip inv mt part proc hemi "
    "space split recording chunk atlas seg scale res den label desc"
).split()
VALID = re.compile(
    r"sub-(?P<sub>[0-9a-zA-Z+]+)/(?:ses-(?P<ses>[0-9a-zA-Z+]+)/)?(?P<type>anat|dwi|func|perf|ct)/"
    + "".join(rf"(?:{key}-[0-9a-zA-Z+]+_)?" for key in _ORDER)
    + r"(?P<suffix>[0-9a-zA-Z]+)\.(?:nii\.gz|json|bval|bvec)"
)

FOUND = [
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_acq-highres_ce-gad_run-2_T2w.nii",
    "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz",
    "sub-01/anat/sub-01_inv-1_MP2RAGE.nii.gz",
    "sub-01/dwi/sub-01_dir-AP_dwi.nii.gz",
    "sub-01/func/sub-01_task-rest_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_sbref.nii.gz",
    "sub-01/perf/sub-01_asl.nii.gz",
    "sub-02/ses-post/anat/sub-02_ses-post_FLAIR.nii.gz",
    "sub-02/ses-pre/anat/sub-02_ses-pre_FLAIR.nii.gz",
    "sub-02/ses-pre/ct/sub-02_ses-pre_ct.nii.gz",
]
LEFT_OUT = [
    "sub-01/anat/sub-01_desc-brain_mask.nii.gz",
    "sub-01/anat/sub-01_T1map.nii.gz",
    "sub-01/anat/sub-01_UNIT1.nii.gz",
    "sub-01/anat/sub-01_defacemask.nii.gz",
    "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.nii.gz",
    "sub-01/anat/sub-01_T1w.json",
    "sub-01/anat/.sub-01_T1w.nii.gz",
    "sub-01/anat/sub-02_T1w.nii.gz",
    "sub-01/anat/sub-01_ses-1_T1w.nii.gz",
    "sub-01/anat/sub-01_foo-1_T1w.nii.gz",
    "sub-01/anat/sub-01_run-1_run-2_T1w.nii.gz",
    "sub-01/anat/sub-01_T1w__dup-01.nii.gz",
    "sub-01/anat/scan.nii.gz",
    "sub-01/anat/old/sub-01_T1w.nii.gz",
    "sub-01/dwi/sub-01_ADC.nii.gz",
    "sub-01/dwi/sub-01_dwi.bval",
    "sub-01/func/sub-01_task-rest_events.tsv",
    "sub-01/fmap/sub-01_phasediff.nii.gz",
    "sub-01/fmap/sub-01_magnitude1.nii.gz",
    "sub-01/pet/sub-01_pet.nii.gz",
    "sub-02/ses-pre/anat/sub-02_FLAIR.nii.gz",
    "derivatives/other/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
    "code/sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01_T1w.nii.gz",
    "anat/sub-01_T1w.nii.gz",
]


def dataset(root: Path, names: list[str], **description: Any) -> Path:
    """A dataset whose files are empty: only names count."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    root.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"Name": "Meier's scans", "BIDSVersion": "1.8.0", **description})
    (root / "dataset_description.json").write_text(text)
    return root


def scan(root: Path, name: str) -> BidsScan:
    return next(found for found in find_scans(root) if found.name == name)


def test_scans_are_found_and_everything_else_is_left_out(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds", FOUND + LEFT_OUT)
    assert is_bids(root)
    scans = find_scans(root)
    assert [found.name for found in scans] == FOUND
    assert [found.participant for found in scans] == ["01"] * 8 + ["02"] * 3
    assert [found.modality for found in scans] == ["MR"] * 10 + ["CT"]
    second = scans[1]
    assert second.entities == (("sub", "01"), ("acq", "highres"), ("ce", "gad"), ("run", "2"))
    assert (second.datatype, second.suffix) == ("anat", "T2w")


def test_what_is_no_dataset(tmp_path: Path) -> None:
    assert not is_bids(tmp_path)
    assert not is_bids(tmp_path / "none")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x"}')
    assert not is_bids(tmp_path)
    (tmp_path / "dataset_description.json").write_text("{")
    assert not is_bids(tmp_path)
    with pytest.raises(InputError, match="without scans to work on"):
        find_scans(dataset(tmp_path / "ds", ["sub-01/fmap/sub-01_phasediff.nii.gz"]))


def test_participants_with_and_without_their_prefix(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds", FOUND)
    for labels in (["02"], ["sub-02"], ["02", "sub-02"]):
        assert {found.participant for found in find_scans(root, labels)} == {"02"}
    assert len(find_scans(root, ["02", "01"])) == len(FOUND)
    with pytest.raises(UsageError, match=r"--participant-label 3: must be one of this dataset's: 01, 02\."):
        find_scans(root, ["01", "3"])
    with pytest.raises(UsageError, match="it has none"):
        find_scans(dataset(tmp_path / "empty", []), ["01"])


def test_links_to_files_that_were_not_fetched_are_scans(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds", [])
    (root / "sub-01" / "anat").mkdir(parents=True)
    (root / "sub-01" / "anat" / "sub-01_T1w.nii.gz").symlink_to("../../.git/annex/objects/none")
    assert len(find_scans(root)) == 1


def test_names_are_parsed_in_bids_order() -> None:
    parsed = parse_name(Path("sub-01_run-1_acq-a_T1w.nii.gz"))
    assert parsed == ((("sub", "01"), ("acq", "a"), ("run", "1")), "T1w")
    for name in ("T1w.nii.gz", "sub-01_T1w.mgz", "sub-01_ T1w.nii", "sub-0_1-2_T1w.nii", "sub-01_x-1_T1w.nii"):
        assert parse_name(Path(name)) is None
    assert tuple(_ORDER) == ENTITIES


def test_json_files_are_inherited_and_the_deeper_wins(tmp_path: Path) -> None:
    names = ["sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz", "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"]
    root = dataset(tmp_path / "ds", names)
    for name, values in {
        "task-rest_bold.json": {"RepetitionTime": 2, "EchoTime": 0.03, "FlipAngle": 90},
        "task-nback_bold.json": {"RepetitionTime": 9},
        "T1w.json": {"EchoTime": 0.9},
        "sub-01/sub-01_bold.json": {"EchoTime": 0.04, "PatientName": "Meier"},
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.json": {"FlipAngle": 70},
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-2_bold.json": {"FlipAngle": 1},
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_sbref.json": {"FlipAngle": 2},
    }.items():
        atomic_write_text(root / name, json.dumps(values))
    found = inherited_sidecar(scan(root, names[0]))
    assert found.values == {"RepetitionTime": 2, "EchoTime": 0.04, "FlipAngle": 70, "PatientName": "Meier"}
    assert found.warnings == ()
    (root / "task-rest_bold.json").write_text("{")
    assert "damaged" in inherited_sidecar(scan(root, names[0])).warnings[0]
    assert inherited_sidecar(scan(root, names[1])).values == {"EchoTime": 0.9}


def test_gradients_are_inherited_and_the_deepest_is_taken(tmp_path: Path) -> None:
    names = ["sub-01/dwi/sub-01_dwi.nii.gz", "sub-02/dwi/sub-02_dwi.nii.gz"]
    root = dataset(tmp_path / "ds", names)
    first, second = find_scans(root)
    assert inherited_gradients(first) == gradient_paths(first.path)
    assert carry_gradients(first.path, tmp_path / "out.nii.gz", 2, inherited_gradients(first)).files == ()
    (root / "dwi.bval").write_text("0 1000\n")
    (root / "dwi.bvec").write_text("0 1\n0 0\n0 0\n")
    (root / "sub-01" / "sub-01_dwi.bval").write_text("0 2000\n")
    (root / "sub-01" / "sub-01_run-2_dwi.bval").write_text("0 3000\n")
    assert inherited_gradients(first) == (root / "sub-01" / "sub-01_dwi.bval", root / "dwi.bvec")
    assert inherited_gradients(second) == (root / "dwi.bval", root / "dwi.bvec")
    carried = carry_gradients(first.path, tmp_path / "out.nii.gz", 2, inherited_gradients(first))
    assert [path.read_text() for path in carried.files] == ["0 2000\n", "0 1\n0 0\n0 0\n"]


@pytest.mark.parametrize("name", FOUND)
def test_every_output_has_a_name_by_the_rules(tmp_path: Path, name: str) -> None:
    found = scan(dataset(tmp_path / "ds", FOUND), name)
    kinds = ["output", "residual", "noise-map", "uncertainty", "std", "sample-1", "sample-12"]
    paths = [
        derivative_path(found, tmp_path / "out", desc_of(kind), end) for kind in kinds for end in (".nii.gz", ".json")
    ]
    assert len(set(paths)) == len(paths)
    for path in paths:
        match = VALID.fullmatch(path.relative_to(tmp_path / "out").as_posix())
        assert match, path
        assert path.name.startswith(f"sub-{match['sub']}_" + (f"ses-{match['ses']}_" if match["ses"] else ""))
        assert match["suffix"] in SCANS[match["type"]]


def test_output_names_in_full(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds", FOUND)
    out = tmp_path / "out"
    flair = scan(root, "sub-02/ses-pre/anat/sub-02_ses-pre_FLAIR.nii.gz")
    assert derivative_path(flair, out) == out / "sub-02/ses-pre/anat/sub-02_ses-pre_desc-denoised_FLAIR.nii.gz"
    assert derivative_path(flair, out, desc_of("noise-map")).name == "sub-02_ses-pre_desc-noisemap_FLAIR.nii.gz"
    t2w = scan(root, "sub-01/anat/sub-01_acq-highres_ce-gad_run-2_T2w.nii")
    assert derivative_path(t2w, out).name == "sub-01_acq-highres_ce-gad_run-2_desc-denoised_T2w.nii.gz"
    with pytest.raises(UsageError, match="letters and digits"):
        derivative_path(flair, out, "noise-map")


def test_a_processed_scan_keeps_its_description_in_front(tmp_path: Path) -> None:
    name = "sub-01/anat/sub-01_space-T1w_desc-preproc_T1w.nii.gz"
    root = dataset(tmp_path / "ds", [name], DatasetType="derivative")
    assert is_derivative(root)
    found = scan(root, name)
    assert derivative_path(found, tmp_path).name == "sub-01_space-T1w_desc-preprocDenoised_T1w.nii.gz"
    facts = derivative_sidecar(found, "d", {})
    assert facts["Sources"] == [f"bids:source:{name}"]
    assert "SkullStripped" not in facts
    assert derivative_sidecar(found, "d", {"SkullStripped": True})["SkullStripped"] is True


def test_the_sidecar_says_where_it_comes_from_and_nothing_of_a_patient(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds", FOUND)
    found = scan(root, "sub-01/func/sub-01_task-rest_bold.nii.gz")
    said = {"RepetitionTime": 2, "PatientName": "Meier", "TaskName": "Meier's rest", "InstitutionName": "St. Mary"}
    assert derivative_sidecar(found, "Denoised.", said) == {
        "Description": "Denoised.",
        "Sources": ["bids:raw:sub-01/func/sub-01_task-rest_bold.nii.gz"],
        "SkullStripped": False,
        "TaskName": "rest",
        "RepetitionTime": 2,
    }
    ct = scan(root, "sub-02/ses-pre/ct/sub-02_ses-pre_ct.nii.gz")
    assert "SkullStripped" not in derivative_sidecar(ct, "Denoised.", {})
    assert derivative_sidecar(found, "Denoised.", {}, skull_stripped=True)["SkullStripped"] is True


def test_the_description_of_a_dataset_inside_its_source(tmp_path: Path) -> None:
    root = dataset(tmp_path / "Meier_Hans", FOUND)
    target = write_dataset_description(root / "derivatives" / "medidiff", root)
    assert json.loads(target.read_text()) == {
        "Name": "Scans denoised by medidiff",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "medidiff", "Version": __version__}],
        "SourceDatasets": [{"URL": "../.."}],
        "DatasetLinks": {"raw": "../.."},
    }
    assert link_name(root) == "raw"
    before = target.read_bytes()
    (target.parent / ".bidsignore").write_text("mine\n")
    write_dataset_description(target.parent, root)
    assert target.read_bytes() == before
    assert (target.parent / ".bidsignore").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("doi", "link"),
    [
        ("doi:10.18112/openneuro.ds000001.v1.0.0", "doi:10.18112/openneuro.ds000001.v1.0.0"),
        ("https://doi.org/10.18112/ds1", "doi:10.18112/ds1"),
        ("10.18112/ds1", "doi:10.18112/ds1"),
        ("by Hans Meier", None),
        (7, None),
        (None, None),
    ],
)
def test_the_description_of_a_dataset_elsewhere_names_no_folder(tmp_path: Path, doi: Any, link: str | None) -> None:
    root = dataset(tmp_path / "Meier_Hans", FOUND, DatasetDOI=doi)
    (tmp_path / "Meier_Hans" / "participants.tsv").write_text("participant_id\tname\nsub-01\tHans\n")
    target = write_dataset_description(tmp_path / "out" / "deep", root)
    assert "Meier" not in target.read_text()
    assert json.loads(target.read_text()).get("DatasetLinks") == ({"raw": link} if link else None)
    assert sorted(path.name for path in target.parent.iterdir()) == [".bidsignore", "dataset_description.json"]


def test_places_where_outputs_must_not_stand(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds", FOUND)
    for place in (root, root / "sub-01", root / "out", root / "derivatives", root / "derivatives" / ".." / "x"):
        with pytest.raises(UsageError, match="must not stand among the scans"):
            check_output_root(place, root)
        with pytest.raises(UsageError, match="derivatives/medidiff"):
            write_dataset_description(place, root)
    other = dataset(root / "derivatives" / "fmriprep", [], GeneratedBy=[{"Name": "fMRIPrep"}])
    before = (other / "dataset_description.json").read_bytes()
    with pytest.raises(UsageError, match="medidiff did not make"):
        write_dataset_description(other, root)
    assert (other / "dataset_description.json").read_bytes() == before
    check_output_root(root / "derivatives" / "medidiff", root)
    check_output_root(tmp_path / "elsewhere", root)


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds", FOUND)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        write_dataset_description(tmp_path / "file" / "out", root)


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "elsewhere"])
def test_the_specifications_own_validator_takes_a_whole_output(tmp_path: Path, inside: bool) -> None:
    """bids-validator (PyPI: bids-validator-deno) on every kind of file that medidiff writes."""
    validator = shutil.which("bids-validator-deno") or shutil.which("bids-validator")
    if validator is None:
        pytest.skip("bids-validator is not installed (pip install bids-validator-deno)")
    # Perfusion needs a dozen more keys in its JSON, all of which the scan's own would bring.
    root = dataset(tmp_path / "ds", [name for name in FOUND if "_asl" not in name])
    out = root / "derivatives" / "medidiff" if inside else tmp_path / "out"
    volume = Volume.from_array(np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6), name="a")
    for found in find_scans(root):
        for kind in ("output", "residual", "noise-map", "uncertainty", "std", "sample-1"):
            path = derivative_path(found, out, desc_of(kind))
            path.parent.mkdir(parents=True, exist_ok=True)
            if found.suffix in ("bold", "dwi"):
                write_nifti_4d([volume] * 3, path, repetition_time_s=2)
            else:
                write_nifti(volume, path)
            if found.suffix == "dwi":
                write_gradients(Gradients(np.array([0, 1000, 1000]), np.eye(3) * [[0], [1], [1]]), path)
            sidecar = derivative_sidecar(found, "Denoised.", {"RepetitionTime": 2, "EchoTime": 0.03})
            atomic_write_text(derivative_path(found, out, desc_of(kind), ".json"), json.dumps(sidecar))
        derivative_path(found, out, extension=".html").write_text("<html></html>")
    write_dataset_description(out, root)
    (out / "README").write_text("Scans denoised by medidiff. Research use only, not a medical device.\n" * 3)
    done = subprocess.run([validator, "--json", out], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue.get("severity") == "error"] == []
