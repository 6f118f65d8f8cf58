"""Which candidate is meant by an id, a number or a UID, and how a list tells them apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from medidiff.errors import UsageError
from medidiff.io.dicom.choose import choose, listing
from medidiff.io.dicom.model import Candidate, DicomScan, SeriesFacts

from . import planes

SERIES = SeriesFacts("1.2", "1", "1.3", "1", (), 202, "MR", "Zq", "", "", "", False, "", ("SE",), 500.0)
ONE = Candidate("00000001", SERIES, "", tuple(planes.column([0, 2], echo_time_ms=9.5)), None)
OTHER = replace(ONE, id="00000002", series=replace(SERIES, number=501))


def found(*candidates: Candidate) -> DicomScan:
    return DicomScan(Path("/in"), candidates)


def test_the_list_tells_contrasts_apart() -> None:
    assert listing([ONE]) == "00000001  MR  series 202  2 slices  SE TR 500 TE 9.5"


def test_each_is_found_by_its_own_number() -> None:
    assert choose(found(ONE, OTHER), "501") is OTHER
    assert choose(found(ONE, OTHER), "202") is ONE
    assert choose(found(ONE, OTHER), "00000002") is OTHER


def test_the_id_of_a_4d_scan_lists_its_volumes() -> None:
    frames = [replace(ONE, stack="77aa0011"), replace(OTHER, stack="77aa0011")]
    with pytest.raises(UsageError, match=r"series 77aa0011: 2 volumes: give one of these ids(.|\n)*00000002"):
        choose(found(*frames), "77aa0011")
