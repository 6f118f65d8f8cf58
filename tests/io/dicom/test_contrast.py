"""Codes and numbers that tell contrasts apart, of classic and of enhanced files; never free text."""

import pytest
from pydicom import Dataset

from medidiff.io.dicom.contrast import contrast_facts, contrast_of
from medidiff.io.dicom.model import Candidate, SeriesFacts

from . import planes

NOTHING = {"sequence": (), "repetition_time_ms": None, "tube_kv": None, "kernel": ""}


def dataset(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def test_a_header_that_says_nothing() -> None:
    assert contrast_facts(dataset()) == NOTHING
    assert contrast_facts(dataset(RepetitionTime="0", KVP="-1", ScanningSequence="X")) == NOTHING


def test_classic() -> None:
    mr = dataset(ScanningSequence=["GR", "IR"], RepetitionTime="1900", SequenceName="Zq free text")
    assert contrast_facts(mr) == {**NOTHING, "sequence": ("GR", "IR"), "repetition_time_ms": 1900}
    assert contrast_facts(dataset(KVP="120", ConvolutionKernel="B30f")) == {**NOTHING, "tube_kv": 120, "kernel": "B30f"}


@pytest.mark.parametrize("kernel", ["STANDARD", "Zqfamily", "for Zq Ann", "B30f\\3", "12345678"])
def test_a_kernel_that_is_no_short_code_is_dropped(kernel: str) -> None:
    assert contrast_facts(dataset(ConvolutionKernel=kernel))["kernel"] in ("", "B30f")


def test_enhanced() -> None:
    timing = dataset(RepetitionTime="3000")
    mr = dataset(
        EchoPulseSequence="GRADIENT", EchoPlanarPulseSequence="YES", InversionRecovery="NO",
        SharedFunctionalGroupsSequence=[dataset(MRTimingAndRelatedParametersSequence=[timing])],
    )  # fmt: skip
    assert contrast_facts(mr) == {**NOTHING, "sequence": ("GR", "EP"), "repetition_time_ms": 3000}
    frame = dataset(CTXRayDetailsSequence=[dataset(KVP="100")])
    assert contrast_facts(dataset(PerFrameFunctionalGroupsSequence=[frame]))["tube_kv"] == 100


def candidate(part: str = "", modality: str = "MR", **facts: object) -> Candidate:
    series = SeriesFacts("1", "1", "1", "", (), 1, modality, "", "", "", "", False, "", ("GR", "IR"), 1900, 120, "B30f")
    return Candidate("00000001", series, part, tuple(planes.column([0, 2], **facts)), None)


def test_in_words() -> None:
    assert contrast_of(candidate(echo_time_ms=2.26, inversion_time_ms=900.0)) == "GR/IR TR 1900 TE 2.26 TI 900"
    assert contrast_of(candidate(echo_time_ms=0.0)) == "GR/IR TR 1900"
    assert contrast_of(candidate("echo 2, 9.8 ms", echo_time_ms=9.8)) == "GR/IR TR 1900"
    assert contrast_of(candidate(modality="CT")) == "120 kV B30f"
    assert contrast_of(candidate(modality="PT")) == ""
