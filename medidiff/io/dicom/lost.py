"""Files that may be lost slices: at the end of a stack no gap shows, so a series beside one is not taken for whole."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from medidiff.io.dicom.header import Header
from medidiff.io.dicom.model import NOT_A_VOLUME, Candidate, FileNote, FileRef, Refusal

_NAMED = 3
_REMEDY = "Get {0} again, or take {0} out of the folder if {1} of this series."
_UNLIKE = "not DICOM"  # counts only where the name is one that a slice could have
_NO_SLICE = frozenset({"a DICOMDIR"})
_OTHER_SUFFIXES = frozenset(
    """
    .txt .log .md .rtf .pdf .doc .docx .xls .xlsx .csv .tsv .json .xml .yml .yaml .ini .inf .cfg .html .htm .css .js
    .bval .bvec .nii .gz .hdr .img .mgz .nrrd .mha .mhd .raw .mat .npy .jpg .jpeg .png .gif .bmp .tif .tiff .svg .ico
    .mp4 .avi .db .exe .dll .bat .sh .py .zip .tar .7z .rar .lnk .url .md5 .sha256
    """.split()
)
_OTHER_NAMES = frozenset({"DICOMDIR", "DIRFILE", "VERSION", "LOCKFILE", "README", "LICENSE", "LICENCE", "CHANGES"})
_LETTERS_AND_DIGITS = re.compile(r"[^\W\d_]+|\d+")
_HEX = re.compile(r"(?=.*\d)[0-9A-Fa-f]{8,}")


def without_shells(headers: Iterable[Header], notes: Iterable[FileNote]) -> tuple[list[Header], list[FileNote]]:
    """Headers that say neither series nor image become notes: a file cut off early is no patient of its own."""
    kept, said = [], list(notes)
    for header in headers:
        if (
            header.trouble is not None
            and header.trouble[0] == "damaged"
            and not (header.planes or header.series.series_uid)
        ):
            said.append(FileNote(header.file, "damaged", "Its header is cut off."))
        else:
            kept.append(header)
    return kept, sorted(said, key=lambda note: note.file.label)


class LostSlices:
    """The files of a scan that may be lost slices, by folder.

    Args:
        headers: Of every file that could be read.
        notes: The files that could not.
    """

    def __init__(self, headers: Sequence[Header], notes: Sequence[FileNote]) -> None:
        self._series: dict[tuple[Path, PurePosixPath], set[str]] = defaultdict(set)
        forms: dict[tuple[Path, PurePosixPath], set[str]] = defaultdict(set)
        for header in headers:
            if header.planes:
                folder = _folder(header.file)
                self._series[folder].add(header.series.series_uid or f"{header.series.number}")
                forms[folder].add(_form(_name(header.file)))
        self._lost: dict[tuple[Path, PurePosixPath], list[FileNote]] = defaultdict(list)
        for note in notes:
            folder = _folder(note.file)
            if folder in forms and _may_be_slice(note, forms[folder]):
                self._lost[folder].append(note)

    def judge(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates of one series, refused or warned where a file beside them may be one of their slices.

        Args:
            candidates: Of one series.
        """
        if not self._lost:
            return list(candidates)
        folders = {_folder(plane.file) for one in candidates for plane in one.planes} & self._lost.keys()
        own = [note for f in sorted(folders) if len(self._series[f]) == 1 for note in self._lost[f]]
        only_slices = all(one.refusal is not None and one.refusal.code in NOT_A_VOLUME for one in candidates)
        judged = [_refused(one, own, only_slices) for one in candidates] if own else list(candidates)
        return [self._warned(one) for one in judged]

    def _warned(self, one: Candidate) -> Candidate:
        folders = {_folder(plane.file) for plane in one.planes} & self._lost.keys()
        shared = [note for f in sorted(folders) if len(self._series[f]) > 1 for note in self._lost[f]]
        if not shared or one.status == "not a volume":
            return one
        return replace(one, warnings=(*one.warnings, f"{_may_be(shared)} of this or another series: {_named(shared)}"))


def _refused(one: Candidate, lost: Sequence[FileNote], only_slices: bool) -> Candidate:
    """With the files named. What an option could make readable is `damaged`, but a gap that they can explain."""
    code = "" if one.refusal is None else one.refusal.code
    missing = len(one.stacking.missing) if one.stacking else 0
    text = f"{_may_be(lost)} of it: {_named(lost)}"
    sentence = f"{text[:1].upper()}{text[1:]}."
    if (
        one.refusal is None
        or code == "tilt"
        or (code == "gap" and missing < len(lost))
        or (code == "one-slice" and only_slices)
    ):
        it = ("it", "it is no slice") if len(lost) == 1 else ("them", "they are no slices")
        return replace(one, refusal=Refusal("damaged", sentence, _REMEDY.format(*it)))
    if code in NOT_A_VOLUME:
        return one
    said = replace(one.refusal, message=f"{one.refusal.message} {sentence}")
    return replace(one, refusal=said, warnings=(*one.warnings, text))


def _may_be(notes: Sequence[FileNote]) -> str:
    return (
        "a file of its folder may be a slice" if len(notes) == 1 else f"{len(notes)} files of its folder may be slices"
    )


def _named(notes: Sequence[FileNote]) -> str:
    said = [f"{note.file.label} ({note.kind})" for note in notes[:_NAMED]]
    return ", ".join(said) + (f" and {len(notes) - _NAMED} more" if len(notes) > _NAMED else "")


def _may_be_slice(note: FileNote, forms: set[str]) -> bool:
    name = _name(note.file)
    if note.kind in _NO_SLICE or name.upper() in _OTHER_NAMES:
        return False
    suffix = PurePosixPath(name.lower()).suffix
    if name.startswith(".") or (suffix in _OTHER_SUFFIXES and note.kind != "listed in the DICOMDIR but not there"):
        return False
    return note.kind != _UNLIKE or _form(name) in forms


def _form(name: str) -> str:
    """What the names of a series' files have in common: the suffix, or the order of letters, digits and signs."""
    suffix = PurePosixPath(name).suffix.lower()
    if any(c.isalpha() for c in suffix) and suffix[1:].isalnum():
        return suffix
    if _HEX.fullmatch(name):
        return "hexadecimal"
    return _LETTERS_AND_DIGITS.sub(lambda run: "0" if run[0].isdigit() else "a", name)


def _name(file: FileRef) -> str:
    return PurePosixPath(file.member).name if file.member is not None else file.path.name


def _folder(file: FileRef) -> tuple[Path, PurePosixPath]:
    """The folder, or the zip and the folder inside it. By the path: labels of two folders can read alike, redacted."""
    if file.member is not None:
        return file.path, PurePosixPath(file.member).parent
    return file.path.parent, PurePosixPath()
