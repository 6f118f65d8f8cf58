"""`medidiff synth`: a set of synthetic scans, one or a hundred thousand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import (
    CondOption,
    DeviceOption,
    DryRunOption,
    ExtrapolateOption,
    GuidanceIntervalOption,
    GuidanceOption,
    GuidancePriorOption,
    JsonOption,
    MaxGbOption,
    PrecisionOption,
    SeedOption,
    StepsOption,
    ThreadsOption,
)
from medidiff.cli.outcome import verb


@verb
def synth(
    prior: Annotated[
        str, typer.Option("--prior", "-p", metavar="NAME|FILE", help="Prior to sample from.", show_default=False)
    ],
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", help="Scans in all, controls included.", show_default=False)
    ],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the set.", show_default=False)
    ],
    cond: CondOption = None,
    cond_table: Annotated[
        Path | None,
        typer.Option("--cond-table", metavar="FILE", help="Conditions from a .csv or .tsv: row i for scan i, cycled."),
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", metavar="FILE", help="Conditions drawn from a cohort's table, jointly.")
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            "--balance",
            metavar="NAME",
            help="With --cond NAME=...: every second scan is a control. With --like: its values evenly.",
        ),
    ] = None,
    controls: Annotated[
        str,
        typer.Option(
            "--controls",
            metavar="matched|none",
            help="Of --balance: controls share all else with their case; NAME is drawn from the rest of its range.",
        ),
    ] = "matched",
    extrapolate: ExtrapolateOption = False,
    shape: Annotated[
        str | None, typer.Option("--shape", metavar="X,Y,Z", help="Voxels; the prior's own by default.")
    ] = None,
    spacing_mm: Annotated[
        str | None,
        typer.Option("--spacing-mm", metavar="MM|X,Y,Z", help="Voxel spacing; the prior's own if it knows one."),
    ] = None,
    steps: StepsOption = 10,
    seed: SeedOption = 0,
    first: Annotated[int, typer.Option("--first", metavar="INDEX", help="Number of the first scan.")] = 0,
    guidance: GuidanceOption = None,
    guidance_interval: GuidanceIntervalOption = "",
    guidance_prior: GuidancePriorOption = None,
    layout: Annotated[str, typer.Option("--layout", metavar="flat|bids|nnunet", help="How files lie in DIR.")] = "flat",
    form: Annotated[
        str, typer.Option("--format", metavar="nifti|dicom", help="Of the scans; masks are NIfTI.")
    ] = "nifti",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="auto|int16|float32", help="Of NIfTI intensities; auto: as the source's.")
    ] = "auto",
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="NAME=PERCENT",
            help="Draw again where what is measured is further from what was asked; volume_ml=10% where it can be "
            "measured. Or none.",
        ),
    ] = None,
    guard: Annotated[
        str | None,
        typer.Option(
            "--guard",
            metavar="TRAIN",
            help="Draw again what is nearer to a patient of this store than chance allows.",
        ),
    ] = None,
    max_attempts: Annotated[
        int, typer.Option("--max-attempts", metavar="N", help="Draws of one scan before it is given up.")
    ] = 5,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/K", help="Only every K-th scan, from the I-th (0 to K-1).")
    ] = "0/1",
    engine: Annotated[str, typer.Option("--engine", metavar="local|ray", help="Who makes the scans.")] = "local",
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Of --engine ray; all cores by default.")
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    max_gb: MaxGbOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a set in DIR that was made with other settings.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a set of synthetic scans, with masks where the prior has them.

    Scan i depends on the prior, the settings, the seed and i, and on nothing else. Run the same command again to go on
    after an interruption; run it with --shard 0/4 to 3/4, at once or one after the other, and the last job puts the set
    together: manifest.parquet, labels.csv, README.md, croissant.json. Draws that look like no scan are drawn again.

    \b
    Examples:
      medidiff synth -p hippocampus -n 500 -o set/ --cond volume_ml=p0:p20
      medidiff synth -p hippocampus -n 1000 -o set/ --cond volume_ml=p0:p20 --balance volume_ml --layout nnunet
      medidiff synth -p brain -n 100000 -o /shared/set --like participants.tsv --balance sex --shard $TASK/64
    """
    from medidiff.cli.synth_run import Wanted, run

    wanted = Wanted(
        prior=prior,
        count=count,
        folder=folder,
        cond=tuple(cond or ()),
        cond_table=cond_table,
        like=like,
        balance=balance,
        controls=controls,
        extrapolate=extrapolate,
        shape=shape,
        spacing_mm=spacing_mm,
        steps=steps,
        seed=seed,
        first=first,
        guidance=guidance,
        guidance_interval=guidance_interval,
        guidance_prior=guidance_prior,
        layout=layout,
        form=form,
        dtype=dtype,
        check=tuple(check or ()),
        max_attempts=max_attempts,
        guard=guard,
        shard=shard,
        engine=engine,
        workers=workers,
        machine={"device": device, "precision": precision, "threads": threads, "max_gb": max_gb},
        overwrite=overwrite,
    )
    run(wanted, dry_run=dry_run, as_json=as_json)
