"""Options that several verbs share, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

_MACHINE = "Machine"

PriorOption = Annotated[
    str, typer.Option("--prior", "-p", metavar="NAME|FILE", help="Prior to use (`medidiff priors` lists them).")
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="DEV", help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MACHINE)
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="auto|bf16|float32",
        help="auto times both and takes the faster one.",
        rich_help_panel=_MACHINE,
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="Processor threads; all of them by default.")
]
MaxGbOption = Annotated[
    float | None, typer.Option("--max-gb", metavar="GB", help="Memory to stay within; larger scans are tiled.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything random.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would be done, do nothing.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")]
ReportOption = Annotated[bool, typer.Option("--report", help="Also write one HTML page beside OUT.")]
