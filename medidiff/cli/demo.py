"""`medidiff demo`: all of it in a minute, with no files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.options import DeviceOption, PrecisionOption, PriorOption, SeedOption, ThreadsOption
from medidiff.cli.outcome import verb


@verb
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the page.")] = Path(
        "medidiff-demo"
    ),
    fast: Annotated[bool, typer.Option("--fast", help="Smaller volumes and fewer steps.")] = False,
    prior: PriorOption = "general",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Show everything on one HTML page, without files of yours.

    Denoises a phantom and a real scan, samples two new volumes from noise, and fills a hole. The page's path is printed
    last.

    \b
    Examples:
      medidiff demo
      medidiff demo -o /tmp/demo --fast
    """
    from medidiff.cli.choices import Machine, PriorChoice
    from medidiff.cli.showcase import run_demo

    machine = Machine(device=device, precision=precision, threads=threads)
    page = run_demo(output, PriorChoice(prior).loaded, machine.arguments(), seed=seed, fast=fast)
    typer.echo(str(page))
