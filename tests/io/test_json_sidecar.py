"""The JSON beside a scan: what may travel does, unchanged, and nothing of a patient does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medidiff.io.acquisition_keys import CODES, NUMBERS, TEXTS, VENDORS
from medidiff.io.json_sidecar import carried, read_json, read_sidecar, sidecar_path

DCM2NIIX = Path(sys.executable).with_name("dcm2niix")
ALLOWED = {*NUMBERS, *CODES, *TEXTS, "Manufacturer"}

ACQUISITION = {
    "Modality": "MR",
    "Manufacturer": "Siemens",
    "ManufacturersModelName": "MAGNETOM Vida",
    "MagneticFieldStrength": 3,
    "EchoTime": 0.03,
    "RepetitionTime": 0.5,
    "FlipAngle": 52,
    "SliceTiming": [0, 0.25, 0.1, 0.35],
    "MTState": False,
    "PhaseEncodingDirection": "j-",
    "EffectiveEchoSpacing": 0.00055,
    "TotalReadoutTime": 0.035,
    "MRAcquisitionType": "2D",
    "ScanningSequence": "EP",
    "SequenceVariant": "SK\\MP",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "CT_SOM5 SPI"],
    "ConvolutionKernel": "B30f",
    "XRayTubeCurrent": 343,
    "KVP": 120,
}
IDENTIFYING = {
    "PatientName": "Meier^Hans",
    "PatientID": "4711",
    "PatientBirthDate": "1970-01-01",
    "PatientSex": "M",
    "PatientAge": 47,
    "PatientWeight": 80,
    "AcquisitionTime": "12:30:00.000000",
    "AcquisitionDateTime": "2026-01-01T12:30:00",
    "InstitutionName": "St. Mary",
    "InstitutionAddress": "High Street 1",
    "StationName": "MR3",
    "DeviceSerialNumber": "1234",
    "SeriesInstanceUID": "1.2.3",
    "StudyID": "7",
    "AccessionNumber": "8",
    "SeriesDescription": "Meier T1",
    "ProtocolName": "head Dr Smith",
    "ImageComments": "moved a lot",
    "ReferringPhysicianName": "Smith",
    "ShimSetting": [1, 2],
    "Sources": ["/home/meier/scan.nii"],
    "Anything": {"EchoTime": 0.03},
}


def test_the_acquisition_travels_unchanged_and_the_patient_stays() -> None:
    assert carried(ACQUISITION | IDENTIFYING) == ACQUISITION
    assert carried(IDENTIFYING) == {}


@pytest.mark.parametrize(
    "text", ["Meier^Hans", "MEIER, HANS", "born 19700101", "19700101", "1970-01-01", "Hans\nMeier", "x" * 40, "", "Ä"]
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_text_under_an_allowed_key_is_no_way_out(text: str, wrapped: bool) -> None:
    value: Any = ["ORIGINAL", text] if wrapped else text
    left = json.dumps(carried(dict.fromkeys(ALLOWED, value)))
    assert not text or text not in left
    assert left in ("{}", '{"ImageType": ["ORIGINAL"]}')


@pytest.mark.parametrize(
    "value",
    [None, float("nan"), float("inf"), 19700101, -19700101, [1, float("nan")], [1, "a"], [], [[1]], {"a": 1}, "3"],
)
def test_numbers_that_are_none(value: Any) -> None:
    """Dates and record numbers are larger than any acquisition parameter in BIDS's units."""
    assert carried(dict.fromkeys(NUMBERS, value)) == {}
    assert carried({"SliceTiming": [0.0] * 4097}) == {}


@given(
    st.dictionaries(
        st.sampled_from(sorted(ALLOWED)) | st.text(),
        st.none()
        | st.booleans()
        | st.floats()
        | st.text()
        | st.lists(st.text() | st.floats() | st.integers(), max_size=4),
    )
)
def test_whatever_travels_is_on_the_list(sidecar: dict[str, Any]) -> None:
    for key, value in carried(sidecar).items():
        if key in NUMBERS:
            numbers = value if isinstance(value, list) else [value]
            assert all(abs(number) <= 1e6 for number in numbers)
        elif key in CODES:
            assert set(value if isinstance(value, list) else value.split("\\")) <= CODES[key]
        elif key == "Manufacturer":
            assert value in VENDORS.values()
        else:
            assert TEXTS[key].fullmatch(value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SIEMENS", "Siemens"),
        ("Siemens Healthineers", "Siemens"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("GE", "GE"),
        ("Philips Medical Systems of Dr Meier", "Philips"),
        ("TOSHIBA_MEC", "Toshiba"),
        ("Gerda Meier", None),
        ("Meier", None),
        (3, None),
    ],
)
def test_makers_travel_under_one_name(text: Any, name: str | None) -> None:
    assert carried({"Manufacturer": text}).get("Manufacturer") == name


def test_several_codes_keep_the_known_ones() -> None:
    assert carried({"ScanOptions": "PFP\\MEIER\\FS"}) == {"ScanOptions": "PFP\\FS"}
    assert carried({"ImageType": ["DERIVED", "Meier", 3, "M"]}) == {"ImageType": ["DERIVED", "M"]}
    assert carried({"ImageType": ["Meier"], "ScanOptions": "MEIER\\HANS"}) == {}


def test_reading(tmp_path: Path) -> None:
    scan = tmp_path / "a.b.nii.gz"
    assert sidecar_path(scan) == tmp_path / "a.b.json"
    assert read_sidecar(scan).values == {}
    assert read_sidecar(scan).warnings == ()
    (tmp_path / "a.b.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(ACQUISITION).encode())  # with a byte order mark
    assert read_sidecar(scan).values == ACQUISITION


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"[1]", b"3", b'"Meier"'])
def test_damage_is_a_warning_that_quotes_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    found = read_sidecar(tmp_path / "a.nii")
    assert found.values == {}
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("a.json: ")
    assert "Meier" not in found.warnings[0]


def test_a_folder_or_a_huge_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    assert "damaged" in read_json(tmp_path / "a.json").warnings[0]
    with open(tmp_path / "b.json", "wb") as file:
        file.truncate((1 << 24) + 1)
    assert "16 MiB" in read_json(tmp_path / "b.json").warnings[0]


def test_what_a_sidecar_holds_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(IDENTIFYING))
    assert "Meier" not in repr(read_sidecar(tmp_path / "a.nii"))


def test_nothing_dcm2niix_knows_of_a_patient_travels(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Its JSON with everything in it (-ba n): names, numbers, dates, places, UIDs, protocol names."""
    root = real_data("dicom")
    if not DCM2NIIX.is_file():
        pytest.skip("dcm2niix is not installed in this environment")
    private = ("Patient", "Institution", "UID", "Date", "AcquisitionTime", "StudyID", "Accession", "Physician")
    private += ("Description", "ProtocolName", "SerialNumber", "StationName", "Comments")
    for number, folder in enumerate(["enhanced_mr", "brain_tumor", "dicom2nifti/ge", "gantry_tilt_ct/S3010"]):
        target = tmp_path / str(number)
        target.mkdir()
        command = [DCM2NIIX, "-b", "o", "-ba", "n", "-d", "9", "-f", "%s_%j", "-o", target, root / folder]
        subprocess.run(command, capture_output=True, check=False)
        found = [read_json(path).values for path in sorted(target.glob("*.json"))]
        assert found
        for values in found:
            kept = carried(values)
            assert len(kept) >= 3
            assert not [key for key in kept if any(word in key for word in private)]
            hidden = {str(v) for k, v in values.items() if any(word in k for word in private) and len(str(v)) > 3}
            assert not [text for text in hidden if f'"{text}"' in json.dumps(kept)]
