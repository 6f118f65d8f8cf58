"""The options of `medidiff evaluate denoise`, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CleanOption = Annotated[Path | None, typer.Option("--clean", metavar="FOLDER", help="Clean scans, NIfTI.")]
NoisyOption = Annotated[
    Path | None, typer.Option("--noisy", metavar="FOLDER", help="The same scans with noise, by the same names.")
]
ResultsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--results", metavar="NAME=FOLDER", help="What a method made of them; may be given again. Any program's."
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for what is written.")
]
MakePairsOption = Annotated[
    Path | None,
    typer.Option("--make-pairs", metavar="SCANS", help="Instead: add known noise to your own cleanest scans."),
]
NoiseOption = Annotated[
    str | None,
    typer.Option(
        "--noise", metavar="LIST", help="Its kinds: gaussian, rician, correlated, varying. gaussian by default."
    ),
]
PercentOption = Annotated[
    str | None,
    typer.Option("--percent", metavar="LIST", help="Its levels in percent of the range. 3,9,15 by default."),
]
DownsampleOption = Annotated[
    bool, typer.Option("--downsample", help="Halve the scans first: a third of their own noise.")
]
ReaderPackOption = Annotated[
    Path | None,
    typer.Option("--reader-pack", metavar="PACK", help="Instead: write a blinded A/B set of --results."),
]
ScorePackOption = Annotated[
    Path | None, typer.Option("--score-pack", metavar="PACK", help="Instead: unblind what readers filled in.")
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The pack's key. PACK-key/key.json by default.")
]
PairSeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Of noise: 0 by default. Of a pack: drawn by default."),
]
