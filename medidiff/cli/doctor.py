"""`medidiff doctor`: what is installed, what would run where, and whether it works."""

from __future__ import annotations

from typing import Annotated

import typer

from medidiff.cli.options import DeviceOption, JsonOption, PrecisionOption, PriorOption, ThreadsOption
from medidiff.cli.outcome import emit_json, say, verb


@verb
def doctor(
    prior: PriorOption = "general",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Denoise a small phantom, some 5 seconds.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Check the installation and test it.

    Versions, device, precision and why, threads, memory, priors, and a self-test of some 5 seconds on a phantom.

    Exit code 5: the self-test failed on this machine. 6: there is no usable prior.

    \b
    Examples:
      medidiff doctor
      medidiff doctor --json > doctor.json
    """
    from medidiff.cli.checkup import examine
    from medidiff.cli.info import lines_of

    found, exit_code = examine(prior, device=device, precision=precision, threads=threads, test=test)
    if as_json:
        emit_json(found)
    else:
        typer.echo("\n".join(lines_of(found)))
    if exit_code:
        say(f"error: {found['self_test']['verdict']}")
        raise typer.Exit(exit_code)
