"""A case: files in a folder, what a reader may make of them, and what they hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks._dicom_corpus.truth import VolumeTruth

Writer = Callable[[Path], "VolumeTruth | list[VolumeTruth] | None"]


@dataclass(frozen=True)
class Case:
    """One folder of DICOM.

    Args:
        name: Unique.
        expect: What must come out: "volume", "volume x2", a refusal's code, "refused" for any code, "nothing", several
            of them joined by ", "; alternatives by " | ".
        write: Fills a folder and returns the truth of each volume, in any order.
        oracle: Whether dcm2niix, too, makes exactly these volumes.
        root: What to scan inside the folder.
        notes: Kinds of file notes that must be there.
        warns: A word that some warning must contain.
        stacked: Whether all volumes must be one 4D scan.
        slow: Takes more than ten seconds.
    """

    name: str
    expect: str
    write: Writer
    oracle: bool = True
    root: str = ""
    notes: tuple[str, ...] = ()
    warns: str = ""
    stacked: bool = False
    slow: bool = False

    def truths(self, folder: Path) -> tuple[VolumeTruth, ...]:
        """Write the files; what they hold."""
        found = self.write(folder)
        if found is None:
            return ()
        return tuple(found) if isinstance(found, list) else (found,)

    def accepts(self, volumes: int, codes: list[str]) -> bool:
        """Whether this many volumes and these refusals are one of the documented outcomes."""
        return any(_fits(one, volumes, codes) for one in self.expect.split(" | "))


def _fits(expect: str, volumes: int, codes: list[str]) -> bool:
    words = expect.split(", ")
    wanted = 0
    for word in words:
        if counted := re.fullmatch(r"volume(?: x(\d+))?", word):
            wanted += int(counted[1] or 1)
    named = {word for word in words if not word.startswith("volume") and word != "nothing"}
    if volumes != wanted:
        return False
    return bool(codes) if named == {"refused"} else set(codes) == named


CASES: list[Case] = []


def case(expect: str, **options: object) -> Callable[[Writer], Writer]:
    """Register a writer under its own name."""

    def register(write: Writer) -> Writer:
        CASES.append(Case(write.__name__, expect, write, **options))  # type: ignore[arg-type]
        return write

    return register
