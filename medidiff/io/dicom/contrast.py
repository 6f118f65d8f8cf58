"""What distinguishes one contrast from another for the eye: codes and numbers of the acquisition, never free text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

from medidiff.io.dicom.model import Candidate
from medidiff.io.dicom.tags import first_item, number, text, texts

if TYPE_CHECKING:
    from pydicom import Dataset

_SEQUENCES = ("SE", "IR", "GR", "EP", "RM")  # PS3.3 C.8.3.1.1.1; RM is research mode
_PULSES = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}  # PS3.3 C.8.13.4, of enhanced MR
_KERNEL = re.compile(r"[A-Za-z]{1,2}\d{1,3}[a-z]{0,2}")
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_TIMING, _TUBE, _RECONSTRUCTION = 0x00189112, 0x00189325, 0x00189314


class ContrastFacts(TypedDict):
    """Fields of `SeriesFacts`."""

    sequence: tuple[str, ...]
    repetition_time_ms: float | None
    tube_kv: float | None
    kernel: str


def contrast_facts(dataset: Dataset) -> ContrastFacts:
    """What a header says of its contrast, classic or enhanced; of an enhanced file what its first frame says.

    Raises:
        Exception: Whatever pydicom meets in damaged sequences.
    """
    timing, tube, reconstruction = (_group(dataset, tag) for tag in (_TIMING, _TUBE, _RECONSTRUCTION))
    kernel = text(reconstruction, 0x00181210)
    return {
        "sequence": _sequence(dataset),
        "repetition_time_ms": _positive(timing, 0x00180080),
        "tube_kv": _positive(tube, 0x00180060),
        "kernel": kernel if _KERNEL.fullmatch(kernel) else "",
    }


def times_ms(candidate: Candidate) -> tuple[float | None, float | None]:
    """Echo time and inversion time that all planes of a candidate share; None where nobody says or they differ."""
    echoes = {plane.facts.echo_time_ms for plane in candidate.planes}
    inversions = {plane.facts.inversion_time_ms for plane in candidate.planes}
    echo, inversion = (found.pop() if len(found) == 1 else None for found in (echoes, inversions))
    return echo or None, inversion or None  # 0 means that there is none


def contrast_of(candidate: Candidate) -> str:
    """The contrast in a few words, without what `part` says already: "SE TR 500 TE 9.5", "120 kV B30f", ""."""
    series = candidate.series
    echo_ms, inversion_ms = times_ms(candidate)
    words = []
    if series.modality == "MR":
        words.append("/".join(series.sequence))
        words.append(f"TR {series.repetition_time_ms:.5g}" if series.repetition_time_ms else "")
        words.append(f"TE {echo_ms:.5g}" if echo_ms and "echo" not in candidate.part else "")
        words.append(f"TI {inversion_ms:.5g}" if inversion_ms and "inversion" not in candidate.part else "")
    elif series.modality == "CT":
        words += [f"{series.tube_kv:.5g} kV" if series.tube_kv else "", series.kernel]
    return " ".join(filter(None, words))


def _group(dataset: Dataset, tag: int) -> Dataset:
    """Where an enhanced file says it: the group that all frames share, or the first frame's; else the top level."""
    for groups in (_SHARED, _PER_FRAME):
        frames = first_item(dataset, groups)
        found = None if frames is None else first_item(frames, tag)
        if found is not None:
            return found
    return dataset


def _sequence(dataset: Dataset) -> tuple[str, ...]:
    classic = tuple(value for value in texts(dataset, 0x00180020) if value in _SEQUENCES)
    if classic:
        return classic
    enhanced = _PULSES.get(text(dataset, 0x00189008), ())
    more = (("EP", 0x00189018), ("IR", 0x00189009))
    return (*enhanced, *(code for code, tag in more if text(dataset, tag) == "YES"))


def _positive(dataset: Dataset, tag: int) -> float | None:
    value = number(dataset, tag)
    if value is None:
        value = number(dataset, tag, "FD")
    return value if value is not None and 0 < value < 1e6 else None
