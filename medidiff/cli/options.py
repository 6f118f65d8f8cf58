"""Options that several verbs share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PriorOption = Annotated[
    str, typer.Option("--prior", "-p", metavar="NAME|FILE", help="Prior to use (`medidiff priors` lists them).")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="DEV", help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[
    str, typer.Option("--precision", metavar="auto|bf16|float32", help="auto times both and takes the faster one.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="Processor threads; all of them by default.")
]
MaxGbOption = Annotated[
    float | None, typer.Option("--max-gb", metavar="GB", help="Memory to stay within; larger scans are tiled.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything random.")]
CondOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cond",
        metavar="K=V",
        help="What it shall show, see `medidiff info PRIOR`: sex=F, volume_ml=2.8, 2.4:2.8 or p0:p5.",
    ),
]
ExtrapolateOption = Annotated[
    bool, typer.Option("--extrapolate", help="Allow and mark numbers beyond the trained range.")
]
GuidanceOption = Annotated[
    float | None,
    typer.Option("--guidance", metavar="W", help="How strongly --cond is followed; 1 is as trained. The prior knows."),
]
GuidanceIntervalOption = Annotated[
    str,
    typer.Option(
        "--guidance-interval", metavar="LO:HI", help="Noise levels to guide at, normalised units. The prior knows."
    ),
]
GuidancePriorOption = Annotated[
    str | None,
    typer.Option("--guidance-prior", metavar="PRIOR", help="Guide away from this weaker prior (autoguidance)."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would be done, do nothing.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")]
ReportOption = Annotated[bool, typer.Option("--report", help="Also write one HTML page beside OUT.")]


SeriesOption = Annotated[
    str | None,
    typer.Option("--series", metavar="ID", help="Of a DICOM folder: the id, series number or UID of one volume."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Of a DICOM folder: every volume.")]
ParticipantOption = Annotated[
    list[str] | None,
    typer.Option(
        "--participant-label",
        metavar="LABEL",
        help="Of a BIDS dataset: these participants only (01,02; may be given again).",
    ),
]
ModalityOption = Annotated[
    str, typer.Option("--modality", metavar="MR|CT", help="What the scan is, where its file cannot say.")
]
FourDOption = Annotated[
    str, typer.Option("--4d", metavar="error|each", help="A 4D scan: refuse it, or take every volume of it.")
]
TiltOption = Annotated[
    bool, typer.Option("--resample-tilt", help="CT with a tilted gantry: resample to an orthogonal grid.")
]
FillGapsOption = Annotated[
    bool, typer.Option("--fill-gaps", help="DICOM with missing slices: the prior fills them in.")
]
TargetSpacingOption = Annotated[
    float | None,
    typer.Option("--target-spacing", metavar="MM", help="Thick slices: the prior fills in slices between them."),
]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="same|nifti|dicom", help="Of OUT; same as IN by default.")
]
ConvertFormatOption = Annotated[str, typer.Option("--format", metavar="nifti|dicom|same", help="Of OUT.")]
LikeOption = Annotated[
    Path | None,
    typer.Option(
        "--like", metavar="DICOM", help="NIfTI to DICOM: the series it came from, whose patient and study it keeps."
    ),
]
DeidentifyOption = Annotated[
    bool, typer.Option("--deidentify", help="DICOM without the patient's identity (a pseudonym instead).")
]
KeepIdsOption = Annotated[
    bool, typer.Option("--keep-ids", help="Patient numbers, not pseudonyms, in names and messages.")
]
DicomdirOption = Annotated[bool, typer.Option("--dicomdir", help="Also write OUT/disc: the series with a DICOMDIR.")]
StepsOption = Annotated[int, typer.Option("--steps", metavar="N", help="Steps of the sampler (2M).")]
