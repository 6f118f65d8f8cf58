"""`medidiff scan`: what is in a folder, and why some of it cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medidiff.cli.options import JsonOption, OverwriteOption
from medidiff.cli.outcome import Failure, emit_json, failure_of, say, stop, verb, warn
from medidiff.cli.progress import counted
from medidiff.errors import InputError, MedidiffError, UsageError

if TYPE_CHECKING:
    from medidiff.cli.scan_listing import Listing

_NOTHING = "no volume that can be read as it is."


@verb
def scan(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder, zip, DICOMDIR, DICOM or NIfTI file.")],
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE.tsv", help="Also write a participants table, by pseudonym.")
    ] = None,
    phi: Annotated[
        bool, typer.Option("--phi", help="Instead, report where identifiers of patients are; not what they are.")
    ] = False,
    keep_ids: Annotated[
        bool, typer.Option("--keep-ids", help="Show names, numbers and descriptions. Without it none is shown.")
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the scans in a folder, and why some cannot be read.

    DICOM in whatever tree, zip or file, and NIfTI files, subfolders too. Patients are counted, not named. Nothing in
    FOLDER is changed.

    \b
    Examples:
      medidiff scan scans/
      medidiff scan scans.zip --json
      medidiff scan scans/ --table participants.tsv
      medidiff scan scans/ --phi
    """
    if phi and table is not None:
        raise UsageError("--phi and --table: give one of them.")
    if overwrite and table is None:
        raise UsageError("--overwrite: is for --table. Leave it out.")
    if phi:
        _report_identifiers(folder, keep_ids, as_json)
        return
    from medidiff.cli.participants import check_table
    from medidiff.cli.scan_text import lines_of

    if table is not None:
        check_table(table, overwrite)
    try:
        listing = _look(folder, keep_ids)
    except MedidiffError as error:
        from medidiff.cli.scan_listing import Listing

        stop(failure_of(error), as_json, {**Listing(str(folder), None).to_dict(), "table": None})
    told = {"status": "done", "exit_code": 0, **listing.to_dict(), "table": None}
    if not as_json:
        typer.echo("\n".join(lines_of(listing)))
    for text in listing.warnings():
        warn(text)
    if listing.readable and table is not None:
        told["table"] = _write_table(listing, table)
    if not listing.readable:
        stop(Failure(f"{listing.name}: {_NOTHING}", InputError.exit_code), as_json, told)
    if as_json:
        emit_json(told)


def _look(folder: Path, keep_ids: bool) -> Listing:
    from medidiff.cli.scan_listing import Listing, display_path
    from medidiff.cli.scan_nifti import list_nifti
    from medidiff.io.nifti_header import NIFTI_SUFFIXES

    dicom = None
    if not folder.name.lower().endswith(NIFTI_SUFFIXES) or folder.is_dir():
        from medidiff.io.dicom.scan import scan_dicom

        with counted("headers") as progress:
            dicom = scan_dicom(folder, progress=progress, keep_ids=keep_ids)
    nifti, identifiers = list_nifti(folder, dicom.identifiers if dicom else frozenset(), keep_ids)
    return Listing(display_path(folder, identifiers, keep_ids), dicom, nifti, keep_ids, identifiers)


def _write_table(listing: Listing, table: Path) -> dict[str, Any]:
    from medidiff.cli.participants import table_rows, told_of, write_table

    rows = table_rows(listing)
    write_table(table, rows)
    say(f"{table}: {told_of(rows)}")
    redacted = sum(one.redacted for one in listing.nifti)
    if redacted:
        warn(f"{table}: {redacted} NIfTI files are named after their patient; the table has their names without.")
    return {"file": str(table), "rows": len(rows), "patients": len({row.patient for row in rows})}


def _report_identifiers(folder: Path, keep_ids: bool, as_json: bool) -> None:
    from medidiff.cli.scan_listing import display_path
    from medidiff.cli.scan_phi import phi_dict, phi_lines
    from medidiff.io.identity.find import find_identifiers

    with counted("headers") as progress:
        report = find_identifiers(folder, progress)
    name = display_path(folder, report.identifiers, keep_ids)
    told = {"status": "done", "exit_code": 0, **phi_dict(report, name, keep_ids)}
    if not as_json:
        typer.echo("\n".join(phi_lines(report, name, keep_ids)))
    if not report.looked_at:
        stop(
            Failure(f"{name}: no DICOM, NIfTI, JSON or .tsv file that can be read.", InputError.exit_code),
            as_json,
            told,
        )
    if as_json:
        emit_json(told)
