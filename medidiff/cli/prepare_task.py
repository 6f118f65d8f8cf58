"""From found scans and a participants table to a cohort: whose each scan is, its attributes, its mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medidiff.cli.discover import plural
from medidiff.cli.prepare_find import FoundScans, Scan
from medidiff.cli.sources import Source
from medidiff.cohort.checks import Rejection
from medidiff.cohort.manifest import AttributeKind
from medidiff.cohort.participants import Participant, Participants, some
from medidiff.cohort.prepare import Cohort
from medidiff.cohort.prepare_scan import Item, Reading
from medidiff.errors import ConfigError, InputError, UsageError
from medidiff.io.nifti_header import nifti_suffix

_Place = tuple[Path, str]
_Rows = Mapping[_Place, Participant | None]
_OF_HEADERS: dict[str, AttributeKind] = {"age": "continuous", "sex": "categorical"}


@dataclass(frozen=True)
class ReadScan:
    """Reads one scan, and the label map beside it; a worker process gets it.

    Args:
        source: The scan.
        mask: Its label map; None where there is none.
    """

    source: Source
    mask: Path | None = None

    def __call__(self) -> Reading:
        """Read.

        Raises:
            InputError, GeometryError: It cannot be read.
        """
        from medidiff.io import read_nifti

        scans = self.source.scans()
        volume = next(scans).volume
        next(scans, None)  # a .gz file is checked at its end
        if self.mask is None:
            return Reading(volume)
        try:
            return Reading(volume, read_nifti(self.mask))
        except InputError as error:
            raise InputError(f"its mask cannot be read ({str(error).removeprefix(f'{self.mask}: ')})") from error


def make_cohort(found: FoundScans, table: Participants | None, masks: str | None, licence: str) -> Cohort:
    """Give every scan its patient.

    Args:
        found: The scans.
        table: The participants table; None where DICOM or BIDS say whose the scans are.
        masks: Pattern of the label maps' paths, from a scan's own folder, `{case}` for what the table calls it.
        licence: Of the scans.

    Raises:
        UsageError: Nobody says whose the scans are, or the pattern fits no file.
        InputError: No scan belongs to a row of the table.
        ConfigError: The table puts one DICOM patient into two splits, or a scan's names are those of two patients.
    """
    rows = {scan.place: _row(scan, table) for scan in found.scans}
    if table is not None:
        _check_some_match(found, table, rows)
    mask_of, warnings = _masks(found, rows, masks)
    maps = {path.resolve() for path in mask_of.values()}
    items, rejections, splits = [], list(found.rejections), dict[str, str]()
    for scan in found.scans:
        row = rows[scan.place]
        if maps and scan.source.files[0].resolve() in maps:
            continue
        patient = _patient(scan, row)
        if table is not None and row is None:
            reason = f"belongs to no row of {table.path.name}"
            rejections.append(Rejection(scan.path, "not in the table", reason, failed=False))
        elif not patient:
            reason = "nobody says whose it is: neither its header nor a table"
            rejections.append(Rejection(scan.path, "unknown patient", reason))
        else:
            items.append(_item(scan, row, patient, mask_of.get(scan.place)))
            _note_split(splits, patient, row, table)
    if not items and not rejections:
        raise UsageError("--masks: every file that was found is a label map by this pattern. Give the scans too.")
    said = [*_told(found, table, rows, rejections), *_doubtful([s for s in found.scans if _alone(s, rows[s.place])])]
    kinds = dict(table.kinds) if table is not None else _OF_HEADERS if found.dicom else {}
    return Cohort(tuple(items), splits, kinds, tuple(rejections), (*said, *warnings), licence)


def _row(scan: Scan, table: Participants | None) -> Participant | None:
    try:
        return table.find(scan.names) if table is not None else None
    except ConfigError as error:
        raise ConfigError(f"{scan.path}: {error}") from error


def _item(scan: Scan, row: Participant | None, patient: str, mask: Path | None) -> Item:
    attributes = dict(row.attributes) if row is not None else _header_attributes(scan)
    modality = row.modality if row is not None else ""
    read = ReadScan(scan.source, mask)
    key = scan.key(mask, said=modality or getattr(scan.source, "modality", ""))
    return Item(scan.path, patient, key, read, attributes, modality, scan.source.label)


def _patient(scan: Scan, row: Participant | None) -> str:
    """The table's word, unless it has none, or it is the number in DICOM headers: then what the scan says by itself."""
    if row is None:
        return scan.patient
    own = scan.patient and (not row.stated or row.patient in scan.own_names)
    return scan.patient if own else row.patient


def _alone(scan: Scan, row: Participant | None) -> bool:
    """Whether the patient is known from a DICOM header alone."""
    return bool(scan.own_names) and _patient(scan, row) == scan.patient != ""


def _doubtful(scans: Sequence[Scan]) -> list[str]:
    """Where the headers of DICOM may make several patients of one person, who would then stand in several splits."""
    remedy = "If some are the same person, say so in a table (column `patient`): a person must not be in two splits."
    told = []
    if nameless := sum("" in scan.own_names for scan in scans):
        each = "each study is taken for a patient of its own"
        told.append(f"{plural(nameless, 'scan')} without a patient number in the header: {each}. {remedy}")
    known: dict[str, set[str]] = {}
    for scan in scans:
        for number in scan.own_names - {scan.patient, ""}:
            known.setdefault(number, set()).add(scan.patient)
    if shared := sum(len(patients) > 1 for patients in known.values()):
        many = "are taken for different patients where their issuers differ"
        told.append(f"the numbers of {plural(shared, 'patient')} occur with several issuers, and {many}. {remedy}")
    return told


def _header_attributes(scan: Scan) -> dict[str, float | str | None]:
    from medidiff.cli.dicom_source import DicomSource

    if not isinstance(scan.source, DicomSource):
        return {}
    from medidiff.io.identity.demographics import UNKNOWN, demographics

    about = demographics(scan.source.candidate.planes[0].file)
    age = None if about.age == UNKNOWN else float(about.age.rstrip("+"))
    return {"age": age, "sex": None if about.sex == UNKNOWN else about.sex}


def _note_split(splits: dict[str, str], patient: str, row: Participant | None, table: Participants | None) -> None:
    if row is None or table is None or not row.split:
        return
    if splits.setdefault(patient, row.split) != row.split:
        raise ConfigError(
            f"--table {table.path}: the patient {patient} stands in two splits, {splits[patient]} and {row.split}. A "
            "split is of patients: give all rows of one the same."
        )


def _check_some_match(found: FoundScans, table: Participants, rows: _Rows) -> None:
    if any(row is not None for row in rows.values()):
        return
    scans = some(scan.path for scan in found.scans)
    cases = "" if found.dicom else f" The table has {some(row.keys[0] for row in table.rows)}."
    raise InputError(
        f"--table {table.path}: none of its {plural(len(table.rows), 'row')} belongs to a scan. Found: {scans}.{cases} "
        "A case is a file's path or name without ending, its beginning, or its folder; of DICOM what `medidiff scan "
        "--table` writes, or the patient's number."
    )


def _told(found: FoundScans, table: Participants | None, rows: _Rows, rejections: list[Rejection]) -> list[str]:
    """What the table and the scans do not agree on."""
    if table is None:
        return []
    told = list(table.warnings)
    used = {id(row) for row in rows.values() if row is not None}
    absent = [row.keys[0] for row in table.rows if id(row) not in used]
    if absent:
        names = "" if found.dicom else f": {some(absent)}"  # with DICOM they may be numbers of patients
        told.append(f"{plural(len(absent), 'row')} of {table.path.name} without a scan{names}.")
    left = sum(one.kind == "not in the table" for one in rejections)
    if left:
        told.append(f"{plural(left, 'scan')} left out: no row of {table.path.name} is about them (see rejected.tsv).")
    matched = [(scan, rows[scan.place]) for scan in found.scans]
    if assumed := sum(row is not None and not row.stated and not scan.patient for scan, row in matched):
        told.append(
            f"{table.path.name} does not say whose {plural(assumed, 'scan')} are (column `patient`): every case "
            "is taken for a patient of its own. If some are of one person, say so: a person must not be in two splits."
        )
    return told


def _masks(found: FoundScans, rows: _Rows, pattern: str | None) -> tuple[dict[_Place, Path], list[str]]:
    """The label map of each scan that has one, by the scan's place."""
    if pattern is None:
        return {}, []
    if not pattern.lower().endswith((".nii.gz", ".nii")):
        raise UsageError(f"--masks {pattern}: must end in .nii.gz or .nii, such as '../labels/{{case}}.nii.gz'.")
    there: dict[_Place, Path] = {}
    absent: dict[_Place, Path] = {}
    for scan in found.scans:
        row = rows[scan.place]
        path = scan.folder / pattern.replace("{case}", row.keys[0] if row is not None else _stem(scan))
        if path.is_file():
            there[scan.place] = path
        else:
            absent[scan.place] = path
    if not there:
        raise UsageError(
            f"--masks {pattern}: no such file for any scan. Looked for {next(iter(absent.values()))} first."
        )
    maps = {path.resolve() for path in there.values()}
    without = sum(scan.source.files[0].resolve() not in maps for scan in found.scans if scan.place in absent)
    return there, [f"{plural(without, 'scan')} without a mask (--masks {pattern})."] if without else []


def _stem(scan: Scan) -> str:
    name = scan.path.rpartition("/")[2]
    return name[: -len(nifti_suffix(Path(name)))] if "." in name else name
