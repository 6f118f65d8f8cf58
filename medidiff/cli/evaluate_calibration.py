"""`medidiff evaluate calibration`: do a prior's intervals hold what they say, on these patients?"""

from __future__ import annotations

from typing import Annotated

import typer

from medidiff.cli.evaluate_sets import FolderOption, SplitOption, TableOption, check_folder, tell
from medidiff.cli.options import DeviceOption, JsonOption, ModalityOption, OverwriteOption, SeedOption
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError


@verb
def calibration(
    scans: Annotated[
        str, typer.Argument(metavar="DIR|STORE", help="Clean scans of patients nobody trained on.", show_default=False)
    ],
    prior: Annotated[str, typer.Option("--prior", "-p", metavar="NAME|FILE", help="Prior to judge.")] = "general",
    split: SplitOption = None,
    table: TableOption = None,
    folder: FolderOption = None,
    noise: Annotated[
        str, typer.Option("--noise", metavar="LIST", help="Kinds: gaussian, rician, correlated, varying.")
    ] = "gaussian,rician",
    percent: Annotated[
        str, typer.Option("--percent", metavar="LIST", help="Levels in percent of a scan's range.")
    ] = "4,8,15",
    most: Annotated[int, typer.Option("--patients", metavar="N", help="At most so many, drawn by --seed.")] = 20,
    seed: SeedOption = 0,
    modality: ModalityOption = "",
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check the 90% intervals of a prior's uncertainty on held-out patients.

    Known noise is added to their scans and removed again. A voxel is covered where its true value lies within the
    estimate ± the card's factor times the uncertainty. Coverage is a patient's share of voxels, averaged over PATIENTS,
    with Student's interval. A scan whose own noise is more than 60% of the level is left out, and said.
    Exit codes: 0 measured, whatever was found; 2 options; 3 no usable scan; 6 prior; 7 a grid the prior cannot take.

    \b
    Examples:
      medidiff evaluate calibration scans/ -p general --table participants.tsv --split holdout -o calibration/
      medidiff evaluate calibration store/ -p mine.safetensors --split holdout --noise gaussian --percent 8 --json
    """
    if most < 1:
        raise UsageError(f"--patients {most}: must be 1 or more.")
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be 0 or more.")
    check_folder(folder, overwrite)
    from medidiff.cli.evaluate_calibration_run import Wish, lines, measure
    from medidiff.report.evaluate_page import calibration_page

    told = measure(scans, split, table, Wish.parse(prior, noise, percent, most, seed, modality, device))
    tell(told, folder, calibration_page(told), lines(told), as_json)


__all__ = ["calibration"]
