"""`medidiff runs`: how training runs stand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import JsonOption
from medidiff.cli.outcome import emit_json, verb
from medidiff.errors import UsageError


@verb
def runs(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER...]", help="Runs, or folders of runs; ./runs by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show training runs: state, progress, validation.

    All runs below the folders in one table; one run's own folder shows its details and how its validation went on.
    It reads files only and disturbs nothing.

    \b
    Examples:
      medidiff runs
      medidiff runs runs/general
      medidiff runs /data/runs /scratch/runs --json
    """
    from medidiff.training.watch_files import find_runs, read_run, read_trend

    where = folders or [Path("runs")]
    for folder in folders or []:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder. Give a run (the `output` of its config) or a folder of runs.")
    found = find_runs(where)
    described = [read_run(folder) for folder in found]
    one = len(found) == 1 and [folder.resolve() for folder in where] == [found[0].resolve()]
    if as_json:
        trend = {"trend": read_trend(found[0])} if one else {}
        emit_json({"status": "done", "runs": described, **trend})
        return
    if not found:
        looked = ", ".join(str(folder) for folder in where)
        typer.echo(
            f"No training run below {looked}. `medidiff train CONFIG` starts one, in the config's `output` folder."
        )
        return
    from medidiff.cli.runs_text import details, show_table

    if one:
        typer.echo("\n".join(details(described[0], read_trend(found[0]))))
    else:
        show_table(described)
