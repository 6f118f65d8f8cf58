"""Acquisition facts of DICOM: exact values in BIDS's units, dcm2niix's JSON as second opinion, damage, no patient."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from medidiff.errors import InputError
from medidiff.io.dicom.acquisition import acquisition_facts
from medidiff.io.dicom.model import Candidate, Facts, FileRef, PixelForm, Plane, SeriesFacts

DCM2NIIX = Path(sys.executable).with_name("dcm2niix")


def candidate(path: Path, modality: str = "MR", frame: int = 0, **plane: Any) -> Candidate:
    form = PixelForm("", 1, "MONOCHROME2", 16, 16, 15, False)
    values = {"thickness_mm": None, "gap_mm": None, "facts": Facts(image_type=("ORIGINAL", "PRIMARY", "M"))} | plane
    only = Plane(FileRef(path, label="a"), frame, 1, "", "", None, 4, 4, form, 1, 0, "", None, None, None, **values)
    series = SeriesFacts("1.2", "1.3", "", "4711", ("Meier^Hans",), 1, modality, "", "", "", "", False)
    return Candidate("0" * 8, series, "", (only,), None)


def saved(path: Path, sop_class: UID, **values: Any) -> Path:
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = sop_class
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    d.PatientName, d.PatientID, d.StudyDate, d.InstitutionName = "Meier^Hans", "4711", "20260101", "St. Mary"
    d.ProtocolName, d.SeriesDescription = "Meier T1", "Meier T1"
    for keyword, value in values.items():
        setattr(d, keyword, value)
    d.save_as(path, enforce_file_format=True)
    return path


def item(**values: Any) -> Dataset:
    d = Dataset()
    for keyword, value in values.items():
        setattr(d, keyword, value)
    return d


def test_a_classic_mr_file(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.dcm",
        MRImageStorage,
        Manufacturer="SIEMENS",
        ManufacturerModelName="Skyra",
        MagneticFieldStrength="3",
        ImagingFrequency="123.25",
        EchoTime="2.98",
        RepetitionTime="2300",
        InversionTime="900",
        FlipAngle="9",
        MRAcquisitionType="3D",
        ScanningSequence=["GR", "IR"],
        SequenceVariant=["SK", "SP", "MP"],
        ScanOptions="IR",
        NumberOfAverages="1",
        PixelBandwidth="240",
        InPlanePhaseEncodingDirection="ROW",
    )
    assert acquisition_facts(candidate(path, thickness_mm=1.5, gap_mm=1.2)) == {
        "Modality": "MR",
        "Manufacturer": "Siemens",
        "ManufacturersModelName": "Skyra",
        "MagneticFieldStrength": 3,
        "ImagingFrequency": 123.25,
        "EchoTime": 0.00298,
        "RepetitionTime": 2.3,
        "InversionTime": 0.9,
        "FlipAngle": 9,
        "MRAcquisitionType": "3D",
        "ScanningSequence": "GR\\IR",
        "SequenceVariant": "SK\\SP\\MP",
        "NumberOfAverages": 1,
        "PixelBandwidth": 240,
        "InPlanePhaseEncodingDirectionDICOM": "ROW",
        "PhaseEncodingAxis": "i",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "SliceThickness": 1.5,
        "SpacingBetweenSlices": 1.2,
    }


def test_a_classic_ct_file(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.dcm",
        CTImageStorage,
        Manufacturer="Philips",
        KVP="120",
        XRayTubeCurrent="343",
        Exposure="300",
        ExposureTime="875",
        ConvolutionKernel="UB",
        SpiralPitchFactor=0.6,
    )
    facts = acquisition_facts(candidate(path, "CT", facts=Facts(image_type=("ORIGINAL", "PRIMARY", "AXIAL", "Meier"))))
    assert facts == {
        "Modality": "CT",
        "Manufacturer": "Philips",
        "KVP": 120,
        "XRayTubeCurrent": 343,
        "XRayExposure": 300,
        "ExposureTime": 0.875,
        "ConvolutionKernel": "UB",
        "SpiralPitchFactor": 0.6,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    }


@pytest.mark.parametrize(("said", "told"), [("YES", {"SyntheticData": "YES"}), ("NO", {}), ("MEIER", {})])
def test_synthetic_scans_say_so(tmp_path: Path, said: str, told: dict[str, str]) -> None:
    facts = acquisition_facts(candidate(saved(tmp_path / "a.dcm", CTImageStorage, SyntheticData=said), "CT"))
    assert {key: value for key, value in facts.items() if key == "SyntheticData"} == told


def test_an_enhanced_file_frame_by_frame(tmp_path: Path) -> None:
    """A frame's own group comes first, then the shared one, then the top of the file."""
    timing = item(RepetitionTime="500", FlipAngle="52", EchoTrainLength=1)
    shared = item(
        MRTimingAndRelatedParametersSequence=[timing],
        MRFOVGeometrySequence=[item(InPlanePhaseEncodingDirection="COLUMN", PercentSampling=80.0)],
        MRModifierSequence=[item(ParallelReductionFactorInPlane=2.0, InversionTimes=[900.0])],
    )
    frames = [item(MREchoSequence=[item(EffectiveEchoTime=echo)]) for echo in (30.0, 60.0)]
    path = saved(
        tmp_path / "a.dcm",
        EnhancedMRImageStorage,
        MagneticFieldStrength="3",
        RepetitionTime="1",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )
    for frame, echo_time in enumerate((0.03, 0.06)):
        assert acquisition_facts(candidate(path, frame=frame)) == {
            "Modality": "MR",
            "MagneticFieldStrength": 3,
            "EchoTime": echo_time,
            "RepetitionTime": 0.5,
            "FlipAngle": 52,
            "EchoTrainLength": 1,
            "InversionTime": 0.9,
            "PercentSampling": 80,
            "ParallelReductionFactorInPlane": 2,
            "InPlanePhaseEncodingDirectionDICOM": "COL",
            "PhaseEncodingAxis": "j",
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        }


def test_zero_times_mean_unknown(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.dcm", MRImageStorage, EchoTime="0", RepetitionTime="", FlipAngle="0")
    assert acquisition_facts(candidate(path)) == {
        "Modality": "MR",
        "FlipAngle": 0,
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
    }


def test_damage_gives_fewer_facts_and_no_exception(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.dcm", MRImageStorage, EchoTime="2.98", RepetitionTime="2300", Manufacturer="SIEMENS")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"2.98", b"2,98"))
    facts = acquisition_facts(candidate(path))
    assert facts == {} or "EchoTime" not in facts
    path.write_bytes(b"nothing of DICOM" * 20)
    assert "EchoTime" not in acquisition_facts(candidate(path))
    for keep in range(0, len(whole), 37):
        path.write_bytes(whole[:keep])
        acquisition_facts(candidate(path))
    assert acquisition_facts(Candidate("0" * 8, candidate(path).series, "", (), None)) == {}
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        acquisition_facts(candidate(path))


def series_of(root: Path) -> Iterator[tuple[Path, Dataset]]:
    """The first file of each series of each folder."""
    seen = set()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix not in (".gz", ".bval", ".bvec", ".md")):
        try:
            dataset = dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        key = (path.parent, dataset.get("SeriesInstanceUID"))
        if key[1] and key not in seen:
            seen.add(key)
            yield path, dataset


@pytest.mark.parametrize(
    "folder",
    [
        *("brain_tumor/11-T1post-18670", "enhanced_mr/Philips", "enhanced_mr/Siemens/XA10", "gantry_tilt_ct/S3010"),
        *("dicom2nifti/ge", "dicom2nifti/hitachi", "dicom2nifti/hyperfine", "dicom2nifti/generic/anatomical"),
        "dicom2nifti/failing/gantrytilting",
    ],
)
def test_dcm2niix_says_the_same(real_data: Callable[[str], Path], tmp_path: Path, folder: str) -> None:
    """For every key that both write, except that dcm2niix adds to ImageType ("MAGNITUDE") and splits it at "_"."""
    root = real_data("dicom") / folder
    if not DCM2NIIX.is_file():
        pytest.skip("dcm2niix is not installed in this environment")
    compared = 0
    for number, (path, dataset) in enumerate(series_of(root)):
        out = tmp_path / str(number)
        out.mkdir()
        command = [DCM2NIIX, "-b", "o", "-ba", "n", "-d", "0", "-f", "%j_%s_%p", "-o", out, path.parent]
        subprocess.run(command, capture_output=True, check=False)
        stored = {"thickness_mm": dataset.get("SliceThickness"), "gap_mm": dataset.get("SpacingBetweenSlices")}
        facts = Facts(image_type=tuple(dataset.ImageType))
        ours = acquisition_facts(candidate(path, dataset.Modality, facts=facts, **stored))
        for file in out.glob("*.json"):
            theirs = json.loads(file.read_text(errors="replace"))
            if theirs["SeriesInstanceUID"] == dataset.SeriesInstanceUID:
                for key in (ours.keys() & theirs.keys()) - {"ImageType"}:
                    number_or_text = ours[key] if isinstance(ours[key], str) else pytest.approx(ours[key], rel=1e-5)
                    assert theirs[key] == number_or_text, (folder, key)  # it writes six digits
                    compared += 1
                assert set(ours["ImageType"][:2]) == set(theirs["ImageType"][:2])
    assert compared >= 3
