"""What `scan` makes of a DicomScan: hand-made ones, so that every kind of candidate is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medidiff.cli.scan_listing import Listing, plane_of, some
from medidiff.cli.scan_text import lines_of
from medidiff.io.dicom.model import (
    Candidate,
    DicomScan,
    Facts,
    FileNote,
    FileRef,
    PixelForm,
    Plane,
    Refusal,
    SeriesFacts,
    Stacking,
)

SERIES = SeriesFacts(
    "1.2.999.1", "1.2.999.2", "1.2.999.3", "ZQ1", ("Zq^Ann",), 3, "MR", "Zqtext", "Vendor", "HEAD", "", False
)
FORM = PixelForm("1.2.840.10008.1.2.1", 1, "MONOCHROME2", 16, 16, 15, False)


def plane(index: int) -> Plane:
    return Plane(
        FileRef(Path(f"/Zq/{index}"), label=f"[id]/{index}"), 0, 1, "1.2", f"1.2.999.4.{index}", index, 12, 16, FORM,
        1.0, 0.0, "", (1.0, 1.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 3.0 * index), 3.0, None, Facts(),
    )  # fmt: skip


def candidate(
    own_id: str, series: SeriesFacts = SERIES, refusal: Refusal | None = None, grid: bool = True, **more: object
) -> Candidate:
    planes = tuple(plane(i) for i in range(5))
    stacking = Stacking((16, 12, 5), np.diag([1.25, 1.5, 3.0, 1.0]), tuple(range(5))) if grid else None
    return replace(Candidate(own_id, series, "", planes, stacking, refusal, files=5), **more)  # type: ignore[arg-type]


def listing(*candidates: Candidate, keep_ids: bool = False, notes: tuple[FileNote, ...] = ()) -> Listing:
    found = DicomScan(Path("/in"), candidates, notes, 40, frozenset({"ZQ1", "Zq^Ann"}))
    return Listing("in", found, keep_ids=keep_ids, identifiers=found.identifiers)


def test_a_volume_is_one_row() -> None:
    lines = lines_of(listing(candidate("0a1b2c3d", part="echo 2, 9.8 ms")))
    assert lines == [
        "in: 40 files",
        "",
        "  ID        SERIES  WHAT                     PLANE  SLICES  MATRIX  SPACING MM  STATUS",
        "",
        "Patient 1, study 1",
        "  0a1b2c3d  3       MR HEAD, echo 2, 9.8 ms  ax     5       16x12   1.25x1.5x3  volume",
        "",
        "DICOM: 1 volume can be read, 0 refused, 0 set aside, of 1 patient in 1 study.",
    ]


def test_a_refused_one_has_reason_and_remedy_below_it() -> None:
    refused = Refusal("gap", f"2 slices are missing at {'12.0 mm, ' * 12}and 15 mm.", "--fill-gaps fills them.")
    lines = lines_of(listing(candidate("0a1b2c3d", refusal=refused, grid=False)))
    row = next(i for i, line in enumerate(lines) if "0a1b2c3d" in line)
    assert lines[row].endswith("16x12   -           refused")
    assert " ".join(" ".join(lines[row + 1 : -2]).split()) == str(refused)
    assert max(map(len, lines)) <= 100


def test_what_is_set_aside_is_told_once_for_each_reason() -> None:
    def aside(number: int, code: str, modality: str = "MR") -> Candidate:
        series = replace(SERIES, number=number, modality=modality)
        return candidate(f"{number:08x}", series, Refusal(code, "Zq", "Leave it out."), grid=False)

    lines = lines_of(listing(*(aside(i, "localizer") for i in range(20)), aside(99, "report", "SR")))
    told = [line for line in lines if line.startswith("  set aside")]
    assert told[0].startswith("  set aside: MR, series 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more: a localizer")
    assert told[1].startswith("  set aside: SR, series 99: no image: a report")
    assert len(told) == 2
    assert not any("ID" in line for line in lines)


def test_the_frames_of_a_4d_scan_are_one_row() -> None:
    frames = [candidate(f"{i:08x}", part=f"time {i}", stack="77aa0011") for i in range(300)]
    alone = candidate("0a1b2c3d", stack="11112222")
    lines = lines_of(listing(*frames, alone))
    rows = [line.split() for line in lines if "volume" in line and "MR" in line]
    assert [row[0] for row in rows] == ["77aa0011", "0a1b2c3d"]
    assert "4D, 300 volumes" in "\n".join(lines)
    assert len(listing(*frames).to_dict()["candidates"]) == 300


def test_patients_and_studies_are_counted_and_without_an_id_the_study_is_the_patient() -> None:
    own = [
        candidate("00000001"),
        candidate("00000002", replace(SERIES, study_uid="1.9")),
        candidate("00000003", replace(SERIES, patient_id="ZQ2")),
        candidate("00000004", replace(SERIES, patient_id="ZQ1 ")),
        candidate("00000005", replace(SERIES, patient_id="", study_uid="2.1")),
        candidate("00000006", replace(SERIES, patient_id=" ", study_uid="2.2")),
    ]
    found = listing(*own)
    assert list(found.ordinals.values()) == [(1, 1), (1, 2), (2, 1), (1, 1), (3, 1), (4, 1)]
    assert (found.patients, found.studies) == (4, 5)


def test_nothing_of_the_patient_is_told_unless_asked_for() -> None:
    series = replace(SERIES, body_part="ZQ1 knee", manufacturer="for Zq Ann")
    for keep_ids in (False, True):
        found = listing(candidate("0a1b2c3d", series), keep_ids=keep_ids)
        text = "\n".join([*lines_of(found), str(found.to_dict())])
        assert ("ZQ1" in text or "Zq" in text or "1.2.999" in text) is keep_ids
    assert "Patient 1, study 1 (ZQ1, Zq^Ann)" in text


def test_warnings_are_told_once_with_the_ids_they_hold_for() -> None:
    own = [candidate(f"{i:08x}", warnings=("burned-in text is possible.",)) for i in range(7)]
    assert listing(*own).warnings() == [
        "00000000, 00000001, 00000002, 00000003, 00000004 and 2 more: burned-in text is possible."
    ]


def test_other_files_are_counted_by_kind() -> None:
    notes = tuple(FileNote(FileRef(Path(f"/x/{i}"), label=f"x/{i}"), "not DICOM") for i in range(7))
    lines = lines_of(
        listing(candidate("0a1b2c3d"), notes=(*notes, FileNote(FileRef(Path("/y"), label="y"), "damaged")))
    )
    assert lines[-2:] == ["7 other files, not DICOM: x/0, x/1, x/2, x/3, x/4 and 2 more.", "1 other file, damaged: y."]


def test_a_long_part_stands_below_its_row() -> None:
    lines = lines_of(listing(candidate("0a1b2c3d", part="pixels of 0.5556 x 0.5556 mm")))
    assert lines[-4:-2] == [
        "  0a1b2c3d  3       MR HEAD  ax     5       16x12   1.25x1.5x3  volume",
        "      pixels of 0.5556 x 0.5556 mm.",
    ]


@pytest.mark.parametrize(
    ("axes", "plane_name"),
    [
        ([[1, 0, 0], [0, 1, 0.1], [0, 0, 1]], "axial"),
        ([[1, 0, 0], [0, 0.2, -1], [0, 1, 0]], "coronal"),
        ([[0, 1, 0], [0, 0, -1], [1, 0, 0]], "sagittal"),
        ([[1, 0, 0], [0, 1, 0], [0, -2, 1]], "axial"),  # a tilted gantry: the plane is that of the images
    ],
)
def test_the_plane_is_that_of_the_images(axes: list[list[float]], plane_name: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array(axes).T
    one = candidate("0a1b2c3d")
    assert plane_of(replace(one, stacking=Stacking((16, 12, 5), affine, tuple(range(5))))) == plane_name
    assert plane_of(replace(one, stacking=None)) == ""


def test_some_of_a_list() -> None:
    assert some([], 2) == ""
    assert some(["a", "b", "a"], 2) == "a, b"
    assert some("abcd", 2) == "a, b and 2 more"


CONTRAST = replace(SERIES, sequence=("GR", "IR"), repetition_time_ms=1900.0)


def echo(one: Candidate, echo_ms: float) -> Candidate:
    planes = tuple(replace(p, facts=replace(p.facts, echo_time_ms=echo_ms)) for p in one.planes)
    return replace(one, planes=planes)


def test_contrasts_are_told_apart() -> None:
    short = replace(SERIES, body_part="", sequence=("SE",), repetition_time_ms=500.0)
    lines = lines_of(listing(echo(candidate("0a1b2c3d", short), 9.5), echo(candidate("0a1b2c3e", CONTRAST), 2.26)))
    rows = [line.split("  ")[3].strip() for line in lines if "0a1b2c3" in line]
    assert [" ".join(line.split()[2:8]) for line in lines if "0a1b2c3d" in line] == ["MR SE TR 500 TE 9.5"]
    assert len(rows) == 2
    assert "      GR/IR TR 1900 TE 2.26." in lines
    told = listing(echo(candidate("0a1b2c3e", CONTRAST), 2.26)).to_dict()["candidates"][0]
    said = {key: told[key] for key in ("sequence", "repetition_time_ms", "echo_time_ms", "inversion_time_ms")}
    assert said == {
        "sequence": ["GR", "IR"],
        "repetition_time_ms": 1900.0,
        "echo_time_ms": 2.26,
        "inversion_time_ms": None,
    }
    assert (told["tube_kv"], told["kernel"]) == (None, "")


def test_files_of_a_candidate_are_named_without_the_patient() -> None:
    told = listing(candidate("0a1b2c3d", file_names=("ZQ1/a.dcm", "b.dcm"))).to_dict()["candidates"][0]
    assert told["file_names"] == ["[id]/a.dcm", "b.dcm"]


def test_warnings_of_a_4d_scan_name_the_id_that_is_listed() -> None:
    frames = [candidate(f"{i:08x}", stack="77aa0011", warnings=("look out",)) for i in range(3)]
    assert listing(*frames).warnings() == ["77aa0011: look out"]
    assert listing(frames[0]).warnings() == ["00000000: look out"]
