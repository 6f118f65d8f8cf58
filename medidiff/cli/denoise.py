"""`medidiff denoise`: the clean scan behind a noisy one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import (
    DeviceOption,
    DryRunOption,
    JsonOption,
    MaxGbOption,
    OverwriteOption,
    PrecisionOption,
    PriorOption,
    ReportOption,
    SeedOption,
    ThreadsOption,
)
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError


@verb
def denoise(
    source: Annotated[
        Path | None, typer.Argument(metavar="IN", help="NIfTI file, or a folder of them.", show_default=False)
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Output file; a folder where IN is one.", show_default=False
        ),
    ] = "",
    source_too: Annotated[Path | None, typer.Option("--input", "-i", metavar="IN", help="The same as IN.")] = None,
    noise: Annotated[
        str, typer.Option("--noise", metavar="auto|gaussian|rician", help="Kind of noise; auto finds out.")
    ] = "auto",
    noise_std: Annotated[
        str | None,
        typer.Option("--noise-std", metavar="S|MAP", help="Its level in the scan's unit: a number, or a NIfTI map."),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="K", help="Also write K posterior samples and their spread.")
    ] = 0,
    save: Annotated[
        str,
        typer.Option(
            "--save", metavar="LIST", help="all, or any of residual,noise-map,uncertainty; written beside OUT."
        ),
    ] = "",
    report: ReportOption = False,
    prior: PriorOption = "general",
    seed: SeedOption = 0,
    shifts: Annotated[
        int, typer.Option("--shifts", metavar="N", help="Passes averaged, on shifted grids, 1 to 8: slower, better.")
    ] = 2,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    max_gb: MaxGbOption = None,
    dry_run: DryRunOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Denoise a scan, or every scan in a folder.

    Two passes of the prior, averaged: the posterior mean. The output keeps the scan's grid, unit and kind of number; a
    record (.json) is written beside it. A folder is resumed: outputs made with the same settings are skipped, and one
    bad file does not stop the rest.

    \b
    Examples:
      medidiff denoise scan.nii.gz -o clean.nii.gz
      medidiff denoise scans/ -o clean/
      medidiff denoise scan.nii.gz -o clean.nii.gz --noise rician --noise-std 25
      medidiff denoise scan.nii.gz -o clean.nii.gz --samples 8 --save residual,uncertainty --report
    """
    scan = source or source_too
    if scan is None or (source and source_too):
        raise UsageError("IN: give one NIfTI file or folder, as IN or with -i. See `medidiff denoise --help`.")
    if not output:
        raise UsageError("-o: must be given, a file name such as clean.nii.gz or a folder.")
    from medidiff.cli.choices import Machine, PriorChoice, parse_save
    from medidiff.cli.denoise_task import DenoiseTask
    from medidiff.cli.noise_choice import NoiseChoice
    from medidiff.cli.run import run_task

    machine = Machine(device=device, precision=precision, threads=threads, max_gb=max_gb)
    task = DenoiseTask(
        PriorChoice(prior), NoiseChoice(noise, noise_std), samples=samples, seed=seed, shifts=shifts,
        save=parse_save(save), report=report, machine=machine,
    )  # fmt: skip
    run_task(task, scan, output, overwrite=overwrite, dry_run=dry_run, as_json=as_json)
