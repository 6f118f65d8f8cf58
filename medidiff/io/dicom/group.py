"""The files of one series -> candidates: what could be one volume each, and what is none."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from medidiff.io.dicom.caveats import caveats_of
from medidiff.io.dicom.codecs import codec_refusal
from medidiff.io.dicom.copies import without_copies
from medidiff.io.dicom.header import Header
from medidiff.io.dicom.model import NOT_A_VOLUME, REFUSALS, Candidate, FileRef, Plane, Refusal, SeriesFacts, Stacking
from medidiff.io.dicom.parts import Part
from medidiff.io.dicom.split import split_by_contrast, split_by_geometry, split_by_kind
from medidiff.io.dicom.stacking import sort_planes, stack_planes

_SCOUT_SLICES = 5  # a direction of slicing with no more, beside others, is there to plan the scan
_SCOUT_TYPES = frozenset({"LOCALIZER", "SCOUT"})
_NAMED_FILES = 5
_REMEDY = {
    "damaged": "Get these files again from their source.",
    "pixels": "Export the series with whole numbers of 8 to 32 bits per pixel.",
    "mosaic": "Convert it with dcm2niix, and give the NIfTI file.",
    "no-position": "Export the series again with its positions and orientations.",
    "spacing": "Export the series again with its pixel spacing.",
    "mixed-patients": "Find out whose images these are, and give the files of one patient.",
}


@dataclass(frozen=True)
class _Found:
    """A candidate in the making."""

    part: Part
    planes: tuple[Plane, ...]
    stacking: Stacking | None
    refusal: Refusal | None
    files: frozenset[FileRef]


def group_series(headers: Iterable[Header]) -> list[list[Header]]:
    """Files by series; those that name no series, by what else they name. Each list is sorted by label."""
    series: dict[tuple[str, str], list[Header]] = defaultdict(list)
    for header in sorted(headers, key=lambda header: header.file.label):
        series[_series_key(header.series), header.series.modality].append(header)
    return list(series.values())


def candidates_of(headers: Sequence[Header]) -> list[Candidate]:
    """The candidates of one series.

    Args:
        headers: Of its files, in any order.

    Returns:
        In the order of what sets them apart; ids and parts are unique among them.
    """
    headers = sorted(headers, key=lambda header: header.file.label)
    series = _merged(headers)
    if len(_patients(headers)) > 1:
        return _finish(series, [_mixed_patients(headers)], (), headers)
    set_aside: dict[str, list[Header]] = defaultdict(list)
    images = []
    for header in headers:
        if header.trouble is not None and header.trouble[0] in NOT_A_VOLUME:
            set_aside[header.trouble[0]].append(header)
        else:
            images.append(header)
    found = [_aside(code, set_aside[code]) for code in sorted(set_aside)]
    planes, notes = without_copies([plane for header in images for plane in header.planes])
    trouble = {h.file: h.trouble for h in images if h.trouble is not None}
    lost = [h.file for h in images if not h.planes]
    volumes = _volumes(planes, trouble)
    if lost and volumes:
        volumes = [_with_lost(one, lost) for one in volumes]
    elif lost:
        refusal = _refusal("damaged", f"{_named(lost, trouble)}.")
        volumes = [_Found(Part((), ()), (), None, refusal, frozenset(lost))]
    return _finish(series, [*volumes, *found], notes, headers)


def unsortable(headers: Sequence[Header]) -> Candidate:
    """A refused candidate of a series whose headers no rule could be applied to."""
    text = (
        f"{_count(len(headers), 'file')} of one series cannot be put in order: {_named([h.file for h in headers], {})}."
    )
    planes = tuple(plane for header in headers for plane in header.planes)
    found = _Found(Part((), ()), planes, None, _refusal("damaged", text), frozenset(h.file for h in headers))
    return replace(_finish(headers[0].series, [replace(found, planes=())], (), headers)[0], planes=planes)


def _volumes(planes: Sequence[Plane], trouble: dict[FileRef, tuple[str, str] | None]) -> list[_Found]:
    found: list[_Found] = []
    for kind in split_by_kind(Part((), tuple(planes))) if planes else []:
        refusal = _unplaced(kind.planes)
        if refusal is not None:
            found.append(_Found(kind, kind.planes, None, refusal, _files(kind.planes)))
            continue
        if _SCOUT_TYPES & {value for p in kind.planes for value in p.facts.image_type[2:]}:
            found.append(_scout(kind))
            continue
        views = split_by_geometry(kind)
        directions = {_view(view) for view in views}
        for view in views:
            if len(directions) > 1 and len(view.planes) <= _SCOUT_SLICES:
                found.append(_scout(view))
            else:
                found += [_volume(part, trouble) for part in split_by_contrast(view)]
    return found


def _volume(part: Part, trouble: dict[FileRef, tuple[str, str] | None]) -> _Found:
    planes = sort_planes(part.planes)
    stacking, refusal = stack_planes(planes)
    wrong = [p.file for p in planes if p.file in trouble]
    codes = {code for file in wrong if (what := trouble[file]) is not None for code in what[:1]}
    if wrong and (refusal is None or refusal.code not in NOT_A_VOLUME or "mosaic" in codes):
        refusal = _refusal("damaged" if "damaged" in codes else min(codes), f"{_named(wrong, trouble)}.")
    if refusal is None:
        forms = {(p.form.transfer_syntax, p.form.bits_stored) for p in planes}
        refusal = next(filter(None, (codec_refusal(*form) for form in sorted(forms))), None)
    return _Found(part, planes, stacking, refusal, _files(planes))


def _unplaced(planes: Sequence[Plane]) -> Refusal | None:
    """Why these have no place in space: one plane without it puts all in doubt, for nobody knows where it belongs."""
    without = [p for p in planes if p.position_lps_mm is None or p.orientation_lps is None]
    if without:
        files = _named([p.file for p in without], {})
        text = f"{len(without)} of {len(planes)} images say no usable position and orientation: {files}."
        return _refusal("no-position", text)
    without = [p for p in planes if p.spacing_mm is None]
    if without:
        files = _named([p.file for p in without], {})
        return _refusal("spacing", f"{len(without)} of {len(planes)} images say no usable pixel spacing: {files}.")
    return None


def _scout(part: Part) -> _Found:
    refusal = Refusal("localizer", f"{_images(len(part.planes))} to plan the others, not a volume.", "Nothing to do.")
    return _Found(part, _sorted(part.planes), None, refusal, _files(part.planes))


def _sorted(planes: Sequence[Plane]) -> tuple[Plane, ...]:
    """Along the normal where all planes share it, else by file."""
    if len({p.orientation_lps for p in planes}) == 1:
        return sort_planes(planes)
    return tuple(sorted(planes, key=lambda p: (p.file.label, p.frame)))


def _view(part: Part) -> str:
    return dict(part.names).get("orientation", "")


def _aside(code: str, headers: Sequence[Header]) -> _Found:
    planes = tuple(plane for header in headers for plane in header.planes)
    text = f"{_images(len(planes)) if planes else _count(len(headers), 'file')}: {REFUSALS[code]}."
    files = frozenset(header.file for header in headers)
    return _Found(Part((("kind", code),), ()), planes, None, Refusal(code, text, "Nothing to do."), files)


def _mixed_patients(headers: Sequence[Header]) -> _Found:
    planes = tuple(plane for header in headers for plane in header.planes)
    text = f"{len(headers)} files with one series UID carry {len(_patients(headers))} patient numbers or names."
    return _Found(Part((), ()), planes, None, _refusal("mixed-patients", text), frozenset(h.file for h in headers))


def _with_lost(found: _Found, lost: Sequence[FileRef]) -> _Found:
    if found.refusal is not None and found.refusal.code in (*NOT_A_VOLUME, "damaged"):
        return found
    text = f"{_count(len(lost), 'file')} of the series cannot be read, so slices may be missing: {_named(lost, {})}."
    return replace(found, refusal=_refusal("damaged", text))


def _finish(
    series: SeriesFacts, found: Sequence[_Found], notes: Sequence[str], headers: Sequence[Header]
) -> list[Candidate]:
    names = _distinct([one.part.name for one in found])
    stacks = Counter((_grid_of(one), one.part.scan_name) for one in found)
    said = {header.file: header.series for header in headers}
    candidates = []
    for one, name in zip(found, names, strict=True):
        files = sorted(one.files, key=lambda file: file.label)
        refused = one.refusal is not None and one.refusal.code in NOT_A_VOLUME
        grid = _grid_of(one)
        is_4d = grid is not None and stacks[grid, one.part.scan_name] > 1
        candidates.append(
            Candidate(
                id=_digest(series, name),
                series=_of_files(series, [said[file] for file in files]),
                part=name,
                planes=one.planes,
                stacking=one.stacking,
                refusal=one.refusal,
                warnings=() if refused else (*notes, *caveats_of(series, one.planes, one.stacking, one.part.caveats)),
                stack=_digest(series, f"stack|{one.part.scan_name}|{grid}") if is_4d else "",
                files=len(files),
                file_names=tuple(file.label for file in files),
            )
        )
    return candidates


def _distinct(names: Sequence[str]) -> list[str]:
    """The same names told apart by a number; the only one of a series needs no name."""
    if len(names) == 1:
        return [""]
    total, seen, distinct = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        distinct.append(f"{name} ({seen[name]})".strip() if total[name] > 1 else name)
    return distinct


def _grid_of(found: _Found) -> tuple[object, ...] | None:
    """The grid to a thousandth of a mm, for volumes that time or diffusion weighting set apart."""
    kinds = {kind for kind, _ in found.part.names}
    if found.stacking is None or not kinds & {"time", "diffusion"}:
        return None
    return (found.stacking.shape, tuple((found.stacking.affine_ras.round(2) + 0.0).ravel().tolist()))


def _digest(series: SeriesFacts, what: str) -> str:
    return hashlib.sha256(f"{_series_key(series)}|{what}".encode()).hexdigest()[:8]


def _series_key(series: SeriesFacts) -> str:
    return series.series_uid or f"{series.study_uid}/{series.number}"


def _patients(headers: Sequence[Header]) -> set[str]:
    """Whom the files name: by number, and by name where no file has a number."""
    numbers = {"".join(h.series.patient_id.split()).upper() for h in headers} - {""}
    return numbers or {_plain(h.series.patient_names[0]) for h in headers if h.series.patient_names} - {""}


def _plain(name: str) -> str:
    """A name without what spelling adds: case, separators, other scripts."""
    return "".join(c for c in name.partition("=")[0] if c.isalnum()).upper()


def _merged(headers: Sequence[Header]) -> SeriesFacts:
    """What the files say together: the first that says it, and the worst of what any says."""
    every = [h.series for h in headers]
    burned_in = {s.burned_in for s in every}
    return replace(
        every[0],
        number=next((s.number for s in every if s.number is not None), None),
        patient_id=next((s.patient_id for s in every if s.patient_id), ""),
        patient_names=tuple(sorted({name for s in every for name in s.patient_names})),
        burned_in="YES" if "YES" in burned_in else "" if "" in burned_in else every[0].burned_in,
        lossy=any(s.lossy for s in every),
        issuer=next((s.issuer for s in every if s.issuer), ""),
    )


def _of_files(series: SeriesFacts, own: Sequence[SeriesFacts]) -> SeriesFacts:
    """What one candidate's own files say of what can differ within a series UID: series number, contrast."""
    return replace(
        series,
        number=next((s.number for s in own if s.number is not None), series.number),
        sequence=next((s.sequence for s in own if s.sequence), ()),
        repetition_time_ms=next((s.repetition_time_ms for s in own if s.repetition_time_ms is not None), None),
        tube_kv=next((s.tube_kv for s in own if s.tube_kv is not None), None),
        kernel=next((s.kernel for s in own if s.kernel), ""),
    )


def _refusal(code: str, text: str) -> Refusal:
    return Refusal(code, text, _REMEDY[code])


def _named(files: Sequence[FileRef], trouble: dict[FileRef, tuple[str, str] | None]) -> str:
    """Some of the files by label, with what is wrong with them."""
    distinct = list(dict.fromkeys(files))
    said = []
    for file in distinct[:_NAMED_FILES]:
        what = trouble.get(file)
        said.append(f"{file.label} {what[1]}" if what else file.label)
    more = len(distinct) - _NAMED_FILES
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def _files(planes: Sequence[Plane]) -> frozenset[FileRef]:
    return frozenset(p.file for p in planes)


def _images(count: int) -> str:
    return _count(count, "image")


def _count(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
