"""`medidiff noise`: what noise is in a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import (
    AllOption,
    DeviceOption,
    FourDOption,
    JsonOption,
    KeepIdsOption,
    MaxGbOption,
    ModalityOption,
    OverwriteOption,
    PrecisionOption,
    PriorOption,
    SeriesOption,
    ThreadsOption,
    TiltOption,
)
from medidiff.cli.outcome import verb


@verb
def noise(
    source: Annotated[
        Path,
        typer.Argument(metavar="SCAN", help="NIfTI file or folder; DICOM folder, zip or DICOMDIR; BIDS dataset."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Also write a map, a picture and the figures there."),
    ] = None,
    kind: Annotated[
        str, typer.Option("--noise", metavar="auto|gaussian|rician|chi", help="Kind of noise; auto finds out.")
    ] = "auto",
    coils: Annotated[
        int | None, typer.Option("--coils", metavar="N", help="Of chi noise: coils whose squares were added up.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE", help="NIfTI on the scan's grid: judge where it is not 0."),
    ] = None,
    series: SeriesOption = None,
    every: AllOption = False,
    modality: ModalityOption = "",
    four_d: FourDOption = "error",
    resample_tilt: TiltOption = False,
    prior: PriorOption = "general",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    max_gb: MaxGbOption = None,
    keep_ids: KeepIdsOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what noise is in a scan: how much, of what kind, where, and how neighbours are alike.

    The estimate that `medidiff denoise` works with. A scan without noise is said to be clean. Of a folder, a table with
    a line for each scan.

    \b
    Examples:
      medidiff noise scan.nii.gz
      medidiff noise scan.nii.gz -o noise/
      medidiff noise dicom/ --series 3 --json
      medidiff noise scans/
    """
    from medidiff.cli.choices import Machine, PriorChoice
    from medidiff.cli.input_choice import InputChoice
    from medidiff.cli.noise_choice import NoiseChoice
    from medidiff.cli.noise_run import run_noise

    given = InputChoice(
        series=series, every=every, modality=modality, four_d=four_d, resample_tilt=resample_tilt, keep_ids=keep_ids
    )
    run_noise(
        source, given, NoiseChoice(kind, coils=coils), PriorChoice(prior), mask, output,
        Machine(device, precision, threads, max_gb), overwrite=overwrite, as_json=as_json,
    )  # fmt: skip
