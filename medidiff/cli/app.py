"""`medidiff`: the verbs put together. Nothing here, nor in a verb's signature, imports torch."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Annotated, NoReturn

import typer

from medidiff import __version__
from medidiff.cli import outcome
from medidiff.cli.audit import audit
from medidiff.cli.convert import convert
from medidiff.cli.demo import demo
from medidiff.cli.denoise import denoise
from medidiff.cli.doctor import doctor
from medidiff.cli.evaluate_app import evaluate_app
from medidiff.cli.info import info
from medidiff.cli.inpaint import inpaint
from medidiff.cli.insert import insert
from medidiff.cli.noise import noise
from medidiff.cli.prepare import prepare
from medidiff.cli.priors import priors
from medidiff.cli.release import release
from medidiff.cli.runs import runs
from medidiff.cli.scan import scan
from medidiff.cli.synth import synth
from medidiff.cli.train import train
from medidiff.cli.verbs import Verbs
from medidiff.cli.verify import verify
from medidiff.errors import EXIT_CODES

_EPILOG = "\n".join(["\b", "Exit codes:", *(f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES.items())])

app = typer.Typer(
    name="medidiff",
    cls=Verbs,
    help="Clean noisy medical scans, and sample new ones, with one 3D diffusion prior.\n\n"
    "Research use only. Not a medical device.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medidiff {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MEDIDIFF_DEBUG", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    outcome.show_tracebacks(debug)


_MAKE = (denoise, inpaint, insert, convert, synth)
for _verb in (scan, noise, *_MAKE, priors, info, prepare, train, runs, verify, audit, release, demo, doctor):
    app.command()(_verb)
app.add_typer(evaluate_app)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point. A request to end (SIGTERM) is treated as Ctrl-C, so that nothing half-written remains."""
    # OpenMP threads that spin while they wait starve the one they wait for where other programs use the same cores:
    # on two cores shared with a training run a pass over 64^3 took 1.6 s spinning and 0.26 s sleeping.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _stop)
    app(prog_name="medidiff")
