"""`medidiff insert`: put a condition into a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import (
    CondOption,
    DeidentifyOption,
    DeviceOption,
    DryRunOption,
    ExtrapolateOption,
    FormatOption,
    GuidanceIntervalOption,
    GuidanceOption,
    GuidancePriorOption,
    JsonOption,
    KeepIdsOption,
    MaxGbOption,
    ModalityOption,
    OverwriteOption,
    PrecisionOption,
    ReportOption,
    SeedOption,
    SeriesOption,
    StepsOption,
    ThreadsOption,
    TiltOption,
)
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError


@verb
def insert(
    source: Annotated[
        Path, typer.Argument(metavar="SCAN", help="NIfTI file; DICOM folder, zip or DICOMDIR.", show_default=False)
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="Output file; its label map is beside.")],
    prior: Annotated[
        str, typer.Option("--prior", "-p", metavar="NAME|FILE", help="Prior to sample from (see `medidiff priors`).")
    ],
    mask: Annotated[
        Path | None, typer.Option("--mask", "-m", metavar="M", help="NIfTI file on the scan's grid; not 0 may change.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="X,Y,Z", help="Or a ball around this point: world R, A, S in mm.")
    ] = None,
    at_voxel: Annotated[
        str | None, typer.Option("--at-voxel", metavar="I,J,K", help="The same, in voxels from 0 along x, y, z.")
    ] = None,
    size_mm: Annotated[float | None, typer.Option("--size-mm", metavar="S", help="Diameter of the ball, mm.")] = None,
    cond: CondOption = None,
    extrapolate: ExtrapolateOption = False,
    guidance: GuidanceOption = None,
    guidance_interval: GuidanceIntervalOption = "",
    guidance_prior: GuidancePriorOption = None,
    steps: StepsOption = 20,
    noise: Annotated[
        str, typer.Option("--noise", metavar="auto|gaussian|rician", help="Kind of noise outside; auto finds out.")
    ] = "auto",
    noise_std: Annotated[
        str | None, typer.Option("--noise-std", metavar="S|MAP", help="Its level; estimated by default.")
    ] = None,
    paste: Annotated[
        bool, typer.Option("--paste/--no-paste", help="Keep what lies outside as it is; or sample all of OUT.")
    ] = True,
    samples: Annotated[
        int, typer.Option("--samples", metavar="K", help="Draw K; from 2 on write all, with their label maps.")
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
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    max_gb: MaxGbOption = None,
    dry_run: DryRunOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put a condition into a scan.

    Inside the region OUT is sampled from the prior: synthetic, not observed. Outside nothing changes. Beside OUT lies
    its label map: what the prior's mask channels show in the region, or the region where it has none.

    \b
    Examples:
      medidiff insert scan.nii.gz --at 24,-18,-20 --size-mm 40 -p general --cond kind=head_t1 -o changed.nii.gz
      medidiff insert scan.nii.gz --mask region.nii.gz -p hippocampus --cond volume_ml=p0:p5 -o small.nii.gz
    """
    from medidiff.io.dicom.files import looks_like_dicom

    if source.is_dir() and not looks_like_dicom(source):
        raise UsageError(f"{source}: is a folder. `medidiff insert` takes one scan.")
    from medidiff.cli.choices import Machine, PriorChoice, parse_save
    from medidiff.cli.guidance_choice import GuidanceChoice
    from medidiff.cli.input_choice import InputChoice
    from medidiff.cli.insert_task import InsertTask
    from medidiff.cli.noise_choice import NoiseChoice
    from medidiff.cli.output_choice import OutputChoice
    from medidiff.cli.region_choice import RegionChoice
    from medidiff.cli.run import run_task

    task = InsertTask(
        PriorChoice(prior), RegionChoice.of(mask, at, at_voxel, size_mm), tuple(cond or ()), extrapolate=extrapolate,
        guiding=GuidanceChoice(guidance, guidance_interval, guidance_prior), noise=NoiseChoice(noise, noise_std),
        paste=paste, draws=samples, steps=steps, seed=seed, saved=parse_save(save), report=report,
        machine=Machine(device=device, precision=precision, threads=threads, max_gb=max_gb),
    )  # fmt: skip
    given = InputChoice(series=series, modality=modality, resample_tilt=resample_tilt, keep_ids=keep_ids)
    wanted = OutputChoice(form=form, deidentify=deidentify)
    run_task(task, source, output, given, wanted, overwrite=overwrite, dry_run=dry_run, as_json=as_json)
