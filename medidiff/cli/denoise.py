"""`medidiff denoise`: the clean scan behind a noisy one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import (
    AllOption,
    DeidentifyOption,
    DeviceOption,
    DicomdirOption,
    DryRunOption,
    FillGapsOption,
    FormatOption,
    FourDOption,
    JsonOption,
    KeepIdsOption,
    LikeOption,
    MaxGbOption,
    ModalityOption,
    OverwriteOption,
    ParticipantOption,
    PrecisionOption,
    PriorOption,
    ReportOption,
    SeedOption,
    SeriesOption,
    TargetSpacingOption,
    ThreadsOption,
    TiltOption,
)
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError


@verb
def denoise(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="IN", help="NIfTI file or folder; DICOM folder, zip or DICOMDIR; BIDS dataset.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Output file; a folder where IN is one, or DICOM.", show_default=False
        ),
    ] = "",
    source_too: Annotated[Path | None, typer.Option("--input", "-i", metavar="IN", help="The same as IN.")] = None,
    noise: Annotated[
        str, typer.Option("--noise", metavar="auto|gaussian|rician|chi", help="Kind of noise; auto finds out.")
    ] = "auto",
    noise_std: Annotated[
        str | None,
        typer.Option("--noise-std", metavar="S|MAP", help="Its level in the scan's unit: a number, or a NIfTI map."),
    ] = None,
    coils: Annotated[
        int | None, typer.Option("--coils", metavar="N", help="Of chi noise: coils whose squares were added up.")
    ] = None,
    correlated: Annotated[
        str,
        typer.Option("--correlated", metavar="auto|yes|no", help="Noise alike in neighbouring voxels; auto finds out."),
    ] = "auto",
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            metavar="FILE",
            help="NIfTI on the scan's grid: where it is not 0, noise and intensities are judged and the scan is "
            "denoised; outside it comes back unchanged.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="K", help="Also write K posterior samples and their spread.")
    ] = 0,
    strength: Annotated[
        float,
        typer.Option("--strength", metavar="W", help="From 0, the mean, to 1, one sample: texture for a larger error."),
    ] = 0.0,
    save: Annotated[
        str,
        typer.Option(
            "--save", metavar="LIST", help="all, or any of residual,noise-map,uncertainty; written beside OUT."
        ),
    ] = "",
    report: ReportOption = False,
    series: SeriesOption = None,
    every: AllOption = False,
    participants: ParticipantOption = None,
    modality: ModalityOption = "",
    four_d: FourDOption = "error",
    resample_tilt: TiltOption = False,
    fill_gaps: FillGapsOption = False,
    target_spacing: TargetSpacingOption = None,
    form: FormatOption = "same",
    like: LikeOption = None,
    deidentify: DeidentifyOption = False,
    keep_ids: KeepIdsOption = False,
    dicomdir: DicomdirOption = False,
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

    Two passes of the prior, averaged: the posterior mean. A scan without noise worth removing comes back unchanged, and
    the status says so. The output keeps the scan's grid, unit and kind of number; a record (.json) is written beside
    it. A folder is resumed: outputs made with the same settings are skipped, and one bad file does not stop the rest.
    DICOM becomes a derived series of the same study, for the PACS; see `medidiff scan` for what a folder holds.

    \b
    Examples:
      medidiff denoise scan.nii.gz -o clean.nii.gz
      medidiff denoise scans/ -o clean/
      medidiff denoise dicom/ -o clean/ --series 3
      medidiff denoise scan.nii.gz -o clean.nii.gz --noise rician --noise-std 25
      medidiff denoise scan.nii.gz -o clean.nii.gz --mask brain.nii.gz --modality MR
      medidiff denoise dwi.nii.gz -o clean.nii.gz --4d each
      medidiff denoise scan.nii.gz -o clean.nii.gz --samples 8 --save residual,uncertainty --report
    """
    scan = source or source_too
    if scan is None or (source and source_too):
        raise UsageError("IN: give one file or folder, as IN or with -i. See `medidiff denoise --help`.")
    if not output:
        raise UsageError("-o: must be given, a file name such as clean.nii.gz or a folder.")
    from medidiff.cli.choices import Machine, PriorChoice, parse_save
    from medidiff.cli.denoise_task import DenoiseTask
    from medidiff.cli.input_choice import InputChoice, parse_labels
    from medidiff.cli.noise_choice import NoiseChoice
    from medidiff.cli.output_choice import OutputChoice
    from medidiff.cli.run import run_task

    machine = Machine(device=device, precision=precision, threads=threads, max_gb=max_gb)
    task = DenoiseTask(
        PriorChoice(prior), NoiseChoice(noise, noise_std, coils, correlated), mask_path=mask, samples=samples,
        strength=strength, seed=seed, shifts=shifts, save=parse_save(save), report=report, machine=machine,
    )  # fmt: skip
    given = InputChoice(
        series=series, every=every, participants=parse_labels(participants), modality=modality, four_d=four_d,
        resample_tilt=resample_tilt, fill_gaps=fill_gaps, target_spacing_mm=target_spacing, keep_ids=keep_ids,
    )  # fmt: skip
    wanted = OutputChoice(form=form, deidentify=deidentify, dicomdir=dicomdir, like=like)
    run_task(task, scan, output, given, wanted, overwrite=overwrite, dry_run=dry_run, as_json=as_json)
