"""`medidiff inpaint`: fill a part of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import (
    DeidentifyOption,
    DeviceOption,
    DryRunOption,
    FormatOption,
    JsonOption,
    KeepIdsOption,
    MaxGbOption,
    ModalityOption,
    OverwriteOption,
    PrecisionOption,
    PriorOption,
    ReportOption,
    SeedOption,
    SeriesOption,
    ThreadsOption,
    TiltOption,
)
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError


@verb
def inpaint(
    source: Annotated[
        Path, typer.Argument(metavar="SCAN", help="NIfTI file; DICOM folder, zip or DICOMDIR.", show_default=False)
    ],
    mask: Annotated[
        Path, typer.Option("--mask", "-m", metavar="M", help="NIfTI file on the scan's grid; not 0 is filled.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="Output file.")],
    noise: Annotated[
        str, typer.Option("--noise", metavar="auto|gaussian|rician", help="Kind of noise outside; auto finds out.")
    ] = "auto",
    noise_std: Annotated[
        str | None,
        typer.Option("--noise-std", metavar="S|MAP", help="Its level: then the rest is cleaned too. See above."),
    ] = None,
    samples: Annotated[
        int,
        typer.Option("--samples", metavar="K", help="Draw K fillings; from 2 on write all, and their spread."),
    ] = 1,
    save: Annotated[
        str,
        typer.Option(
            "--save", metavar="LIST", help="all, or any of residual,noise-map,uncertainty; written beside OUT."
        ),
    ] = "",
    report: ReportOption = False,
    series: SeriesOption = None,
    modality: ModalityOption = "",
    resample_tilt: TiltOption = False,
    form: FormatOption = "same",
    deidentify: DeidentifyOption = False,
    keep_ids: KeepIdsOption = False,
    prior: PriorOption = "general",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    max_gb: MaxGbOption = None,
    dry_run: DryRunOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fill a part of a scan.

    Where the mask is not 0, OUT holds one posterior sample: plausible, not observed. Another --seed gives another one.
    Outside the mask the scan stays as it is; with --noise-std the whole of OUT is one plausible clean scan instead.

    \b
    Examples:
      medidiff inpaint scan.nii.gz --mask hole.nii.gz -o filled.nii.gz
      medidiff inpaint scan.nii.gz --mask hole.nii.gz -o filled.nii.gz --seed 7 --report
    """
    from medidiff.io.dicom.files import looks_like_dicom

    if source.is_dir() and not looks_like_dicom(source):
        raise UsageError(f"{source}: is a folder. `medidiff inpaint` takes one scan and its mask.")
    from medidiff.cli.choices import Machine, PriorChoice, parse_save
    from medidiff.cli.inpaint_task import InpaintTask
    from medidiff.cli.input_choice import InputChoice
    from medidiff.cli.noise_choice import NoiseChoice
    from medidiff.cli.output_choice import OutputChoice
    from medidiff.cli.run import run_task

    machine = Machine(device=device, precision=precision, threads=threads, max_gb=max_gb)
    task = InpaintTask(
        PriorChoice(prior), mask, NoiseChoice(noise, noise_std), fillings=samples, seed=seed,
        save=parse_save(save), report=report, machine=machine,
    )  # fmt: skip
    given = InputChoice(series=series, modality=modality, resample_tilt=resample_tilt, keep_ids=keep_ids)
    wanted = OutputChoice(form=form, deidentify=deidentify)
    run_task(task, source, output, given, wanted, overwrite=overwrite, dry_run=dry_run, as_json=as_json)
