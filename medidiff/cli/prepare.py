"""`medidiff prepare`: a cohort into a store, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import FourDOption, JsonOption, ModalityOption, TiltOption
from medidiff.cli.outcome import verb
from medidiff.errors import UsageError

_RECIPE, _SPLIT, _INPUT = "Recipe", "Split", "Input"


@verb
def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC...", help="Folders or files: DICOM, NIfTI, BIDS; subfolders too.", show_default=False
        ),
    ],
    store: Annotated[
        str,
        typer.Option("--output", "-o", metavar="STORE", help="Folder, or URL that fsspec knows.", show_default=False),
    ],
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="participants.tsv or .csv: whose scan a case is, and more."),
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="GLOB", help="Only such paths; may be given again.")
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option("--masks", metavar="PATTERN", help="Label maps, from a scan's folder: ../labels/{case}.nii.gz"),
    ] = None,
    mask_volume: Annotated[
        bool, typer.Option("--mask-volume", help="Measure each label map's volume: the attribute volume_ml.")
    ] = False,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE.yaml", help="Recipe; the options below replace its keys.")
    ] = None,
    spacing_mm: Annotated[
        str | None, typer.Option("--spacing-mm", metavar="X,Y,Z|native", help="Resample to this; native by default.")
    ] = None,
    orientation: Annotated[
        str | None, typer.Option("--orientation", metavar="RAS|native", help="Turn axes to R, A, S (the default).")
    ] = None,
    intensity: Annotated[
        str | None,
        typer.Option(
            "--intensity", metavar="percentile|window:LOW,HIGH", help="What becomes -1 to 1; a window is for CT, in HU."
        ),
    ] = None,
    crop_to_body: Annotated[bool, typer.Option("--crop-to-body", help="Cut off the air around the body.")] = False,
    holdout: Annotated[
        str,
        typer.Option(
            "--holdout",
            metavar="coin|none",
            help="Patients without a split: coin puts 60% into train, 10% val, 30% holdout; none 90% and 10%.",
        ),
    ] = "coin",
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Of the coin; drawn if left out, and recorded.")
    ] = None,
    categorical: Annotated[
        str, typer.Option("--categorical", metavar="A,B", help="Columns of the table whose numbers are codes.")
    ] = "",
    modality: ModalityOption = "",
    four_d: FourDOption = "error",
    resample_tilt: TiltOption = False,
    licence: Annotated[
        str, typer.Option("--licence", metavar="TEXT", help="Of the scans, for the data card.")
    ] = "not stated",
    jobs: Annotated[int | None, typer.Option("--jobs", metavar="N", help="Processes; all cores by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Prepare a cohort for training: check, split by patient, normalise, store.

    Reads every scan once. What cannot be used is listed with the reason (STORE/rejected.tsv) and skipped. Run the same
    command again to go on after an interruption, or to add scans. The split is of PATIENTS: the table's `split` column
    is respected; a recorded coin (a keyed hash of each patient's identifier) decides for the others. STORE/card.md is
    the draft of a data card.

    \b
    Examples:
      medidiff prepare scans/ -o store/ --table participants.tsv
      medidiff prepare dicom/ -o ct-store/ --intensity window:-1000,1000 --spacing-mm 1.5
      medidiff prepare bids/ -o store/ --holdout none --seed 7
    """
    if holdout not in ("coin", "none"):
        raise UsageError(f"--holdout {holdout}: must be coin or none.")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: must be 1 or more. Leave it out to use all cores.")
    if seed is not None and not 0 <= seed < 2**63:
        raise UsageError(f"--seed {seed}: must be 0 or more. Leave it out to draw one.")
    if mask_volume and masks is None:
        raise UsageError("--mask-volume: needs label maps. Give --masks PATTERN, such as '../labels/{case}.nii.gz'.")
    if orientation not in (None, "RAS", "native"):
        raise UsageError(f"--orientation {orientation}: must be RAS or native.")
    from medidiff.cli.input_choice import InputChoice
    from medidiff.cli.prepare_run import Wanted, run
    from medidiff.cohort.recipe import load_recipe, parse_intensity, parse_spacing

    replaced = {
        "spacing_mm": None if spacing_mm is None else parse_spacing(spacing_mm),
        "orientation": orientation,
        "intensity": None if intensity is None else parse_intensity(intensity),
        "crop_to_body": crop_to_body or None,
        "mask_volume": mask_volume or None,
    }
    wanted = Wanted(
        roots=tuple(sources),
        store=store,
        recipe=load_recipe(recipe, {key: value for key, value in replaced.items() if value is not None}),
        table=table,
        include=tuple(include or ()),
        masks=masks,
        holdout="coin" if holdout == "coin" else "none",
        seed=seed,
        categorical=tuple(filter(None, (name.strip() for name in categorical.split(",")))),
        choice=InputChoice(modality=modality, four_d=four_d, resample_tilt=resample_tilt),
        licence=licence,
        jobs=jobs,
    )
    run(wanted, as_json)
