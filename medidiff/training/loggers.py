"""From the configuration to Lightning's loggers; what is missing is said before training starts."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.errors import ConfigError
from medidiff.io import atomic_write_text
from medidiff.training.ranks import is_first
from medidiff.training.watch_config import LoggingConfig

_PACKAGES = {"mlflow": "mlflow-skinny", "wandb": "wandb"}
"""Module of a logger and what pip calls the smallest package that has it."""


def check_loggers(how: LoggingConfig) -> None:
    """Refuse a logger whose package is missing.

    Raises:
        ConfigError: Naming the package and the pip command.
    """
    for name, package in _PACKAGES.items():
        if getattr(how, name) is not None and find_spec(name) is None:
            raise ConfigError(
                f"logging.{name}: the package {name} is not installed. `pip install {package}`, or leave "
                f"logging.{name} out; TensorBoard and csv need nothing more."
            )


def make_loggers(how: LoggingConfig, output: Path, name: str) -> list[Any]:
    """The loggers of a run.

    Args:
        how: Which.
        output: The run's folder; everything local is written there.
        name: The run's name.

    Raises:
        ConfigError: A package is missing, or a logger cannot start (no server, no login).
    """
    check_loggers(how)
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    loggers: list[Any] = []
    if how.csv:
        loggers.append(CSVLogger(output, name="csv"))
    if how.tensorboard:
        loggers.append(TensorBoardLogger(output, name="tensorboard"))
    for chosen, make in ((how.mlflow, _mlflow), (how.wandb, _wandb)):
        if chosen is None:
            continue
        try:
            logger = make(chosen, output, name)
            _ = logger.experiment  # made on first use: here, so that a server that does not answer is known now
        except Exception as error:
            which = make.__name__.strip("_")
            raise ConfigError(f"logging.{which}: cannot start ({type(error).__name__}: {error}).") from error
        loggers.append(logger)
    return loggers


def log_picture(loggers: list[Any], name: str, picture: np.ndarray, step: int) -> None:
    """Give a picture (rows, columns, 3) uint8 to every logger that takes pictures."""
    for logger in loggers:
        experiment = logger.experiment
        if hasattr(experiment, "add_image"):  # TensorBoard
            experiment.add_image(name, picture, step, dataformats="HWC")
        elif hasattr(logger, "log_image"):  # Weights & Biases
            logger.log_image(name, [picture], step=step)
        elif hasattr(experiment, "log_image"):  # MLflow
            experiment.log_image(logger.run_id, picture, key=name.replace("/", "-"), step=step)


def _mlflow(how: Any, output: Path, name: str) -> Any:
    from lightning.pytorch.loggers import MLFlowLogger

    known = output / "mlflow_run_id.txt"  # a resumed run goes on in the same place
    run_id = known.read_text(encoding="utf-8").strip() if known.is_file() else None
    uri = how.tracking_uri or f"file:{(output / 'mlruns').resolve()}"
    if uri.startswith("file:"):  # MLflow 3.17 wants a database unless told; a folder needs no package more
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLFlowLogger(how.experiment, run_name=name, tracking_uri=uri, run_id=run_id)
    if is_first() and logger.run_id:
        atomic_write_text(known, str(logger.run_id))
    return logger


def _wandb(how: Any, output: Path, name: str) -> Any:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(name=name, project=how.project, save_dir=output, offline=how.offline)


__all__ = ["check_loggers", "log_picture", "make_loggers"]
