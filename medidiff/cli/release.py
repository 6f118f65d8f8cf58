"""`medidiff release`: a synthetic set, with its audit and a person's signature, made ready to be given away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import JsonOption
from medidiff.cli.outcome import emit_json, verb, warn
from medidiff.errors import UsageError


@verb
def release(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A finished set of medidiff synth.", show_default=False)
    ],
    audit: Annotated[
        Path | None,
        typer.Option("--audit", metavar="OUT", help="Its audit, file or folder. DIR or DIR/audit by default."),
    ] = None,
    sign_off: Annotated[
        Path | None,
        typer.Option("--sign-off", metavar="FILE", help="The filled form, JSON or YAML. Beside the audit by default."),
    ] = None,
    template: Annotated[bool, typer.Option("--template", help="Write the form to fill in, and stop.")] = False,
    replace: Annotated[bool, typer.Option("--overwrite", help="Of --template: replace a form that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Release a set: only with an audit that says PASS and a person who looked.

    The audit's hash must be that of the files, its prior that of the set, and the form must be of this very audit, with
    every sample that the audit names looked at. Then DATA_CARD.md, croissant.json (held against the format by
    mlcroissant) and RELEASE.json with every file's hash are written, together or not at all.
    Exit codes: 0; 2 where audit or form is missing, not complete, of other files, or rejects; 3 where DIR is no
    finished set; 10 audit FAIL; 11 audit INCONCLUSIVE.

    \b
    Examples:
      medidiff release set/ --template
      medidiff release set/
      medidiff release set/ --audit audits/set/ --sign-off audits/set/signoff.yaml
    """
    from medidiff.synthesis.release import release as make_release
    from medidiff.synthesis.release import write_form

    if template:
        path = write_form(folder, audit, sign_off, replace)
        if as_json:
            emit_json({"status": "form written", "exit_code": 0, "form": str(path)})
        else:
            typer.echo(f"{path}: fill in reviewer, role, date, statement, decision; tick each sample you looked at.")
        return
    if replace:
        raise UsageError("--overwrite: goes with --template alone. Leave it out.")
    done = make_release(folder, audit, sign_off)
    for text in done.warnings:
        warn(f"croissant.json: {text}")
    if done.record["licence"] in ("", "not stated"):
        warn(
            "licence: the prior states none (card.output_licence of its training). Say what others may do with the set."
        )
    if as_json:
        emit_json(
            {"status": "released", "exit_code": 0, "written": done.written, "warnings": done.warnings} | done.record
        )
        return
    typer.echo(f"{folder}: released. {done.record['words']}")
    typer.echo(f"Give away the {len(done.record['files']) + 1} files that RELEASE.json names, itself included.")


__all__ = ["release"]
