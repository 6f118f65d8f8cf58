"""`medidiff audit`: does a synthetic set, or its prior, copy or betray the patients it was made from?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import DeviceOption, JsonOption, OverwriteOption, PrecisionOption, ThreadsOption
from medidiff.cli.outcome import verb


@verb
def audit(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="The synthetic set: of medidiff synth, or a folder of NIfTI.", show_default=False
        ),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option("--train", metavar="DIR", help="Scans that the prior was trained on: a store or a folder."),
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option("--holdout", metavar="DIR", help="Scans of people it has never seen, kept out by chance."),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option("--prior", "-p", metavar="NAME|FILE", help="Also ask the prior itself (white-box tests)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Folder of audit.json and audit.html; DIR by default."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="DIR", help="Scans of neither, to learn features from; a store's own val."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Whose the scans of folders are: participants.tsv."),
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option("--thresholds", metavar="FILE", help="YAML with other thresholds than configs/audit.yaml."),
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="Folder of the prior's training run: its coin and its key."),
    ] = None,
    plan: Annotated[
        int | None,
        typer.Option("--plan", metavar="N", help="Audit nothing: say what could be shown with N patients."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", metavar="N", help="Of --plan: scans of the set.  [default: 200]")
    ] = None,
    internal: Annotated[
        bool, typer.Option("--internal", help="Show the nearest real scans too. The page must then stay at the site.")
    ] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say with evidence whether a synthetic set copies patients, before it leaves the building.

    Synthetics are compared with the patients of train and of holdout; copies of train scans are planted, so that the
    report shows what this audit on this data could have seen. Of a store, --train takes its split train and --holdout
    its split holdout. The verdict is PASS (exit code 0), FAIL (10) or INCONCLUSIVE (11, with the number of patients
    that would decide it). `medidiff release` takes it from there. Without DIR the prior alone is asked whom it was
    trained on: FAIL or INCONCLUSIVE.

    \b
    Examples:
      medidiff audit set/ --train stores/hippocampus --holdout stores/hippocampus --prior hippocampus
      medidiff audit set/ --train train/ --holdout holdout/ --table participants.tsv -o audit/
      medidiff audit --plan 120 --samples 500
    """
    from medidiff.cli.audit_ahead import SYNTHETICS
    from medidiff.cli.audit_run import Wanted, plan_words, run
    from medidiff.errors import UsageError

    if plan is not None:
        named = {"DIR": folder, "--train": train, "--holdout": holdout, "--prior": prior, "--output": output}
        named |= {"--reference": reference, "--table": table, "--run": run_folder, "--internal": internal or None}
        others = [name for name, value in named.items() if value is not None]
        if others:
            raise UsageError(f"--plan {plan}: audits nothing, so {', '.join(others)} cannot be given with it.")
        typer.echo(plan_words(plan, SYNTHETICS if samples is None else samples, thresholds, as_json))
        return
    if samples is not None:
        raise UsageError("--samples: goes with --plan alone. An audit takes every scan of DIR.")
    if train is None or holdout is None or (folder is None and prior is None):
        given = (("DIR or --prior", folder or prior), ("--train", train), ("--holdout", holdout))
        missing = ", ".join(name for name, value in given if not value)
        raise UsageError(f"audit: {missing} missing. It needs a set or a prior, --train and --holdout; or --plan N.")
    where = output or folder
    if where is None:
        raise UsageError("-o OUT: must be given where a prior alone is audited.")
    machine = {"device": device, "precision": precision, "threads": threads}
    wanted = Wanted(folder, train, holdout, prior, where, reference, table, thresholds, run_folder, internal, machine)
    run(wanted, overwrite=overwrite, as_json=as_json)
