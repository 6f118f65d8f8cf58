"""`medidiff train`: from a config to a prior."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medidiff.cli.audit_ahead import audit_lines
from medidiff.cli.options import JsonOption
from medidiff.cli.outcome import emit_json, verb
from medidiff.errors import ConfigError, UsageError


class Method(StrEnum):
    """How a prior is changed."""

    full = "full"
    lora = "lora"


class Holdout(StrEnum):
    """How patients are held out of a run."""

    coin = "coin"


@verb
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of a run; configs/ has examples.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="Replace one key of the config; may be given again."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", metavar="H", help="Stop after this many hours; the schedule is fitted.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="PRIOR", help="Go on from this prior (name or file), not from nothing."),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option("--method", help="With --from: move every weight, or train a small file beside the prior."),
    ] = None,
    holdout: Annotated[
        Holdout | None,
        typer.Option("--holdout", help="coin: keep 30% of the train patients out, for the privacy audit."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check config and data, measure a few steps, print the plan.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a prior; run again to resume.

    The finished prior lies in the config's `output` folder as one .safetensors file. Patients of the holdout split are
    refused. With --from the config may be as short as name, output and data: the rest is the prior's, and at the end
    both are compared on held-out scans.

    \b
    Examples:
      medidiff train configs/general.yaml --hours 2
      medidiff train mine.yaml --from general --method lora --hours 10
      medidiff train mine.yaml --holdout coin
      medidiff train configs/general.yaml --set optimiser.batch=8 --dry-run
    """
    if not config.is_file():
        raise ConfigError(f"{config}: no such config. Give a YAML file such as configs/general.yaml.")
    for setting in settings or []:
        if "=" not in setting:
            raise UsageError(f"--set {setting}: must be key=value, such as optimiser.batch=8.")
    if hours is not None and not 0 < hours < float("inf"):
        raise UsageError(f"--hours {hours}: must be a positive number. Leave it out to train all steps.")
    if start is not None:
        settings = [*(settings or []), f"start_from={json.dumps(start)}"]
    if method is not None:
        settings = [*(settings or []), f"method={method.value}"]
    if holdout is not None:
        settings = [*(settings or []), f"holdout={holdout.value}"]
    from medidiff.training.run import plan_training, run_training

    if dry_run:
        plan = plan_training(config, list(settings or []), hours, audit_lines)
        if as_json:
            emit_json({"status": "checked", "prior": plan["prior"], "plan": plan})
        else:
            typer.echo(f"{config}: valid; the prior would be {plan['prior']}")
        return
    prior = run_training(config, list(settings or []), hours, audit=audit_lines)
    if as_json:
        emit_json({"status": "done", "prior": str(prior)})
    else:
        typer.echo(str(prior))
