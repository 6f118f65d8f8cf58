"""medidiff's reader on one case: what it made of it, and whether that is right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks._dicom_corpus.case import Case
from benchmarks._dicom_corpus.series import BIRTH_DATE, PATIENT_ID, PATIENT_NAME
from benchmarks._dicom_corpus.truth import match
from medidiff.errors import MedidiffError
from medidiff.io.dicom.model import NOT_A_VOLUME, REFUSALS, DicomScan
from medidiff.io.dicom.read import read_candidate
from medidiff.io.dicom.scan import scan_dicom
from medidiff.volume import Volume

SECRETS = (*PATIENT_NAME.split("^"), PATIENT_ID, PATIENT_ID[-8:], BIRTH_DATE, "HOSP-999", "Yamada", "山田")


@dataclass(frozen=True)
class Verdict:
    """What came out of a case.

    Args:
        outcome: Such as "volume x2, localizer".
        problems: What is wrong with it; empty if all is right.
    """

    outcome: str
    problems: tuple[str, ...]


def judge(case: Case, folder: Path) -> Verdict:
    """Write a case, scan it, read every volume, and hold all of it against the truth."""
    truths = case.truths(folder)
    try:
        scan = scan_dicom(folder / case.root)
    except MedidiffError as error:
        fits = () if case.accepts(0, ["unreadable"]) else (f"should be: {case.expect}",)
        return Verdict("unreadable", (*fits, *_leaks([str(error)])))
    volumes, codes, texts = read_all(scan)
    problems = []
    if not case.accepts(len(volumes), codes):
        problems.append(f"should be: {case.expect}")
    elif volumes:
        problems += match(volumes, truths)
    problems += [f"code {code} is not documented" for code in codes if code not in {*REFUSALS, "unreadable"}]
    kinds = {note.kind for note in scan.notes}
    problems += [f"no note {kind}, only {sorted(kinds)}" for kind in case.notes if kind not in kinds]
    problems += _leaks(texts)
    if case.warns and not any(case.warns in word for c in scan.candidates for word in c.warnings):
        problems.append(f"no warning names {case.warns}")
    stacks = [candidate.stack for candidate in scan.volumes]
    if case.stacked and volumes and (len(set(stacks)) != 1 or not stacks[0]):
        problems.append(f"not one stack: {stacks}")
    problems += _inconsistent(scan)
    return Verdict(_describe(len(volumes), codes), tuple(problems))


def read_all(scan: DicomScan) -> tuple[list[Volume], list[str], list[str]]:
    """Every volume, the codes of all else ("unreadable" where reading failed), and all texts that a person may see."""
    volumes, codes = [], []
    texts = [f"{note.file.label} {note.kind} {note.message}" for note in scan.notes]
    for candidate in scan.candidates:
        texts += [candidate.id, candidate.part, candidate.stack, *candidate.warnings]
        texts += [plane.file.label for plane in candidate.planes]
        if candidate.refusal is not None:
            codes.append(candidate.refusal.code)
            texts.append(str(candidate.refusal))
            continue
        try:
            assembled = read_candidate(candidate)
        except MedidiffError as error:
            codes.append("unreadable")
            texts.append(str(error))
            continue
        volumes.append(assembled.volume)
        texts += [assembled.volume.name, *assembled.notes]
    return volumes, codes, texts


def _leaks(texts: list[str]) -> list[str]:
    """Texts that name the patient; the problem does not."""
    found = [text for text in texts if any(secret.lower() in text.lower() for secret in SECRETS)]
    return [f"{len(found)} texts carry patient data, such as {found[0]!r}"] if found else []


def _inconsistent(scan: DicomScan) -> list[str]:
    """Statuses, ids and counts that do not agree with one another."""
    out = []
    ids = [candidate.id for candidate in scan.candidates]
    if len(set(ids)) != len(ids):
        out.append("two candidates have one id")
    for candidate in scan.candidates:
        refusal = candidate.refusal
        expected = "volume" if refusal is None else "not a volume" if refusal.code in NOT_A_VOLUME else "refused"
        if candidate.status != expected:
            out.append(f"status {candidate.status}, should be {expected}")
        if refusal is None and (candidate.stacking is None or not candidate.planes):
            out.append("a volume without planes or grid")
        if refusal is not None and not (refusal.message and refusal.remedy):
            out.append(f"refusal {refusal.code} lacks its message or remedy")
    return out


def _describe(volumes: int, codes: list[str]) -> str:
    words = [f"volume x{volumes}" if volumes > 1 else "volume"] if volumes else []
    return ", ".join([*words, *sorted(codes)]) or "nothing"
