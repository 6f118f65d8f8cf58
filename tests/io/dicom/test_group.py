import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.io.dicom.clusters import clusters
from medidiff.io.dicom.group import candidates_of
from medidiff.io.dicom.header import Header
from medidiff.io.dicom.model import Candidate, Plane, SeriesFacts

_SPEC = importlib.util.spec_from_file_location("planes", Path(__file__).with_name("planes.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
planes = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(planes)

HEIGHTS = [0.0, 2, 4, 6, 8, 10]
SAGITTAL = (0.0, 1, 0, 0, 0, -1)


def series(patient: str = "1") -> SeriesFacts:
    return SeriesFacts("1.2", "1", "1.3", patient, (), 4, "MR", "", "", "", "NO", False)


def candidates(members: list[Plane], patients: dict[int, str] | None = None) -> list[Candidate]:
    named = patients or {}
    return candidates_of(
        [Header(p.file, series(named.get(i, "1")), (p,), None, frozenset()) for i, p in enumerate(members)]
    )


def told(members: list[Plane]) -> list[tuple[str, str, int]]:
    return [(c.part, c.refusal.code if c.refusal else "volume", len(c.planes)) for c in candidates(members)]


def test_one_volume_whatever_varies_from_slice_to_slice() -> None:
    members = [
        planes.make_plane((0, 0, z), acquisition_number=k, acquisition_time=f"10000{k}", trigger_time_ms=3.0 * k)
        for k, z in enumerate(HEIGHTS)
    ]
    assert told(members) == [("", "volume", 6)]


def test_echoes() -> None:
    members = [*planes.column(HEIGHTS, echo_time_ms=4.9), *planes.column(HEIGHTS, echo_time_ms=9.8)]
    assert [part for part, _, _ in told(members)] == ["echo, 4.9 ms", "echo, 9.8 ms"]
    assert {c.stack for c in candidates(members)} == {""}


def test_echo_times_that_jitter_are_one() -> None:
    members = [planes.make_plane((0, 0, z), echo_time_ms=4.9 + 1e-4 * k) for k, z in enumerate(HEIGHTS)]
    assert told(members) == [("", "volume", 6)]


def test_a_fact_of_every_slice_separates_nothing() -> None:
    members = [planes.make_plane((0, 0, z), inversion_time_ms=100.0 * k) for k, z in enumerate(HEIGHTS)]
    assert told(members) == [("", "volume", 6)]
    assert "inversion time differs" in " ".join(candidates(members)[0].warnings)


def test_times_by_value_share_a_stack() -> None:
    members = [p for t in (1, 2, 3) for p in planes.column(HEIGHTS, temporal_position=t)]
    assert told(members) == [(f"time {t}", "volume", 6) for t in (1, 2, 3)]
    assert len({c.stack for c in candidates(members)}) == 1
    assert len({c.id for c in candidates(members)}) == 3


def test_a_missing_slice_of_one_time_refuses_that_time_only() -> None:
    members = [p for t in (1, 2, 3) for p in planes.column(HEIGHTS, temporal_position=t)]
    del members[8]
    assert [code for _, code, _ in told(members)] == ["volume", "gap", "volume"]


def test_times_by_rank() -> None:
    """Trigger times that jitter from slice to slice: the k-th of every slice is phase k."""
    members = [
        planes.make_plane((0, 0, z), trigger_time_ms=100.0 * phase + k)
        for phase in range(3)
        for k, z in enumerate(HEIGHTS)
    ]
    assert [(code, count) for _, code, count in told(members)] == [("volume", 6)] * 3
    for phase, candidate in enumerate(candidates(members)):
        assert {int((p.facts.trigger_time_ms or 0) // 100) for p in candidate.planes} == {phase}


def test_repeats_that_nothing_explains_are_refused() -> None:
    members = [*planes.column(HEIGHTS), planes.make_plane((-3, 4, 4), label="other")]
    assert told(members) == [("", "duplicate", 7)]


def test_diffusion() -> None:
    members = planes.column(HEIGHTS, b_value_s_per_mm2=0.0)
    for gradient in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
        members += planes.column(HEIGHTS, b_value_s_per_mm2=1000.0, gradient_lps=gradient)
    assert [part for part, _, _ in told(members)] == ["b 0", "b 1000, direction 1", "b 1000, direction 2"]
    assert len({c.stack for c in candidates(members)}) == 1


def test_a_localizer_in_the_series_of_a_volume() -> None:
    members = [*planes.column(HEIGHTS), *(planes.make_plane((x, 0, 0), SAGITTAL) for x in (0, 5, 10))]
    assert sorted(code for _, code, _ in told(members)) == ["localizer", "volume"]


def test_an_odd_slice_is_set_aside() -> None:
    members = [*planes.column(HEIGHTS), planes.make_plane((-3, 4, 30), matrix=(16, 16))]
    assert sorted((code, count) for _, code, count in told(members)) == [("one-slice", 1), ("volume", 6)]


def test_image_types() -> None:
    def of(*image_type: str) -> list[Plane]:
        return planes.column(HEIGHTS, image_type=("ORIGINAL", "PRIMARY", *image_type))

    assert [part for part, _, _ in told([*of("M"), *of("P")])] == ["magnitude", "phase"]
    mixed = [*of("AXIAL", "X")[::2], *of("AXIAL")[1::2]]
    assert told(mixed) == [("", "volume", 6)]


def test_two_patients() -> None:
    members = planes.column(HEIGHTS)
    assert [c.refusal.code for c in candidates(members, {0: "2"}) if c.refusal] == ["mixed-patients"]
    assert candidates(members, {0: " 1 "})[0].status == "volume"


def test_what_has_no_place() -> None:
    members = [*planes.column(HEIGHTS), planes.make_plane(None, label="lost")]
    assert told(members) == [("", "no-position", 7)]
    assert "lost" in str(candidates(members)[0].refusal)
    assert told([planes.make_plane((0, 0, z), spacing_mm=None) for z in HEIGHTS]) == [("", "spacing", 6)]


def test_orientations_that_round_differently_are_one() -> None:
    rng = np.random.default_rng(0)
    members = [
        planes.make_plane((0, 0, z), np.array(planes.AXIAL) + rng.uniform(-2e-4, 2e-4, 6), label=f"{z}")
        for z in HEIGHTS
    ]
    assert told(members) == [("", "volume", 6)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.randoms())
def test_clusters_do_not_depend_on_order(values: list[float], random: Any) -> None:
    shuffled = random.sample(values, len(values))
    first = dict(zip(values, clusters([(v,) for v in values], 0.5), strict=True))
    second = dict(zip(shuffled, clusters([(v,) for v in shuffled], 0.5), strict=True))
    assert first == second
    for a in values:
        for b in values:
            assert first[a] == first[b] or abs(a - b) > 0.5


def test_each_volume_keeps_the_number_and_contrast_of_its_own_files() -> None:
    """Two series numbers under one series UID, as some exports have it."""
    headers = []
    for number, echo_ms in ((202, 4.9), (501, 9.8)):
        own = replace(series(), number=number, repetition_time_ms=10.0 * number, sequence=("GR",))
        headers += [Header(p.file, own, (p,), None, frozenset()) for p in planes.column(HEIGHTS, echo_time_ms=echo_ms)]
    found = candidates_of(headers)
    assert [(c.series.number, c.series.repetition_time_ms) for c in found] == [(202, 2020.0), (501, 5010.0)]
    assert [c.file_names for c in found] == [
        tuple(sorted(h.file.label for h in headers if h.series.number == number)) for number in (202, 501)
    ]
    assert len({c.id for c in found}) == 2
