"""`medidiff convert`: DICOM to NIfTI and back, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import (
    AllOption,
    ConvertFormatOption,
    DeidentifyOption,
    DicomdirOption,
    DryRunOption,
    FourDOption,
    JsonOption,
    KeepIdsOption,
    LikeOption,
    ModalityOption,
    OverwriteOption,
    ParticipantOption,
    SeriesOption,
    TiltOption,
)
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError


@verb
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="DICOM folder, zip, DICOMDIR or file; NIfTI file or folder.", show_default=False
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="Output file or folder.", show_default=False)
    ],
    series: SeriesOption = None,
    every: AllOption = False,
    participants: ParticipantOption = None,
    modality: ModalityOption = "",
    four_d: FourDOption = "error",
    resample_tilt: TiltOption = False,
    fill_gaps: Annotated[bool, typer.Option("--fill-gaps", hidden=True)] = False,
    target_spacing: Annotated[float | None, typer.Option("--target-spacing", hidden=True)] = None,
    form: ConvertFormatOption = "nifti",
    like: LikeOption = None,
    deidentify: DeidentifyOption = False,
    keep_ids: KeepIdsOption = False,
    dicomdir: DicomdirOption = False,
    dry_run: DryRunOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Convert scans: DICOM to NIfTI, NIfTI to DICOM, DICOM to plain DICOM.

    No prior is used and no value is changed. NIfTI keeps the integers of the DICOM files where one slope holds for all
    slices; a record (.json) with how the scan was acquired, in BIDS' words, is written beside it.

    \b
    Examples:
      medidiff convert dicom/ -o nifti/ --all
      medidiff convert dicom.zip -o scan.nii.gz --series 3
      medidiff convert clean.nii.gz -o back/ --format dicom --like dicom/
    """
    if fill_gaps or target_spacing is not None:
        option = "--fill-gaps" if fill_gaps else "--target-spacing"
        raise UsageError(f"{option}: slices that were not measured need a prior. Use `medidiff denoise {option}`.")
    from medidiff.cli.convert_task import ConvertTask
    from medidiff.cli.input_choice import InputChoice, parse_labels
    from medidiff.cli.output_choice import OutputChoice
    from medidiff.cli.run import run_task

    given = InputChoice(
        series=series, every=every, participants=parse_labels(participants), modality=modality, four_d=four_d,
        resample_tilt=resample_tilt, keep_ids=keep_ids,
    )  # fmt: skip
    wanted = OutputChoice(form=form, deidentify=deidentify, dicomdir=dicomdir, like=like)
    run_task(ConvertTask(), source, output, given, wanted, overwrite=overwrite, dry_run=dry_run, as_json=as_json)
