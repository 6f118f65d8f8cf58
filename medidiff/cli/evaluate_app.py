"""`medidiff evaluate`: its verbs put together."""

from __future__ import annotations

import typer

from medidiff.cli.evaluate import evaluate
from medidiff.cli.evaluate_calibration import calibration
from medidiff.cli.evaluate_fidelity import fidelity
from medidiff.cli.evaluate_utility import utility

evaluate_app = typer.Typer(
    name="evaluate",
    help="How good denoised scans, a synthetic set, or a prior's uncertainty are.\n\n"
    "denoise: against clean scans. fidelity: is a synthetic set like real patients? utility: what are nets worth that "
    "were trained on it? calibration: do a prior's intervals hold? Each has its own --help.\n\n"
    "\b\nExamples:\n"
    "  medidiff evaluate denoise --clean clean/ --noisy noisy/ --results mine=mine/ -o scores/\n"
    "  medidiff evaluate fidelity set/ --real store/ --split holdout -o fidelity/\n"
    "  medidiff evaluate utility set/ --real store/ --split holdout -o utility/\n"
    "  medidiff evaluate calibration scans/ -p general --split holdout -o calibration/",
    short_help="How good denoised scans, a synthetic set, or a prior's uncertainty are.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
evaluate_app.command("denoise")(evaluate)
for _verb in (fidelity, utility, calibration):
    evaluate_app.command()(_verb)

__all__ = ["evaluate_app"]
