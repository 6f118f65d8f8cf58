"""Which volumes of a DICOM tree are meant: the only one, a named one, or every one; never a guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from medidiff.cli.dicom_source import DicomSource
from medidiff.cli.discover import Aside, Found, plural
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.progress import counted
from medidiff.errors import InputError, MedidiffError, UsageError
from medidiff.io.dicom.contrast import contrast_of
from medidiff.io.dicom.model import Candidate, DicomScan
from medidiff.io.dicom.read import refusal_error, volume_name
from medidiff.io.identity.redact import redact_path

_MOST_LISTED = 40
_LARGEST_NUMBER, _HIGH_NUMBER = 2**31 - 10_000, 9001  # an IS holds 2^31 - 1


def discover_dicom(root: Path, choice: InputChoice, apart: bool = False, option: str = "") -> Found:
    """Scan a tree, a zip, a DICOMDIR or a file, and choose.

    Args:
        root: IN.
        choice: What was said about it.
        apart: The frames of a 4D scan become scans of their own, as DICOM series are.
        option: What messages put before the folder's name, where it is not IN.

    Raises:
        UsageError: Several volumes and none chosen, or a choice that names none or several.
        InputError: No volume in it.
        GeometryError: The only volume, or the one that was named, cannot be put on a grid.
    """
    from medidiff.io.dicom.scan import scan_dicom

    with counted("headers") as progress:
        scan = scan_dicom(root, progress=progress, keep_ids=choice.keep_ids)
    where = option + (root.name if choice.keep_ids else redact_path(root.name, scan.identifiers) or "IN")
    groups, (numbers, used) = _groups(scan.candidates, choice), _new_numbers(scan)
    if not groups:
        raise InputError(f"{where}: no DICOM volume in it. {_counted(scan)}")
    if choice.every:
        chosen, rest = groups, []
    elif choice.series is not None:
        chosen, rest = [_named(groups, choice)], []
    else:
        only = _only(scan, groups, choice, where, "" if option else ", --all every one")
        chosen, rest = [only], [group for group in groups if group is not only]
    sources: list[DicomSource] = []
    aside = [_aside(group, choice) for group in rest]
    for group in chosen:
        error = _error(group, choice)
        if error is not None and not choice.every:
            raise error
        if error is not None or group[0].status == "not a volume":
            aside.append(_aside(group, choice))
            continue
        frames = [(one,) for one in group] if apart else [tuple(group)]
        taken = frozenset(used[group[0].series.study_uid])
        sources += [DicomSource(frame, choice, numbers[frame[0].id], taken) for frame in frames]
    if not sources and not any(one.error for one in aside):
        raise InputError(f"{where}: no DICOM volume in it. {_counted(scan)}")
    many = choice.every or len(sources) > 1
    return Found("dicom", root, tuple(sources), many, tuple(aside), scan.identifiers)


def _groups(candidates: Iterable[Candidate], choice: InputChoice) -> list[list[Candidate]]:
    """Candidates as they would be taken: the frames of a 4D scan together, unless one of them is named."""
    groups: dict[str, list[Candidate]] = {}
    for one in candidates:
        together = one.stack if one.stack and choice.series != one.id else one.id
        groups.setdefault(together, []).append(one)
    return list(groups.values())


def _only(
    scan: DicomScan, groups: Sequence[list[Candidate]], choice: InputChoice, where: str, or_all: str
) -> list[Candidate]:
    """The only volume; a broken one beside it could be the one that is meant, so then the person is asked."""
    volumes = [group for group in groups if group[0].status != "not a volume"]
    if len(volumes) == 1:
        return volumes[0]
    if not volumes:
        reasons = sorted({one.refusal.message.rstrip(".") for group in groups for one in group if one.refusal})
        said = f" What is there: {'; '.join(reasons[:5])}." if reasons else ""
        raise InputError(f"{where}: no DICOM volume in it.{said} {_counted(scan)}")
    raise UsageError(
        f"{where}: holds {len(volumes)} DICOM volumes. --series ID takes one{or_all}:\n{_listed(volumes, choice)}"
    )


def _named(groups: Sequence[list[Candidate]], choice: InputChoice) -> list[Candidate]:
    """The group that --series names by the id of a volume or a 4D scan, the series' number or its UID."""
    wanted = (choice.series or "").strip()
    for group in groups:
        if wanted.lower() in (group[0].id, group[0].stack):
            return group
    matching = [
        group
        for group in groups
        if wanted == group[0].series.series_uid or (wanted.isdigit() and int(wanted) == group[0].series.number)
    ]
    matching = [group for group in matching if group[0].status != "not a volume"] or matching
    if len(matching) == 1:
        return matching[0]
    shown = matching or [group for group in groups if group[0].status != "not a volume"]
    what = "fits several volumes" if matching else "must be the id, number or UID of a series in IN"
    named = wanted if matching or len(wanted) <= 16 else "..."  # an unknown long text is not repeated
    raise UsageError(f"--series {named}: {what}. Give an id:\n{_listed(shown, choice)}")


def _error(group: Sequence[Candidate], choice: InputChoice) -> MedidiffError | None:
    """Why a group cannot be read as it is, with what was allowed; None if it can, or was never a volume."""
    for one in group:
        if one.status == "refused" and one.refusal is not None and not _allowed(one, choice):
            return refusal_error(one)
    if len(group) > 1 and choice.four_d != "each":
        advice = "--4d each takes every one of them, --series ID one" if choice.four_d else "--series ID takes one"
        what = f"{_name(group)}: 4D, holds {len(group)} volumes. {advice}"
        return InputError(what + (":\n" + _listed([[one] for one in group], choice) if not choice.every else "."))
    return None


def _allowed(one: Candidate, choice: InputChoice) -> bool:
    """Whether the options cover everything that a refused volume is refused for."""
    if one.stacking is None or one.refusal is None or one.refusal.code not in ("tilt", "gap"):
        return False
    tilted = one.refusal.code == "tilt" or one.stacking.tilt_deg != 0
    gaps = one.refusal.code == "gap" or bool(one.stacking.missing)
    return (choice.resample_tilt or not tilted) and (choice.fill_gaps or not gaps)


def _aside(group: Sequence[Candidate], choice: InputChoice) -> Aside:
    first = group[0]
    if first.status == "not a volume" and first.refusal is not None:
        reason = first.refusal.message.rstrip(".")
        return Aside(_name(group), reason[:1].lower() + reason[1:])
    return Aside(_name(group), "", _error(group, choice))


def _name(group: Sequence[Candidate]) -> str:
    """With the id that lists show: of a 4D scan that of the whole."""
    return volume_name(group[0], group[0].stack if len(group) > 1 else "")


def _new_numbers(scan: DicomScan) -> tuple[dict[str, int], dict[str, set[int]]]:
    """For each candidate the number of a series made from it, new in its study and the same in every run; and by study
    all numbers that are taken then.
    """
    numbers: dict[str, int] = {}
    used: dict[str, set[int]] = {}
    for one in scan.candidates:
        used.setdefault(one.series.study_uid, set()).add(one.series.number or 0)
    for one in scan.candidates:
        number = abs(one.series.number or 0) * 100 + 1
        number = number if number < _LARGEST_NUMBER else _HIGH_NUMBER
        while number in used[one.series.study_uid]:
            number += 1
        used[one.series.study_uid].add(number)
        numbers[one.id] = number
    return numbers, used


def _listed(groups: Sequence[Sequence[Candidate]], choice: InputChoice) -> str:
    """A line for each: id, modality, series number, slices, contrast, and what sets it apart."""
    lines = []
    for group in groups[:_MOST_LISTED]:
        first = group[0]
        number = "-" if first.series.number is None else str(first.series.number)
        slices = plural(len(first.planes), "slice")
        part = first.part if len(group) == 1 else f"4D, {len(group)} volumes"
        state = f"refused: {first.refusal.message}" if first.refusal and not _allowed(first, choice) else ""
        words = [first.id if len(group) == 1 else first.stack, first.series.modality or "-", f"series {number}"]
        lines.append("  " + "  ".join([*words, slices, *filter(None, [contrast_of(first), part, state])]))
    if len(groups) > _MOST_LISTED:
        lines.append(f"  ... and {len(groups) - _MOST_LISTED} more; `medidiff scan` lists all.")
    return "\n".join(lines)


def _counted(scan: DicomScan) -> str:
    """How many files were looked at, and why they are none of a volume."""
    kinds = Counter(note.kind for note in scan.notes)
    said = "".join(f", {count} {kind}" for kind, count in kinds.most_common())
    looked = f"{plural(scan.files, 'file')} {'was' if scan.files == 1 else 'were'} looked at"
    return f"{looked}{said}; `medidiff scan` says what {'it is' if scan.files == 1 else 'they are'}."
