"""What lies in a set: everything says that it is synthetic, and other programs can read it."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest

from medidiff.errors import UsageError
from medidiff.io import hash_array, hash_file
from medidiff.prior import Prior
from medidiff.synthesis.request import SetRequest, stored_dtype
from medidiff.synthesis.run import Where, run
from medidiff.tasks.condition_request import parse_requests

from .conftest import SLOTS, Options, make_prior


def make_set(root: Path, prior_file: Path, prior: Prior, **changes: Any) -> tuple[Path, SetRequest]:
    plan = parse_requests(SLOTS, ["volume_ml=1:2"])
    request = SetRequest(prior_file, 2, plan=plan, **{**Options, **changes})
    run(request, request.maker(prior), Where(root))
    return root, request


@pytest.fixture
def flat(prior_file: Path, mask_prior: Prior, tmp_path: Path) -> Path:
    return make_set(tmp_path / "set", prior_file, mask_prior)[0]


def test_nifti_says_synthetic_and_has_the_sources_intensities(flat: Path, prior_file: Path, mask_prior: Prior) -> None:
    image: Any = nib.load(flat / "synthetic-000001.nii.gz")
    mask: Any = nib.load(flat / "synthetic-000001_mask.nii.gz")
    assert bytes(image.header["descrip"].item()).startswith(b"SYNTHETIC scan, no patient; medidiff")
    assert bytes(mask.header["descrip"].item()).startswith(b"SYNTHETIC mask")
    assert image.header.get_data_dtype() == np.int16
    assert mask.header.get_data_dtype() == np.uint8
    sample = (
        SetRequest(prior_file, 2, plan=parse_requests(SLOTS, ["volume_ml=1:2"]), **Options).maker(mask_prior).make(1)
    )
    assert np.array_equal(np.asarray(image.dataobj), np.rint(400 + 300 * sample.image.astype(np.float64)))
    assert sample.mask is not None
    assert np.array_equal(np.asarray(mask.dataobj), sample.mask)
    assert np.allclose(image.affine @ [7.5, 7.5, 7.5, 1], [0, 0, 0, 1])  # the centre of 16 voxels lies at the origin
    assert (flat / "synthetic-000001.nii.gz").read_bytes()[4:8] == bytes(4)  # no time in the gzip header


def test_record_manifest_and_labels_tell_the_same(flat: Path) -> None:
    table = pq.read_table(flat / "manifest.parquet").to_pylist()
    record = json.loads((flat / "synthetic-000001.json").read_text())
    row = table[1]
    with open(flat / "labels.csv", newline="") as file:
        label = list(csv.DictReader(file))[1]
    assert record["synthetic"] is True
    assert row["image_sha256"] == record["files"]["image"]["sha256"] == hash_file(flat / row["image"])
    assert row["record_sha256"] == hash_file(flat / row["record"])
    image: Any = nib.load(flat / row["image"])
    assert row["voxels_sha256"] == hash_array(np.asarray(image.dataobj))
    assert row["prior_hash"] == record["prior"]["hash"]
    assert (row["index"], row["seed"], row["attempt"], row["nfe"]) == (1, 0, 0, 4)
    assert row["condition_volume_ml"] == record["conditions"]["volume_ml"]
    mask: Any = nib.load(flat / row["mask"])
    counted = np.count_nonzero(np.asarray(mask.dataobj)) / 1000
    assert row["measured_volume_ml"] == record["measured"]["volume_ml"] == counted
    assert (label["index"], label["file"], label["mask"]) == ("1", row["image"], row["mask"])
    assert float(label["volume_ml"]) == pytest.approx(row["condition_volume_ml"], rel=1e-5)
    assert float(label["measured_volume_ml"]) == pytest.approx(counted, rel=1e-5)


def test_no_file_of_the_set_names_time_or_host(flat: Path) -> None:
    import platform

    for path in flat.rglob("*"):
        if path.is_file() and "runs" not in path.parts and path.suffix in (".json", ".csv", ".md"):
            text = path.read_text()
            assert platform.node() not in re.findall(r"[\w.-]+", text), path
            assert not re.search(r"20\d\d-\d\d-\d\dT", text), path


def test_card_and_croissant_have_licence_and_hashes(flat: Path) -> None:
    card = (flat / "README.md").read_text()
    assert "| licence | CC BY-SA 4.0 (share alike) |" in card
    assert "of no patient" in card
    croissant = json.loads((flat / "croissant.json").read_text())
    assert croissant["@type"] == "sc:Dataset"
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert croissant["license"] == "CC BY-SA 4.0 (share alike)"
    files = {entry["@id"]: entry for entry in croissant["distribution"]}
    assert {name: entry["sha256"] for name, entry in files.items()} == {
        name: hash_file(flat / name) for name in ("manifest.parquet", "labels.csv")
    }
    columns = (flat / "labels.csv").read_text().splitlines()[0].split(",")
    fields = croissant["recordSet"][0]["field"]
    assert [field["source"]["extract"]["column"] for field in fields] == columns
    assert all(field["source"]["fileObject"]["@id"] in files for field in fields)
    kinds = {field["name"]: field["dataType"] for field in fields}
    assert (kinds["index"], kinds["volume_ml"], kinds["file"]) == ("sc:Integer", "sc:Float", "sc:Text")


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:rdflib")  # a library of mlcroissant's
def test_croissant_is_valid_by_its_makers_own_tool(flat: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    dataset = mlcroissant.Dataset(jsonld=flat / "croissant.json")
    assert len(list(dataset.records("scans"))) == 2


def test_bids_names_are_read_as_bids(prior_file: Path, mask_prior: Prior, tmp_path: Path) -> None:
    from medidiff.io.bids import find_scans

    root, _ = make_set(tmp_path / "set", prior_file, mask_prior, layout="bids")
    described = json.loads((root / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "medidiff"
    assert described["License"] == "CC BY-SA 4.0 (share alike)"
    scans = find_scans(root)
    assert [scan.name for scan in scans] == [
        f"sub-syn00000{i}/anat/sub-syn00000{i}_desc-synthetic_T1w.nii.gz" for i in (0, 1)
    ]
    lines = (root / "participants.tsv").read_text().splitlines()
    assert lines[0].split("\t")[:2] == ["participant_id", "synthetic"]
    assert [line.split("\t")[0] for line in lines[1:]] == ["sub-syn000000", "sub-syn000001"]


def test_nnunet_finds_pairs_and_labels(prior_file: Path, mask_prior: Prior, tmp_path: Path) -> None:
    root, _ = make_set(tmp_path / "set", prior_file, mask_prior, layout="nnunet")
    described = json.loads((root / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "label_1": 1, "label_2": 2}
    assert described["numTraining"] == 2
    assert described["channel_names"] == {"0": "MRI"}
    images = sorted(path.name for path in (root / "imagesTr").iterdir())
    labels = sorted(path.name for path in (root / "labelsTr").iterdir())
    assert images == [f"synthetic_00000{i}_0000{described['file_ending']}" for i in (0, 1)]
    assert labels == [name.replace("_0000.", ".") for name in images]


def test_dicom_is_a_synthetic_patient(prior_file: Path, mask_prior: Prior, tmp_path: Path) -> None:
    root, _ = make_set(tmp_path / "set", prior_file, mask_prior, form="dicom")
    again, _ = make_set(tmp_path / "again", prior_file, mask_prior, form="dicom")
    other, _ = make_set(tmp_path / "other", prior_file, mask_prior, form="dicom", seed=1)
    files = sorted((root / "synthetic-000001").iterdir())
    assert len(files) == 16
    image = pydicom.dcmread(files[0])
    assert (image.SyntheticData, image.ContentQualification) == ("YES", "RESEARCH")
    assert (str(image.PatientName), image.PatientID) == ("SYNTHETIC^002", "SYNTH-002")
    assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert "SourceImageSequence" not in image
    assert [p.read_bytes() for p in files] == [p.read_bytes() for p in sorted((again / "synthetic-000001").iterdir())]
    elsewhere = pydicom.dcmread(other / "synthetic-000001" / files[0].name)
    assert elsewhere.SeriesInstanceUID != image.SeriesInstanceUID


def test_layouts_that_do_not_fit_are_refused(priors_folder: Path, prior_file: Path, mask_prior: Prior) -> None:
    from medidiff.synthesis.layout import make_layout

    card = make_prior(masks=False).card
    with pytest.raises(UsageError, match="makes no masks"):
        make_layout(card, "nnunet", "nifti", 1)
    strange = card.model_copy(update={"modalities": ("ultrasound",)})
    with pytest.raises(UsageError, match="no BIDS suffix"):
        make_layout(strange, "bids", "nifti", 1)
    with pytest.raises(UsageError, match="must be MR or CT"):
        make_layout(strange, "flat", "dicom", 1)
    assert make_layout(card, "flat", "nifti", 12_345_678).names(3).image == "synthetic-00000003.nii.gz"


def test_int16_where_the_source_has_enough_grey_values(mask_prior: Prior) -> None:
    card = mask_prior.card
    assert card.typical is not None
    assert stored_dtype(card, "auto") == "int16"
    assert stored_dtype(card, "float32") == "float32"
    for typical in (
        None,
        card.typical.model_copy(update={"scale": 1.0}),
        card.typical.model_copy(update={"scale": 1e5}),
    ):
        other = card.model_copy(update={"typical": typical})
        assert stored_dtype(other, "auto") == "float32"
        with pytest.raises(UsageError, match="--dtype int16"):
            stored_dtype(other, "int16")
