"""A training run from a configuration file to a prior file, resumed by running the same command again."""

from __future__ import annotations

import json
import logging
import math
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint

from medidiff.cohort import PatchDataModule
from medidiff.device import pick_device, set_threads
from medidiff.errors import ConfigError, Interrupted, MedidiffError
from medidiff.io import atomic_write_text
from medidiff.precision import choose_precision
from medidiff.training.budget import Budget
from medidiff.training.config import TrainingConfig, load_config
from medidiff.training.export import export_prior
from medidiff.training.interrupt import stop_on_signal
from medidiff.training.loggers import check_loggers, make_loggers
from medidiff.training.module import DenoiserTraining
from medidiff.training.watch import PlainProgress, say
from medidiff.training.watch_samples import Samples
from medidiff.training.watch_status import RunStatus, Watch

MAY_CHANGE = (
    "hours",
    "threads",
    "precision",
    "log_every",
    "validate_every",
    "checkpoint_minutes",
    "logging",
    "watch",
    "card",
)
"""Settings that a resumed run may change; every other difference is refused."""
CHECKPOINT = "last.ckpt"


def run_training(config_path: Path, overrides: list[str], hours: float | None = None, dry_run: bool = False) -> Path:
    """Train, or resume training, the prior of a configuration.

    Args:
        config_path: YAML file, see `TrainingConfig`.
        overrides: `a.b=value` each.
        hours: Training time of the whole run over all resumes; overrides the configuration's.
        dry_run: Load the data, print the plan, train nothing.

    Returns:
        The prior file; with `dry_run` the path it would get.

    Raises:
        ConfigError: the configuration is not valid, or differs from that of the run that lies in `output`.
        InputError: a source has no usable scan.
        Interrupted: stopped by the user; the checkpoint is written, the same command goes on.
    """
    config = load_config(config_path, [*overrides, *([f"hours={hours}"] if hours is not None else [])])
    output = config.output / f"{config.name}.safetensors"
    _refuse_other_settings(config)
    check_loggers(config.logging)
    set_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    data = _data_module(config)
    data.setup()
    module = DenoiserTraining(config, data.kinds, data.sigma_data())
    _print_plan(config, data, module)
    if dry_run:
        return output
    config.output.mkdir(parents=True, exist_ok=True)
    resolved = yaml.safe_dump(json.loads(config.model_dump_json()), sort_keys=False)
    atomic_write_text(config.output / "config.yaml", resolved)
    with RunStatus(config.output, config.name, config.optimiser.steps).told() as status:
        prior = _train(config, data, module, status)
        status.fields["prior"] = str(prior)
    return prior


def _train(config: TrainingConfig, data: PatchDataModule, module: DenoiserTraining, status: RunStatus) -> Path:
    """Fit, and write the prior."""
    budget = Budget(config.optimiser.steps, config.hours)
    trainer = _trainer(config, budget, status)
    checkpoint, prior = config.output / CHECKPOINT, config.output / f"{config.name}.safetensors"
    resume = str(checkpoint) if checkpoint.is_file() else None
    if resume:
        data.first_step = int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
        say(f"resuming {config.name} at step {data.first_step}")
    with warnings.catch_warnings():
        # the loader starts where the run stopped (PatchDataset.first), which Lightning cannot know
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before")
        with stop_on_signal(trainer) as signalled:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    if signalled():
        trainer.save_checkpoint(checkpoint, weights_only=False)
        raise Interrupted(f"training {config.name}: stopped at step {trainer.global_step}; the same command goes on.")
    trainer.save_checkpoint(checkpoint, weights_only=False)
    return export_prior(config, data, module, trainer.global_step, budget.elapsed_seconds / 3600, prior)


class StopOnNaN(lightning.Callback):
    """Ends the run with an error on the first loss that is not finite; the last checkpoint stays."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Check the loss."""
        if not math.isfinite(float(outputs["loss"])):
            raise MedidiffError(
                f"training: the loss is not finite at step {trainer.global_step}. The last checkpoint is kept; "
                "lower optimiser.lr or look at the scans of this step, then run the same command again."
            )


def _trainer(config: TrainingConfig, budget: Budget, status: RunStatus) -> lightning.Trainer:
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    device = pick_device("auto")
    choice = choose_precision(config.precision, device)
    say(f"precision {choice.dtype}: {choice.reason}")
    on_terminal = sys.stderr.isatty()
    every = timedelta(minutes=config.checkpoint_minutes)
    callbacks: list[lightning.Callback] = [
        budget,
        StopOnNaN(),
        # without the counter a resumed run would write last-v1.ckpt and leave last.ckpt stale
        ModelCheckpoint(
            config.output, save_last=True, save_top_k=0, train_time_interval=every, enable_version_counter=False
        ),
        Samples(config.output / "samples", config.watch, config.noise),
        Watch(status, config.log_every, config.optimiser.batch, budget),
    ]
    if not on_terminal:
        callbacks.append(PlainProgress(config.log_every, budget))
    (config.output / "samples").mkdir(exist_ok=True)
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=1,
        precision="bf16-mixed" if choice.dtype == "bf16" else "32-true",
        max_steps=config.optimiser.steps,
        max_epochs=-1,
        callbacks=callbacks,
        logger=make_loggers(config.logging, config.output, config.name),
        log_every_n_steps=config.log_every,
        val_check_interval=min(config.validate_every, config.optimiser.steps),
        num_sanity_val_steps=0,
        enable_progress_bar=on_terminal,
        enable_model_summary=False,
        gradient_clip_val=config.optimiser.clip,
    )


def _data_module(config: TrainingConfig) -> PatchDataModule:
    data = config.data
    return PatchDataModule(
        data.sources,
        data.root,
        data.cache.expanduser(),
        data.patch,
        config.optimiser.batch,
        config.optimiser.steps,
        data.augmentation,
        config.seed,
    )


def _refuse_other_settings(config: TrainingConfig) -> None:
    """A run is resumed with its own settings only."""
    stored = config.output / "config.yaml"
    if not stored.is_file() or not (config.output / CHECKPOINT).is_file():
        return
    before, now = yaml.safe_load(stored.read_text(encoding="utf-8")), json.loads(config.model_dump_json())
    changed = [key for key in now if key not in MAY_CHANGE and before.get(key) != now[key]]
    if changed:
        shown = "; ".join(f"{key}: {before.get(key)} there, {now[key]} now" for key in changed)
        raise ConfigError(f"output {config.output}: holds a run with other settings ({shown}). Choose another output.")


def _print_plan(config: TrainingConfig, data: PatchDataModule, module: DenoiserTraining) -> None:
    parameters = sum(p.numel() for p in module.denoiser.parameters())
    sigma_data = float(module.denoiser.sigma_data.mean())
    limit = f"{config.hours:g} h" if config.hours else "no time limit"
    lines = [
        f"prior {config.name}: {parameters / 1e6:.2f} million parameters, sigma_data {sigma_data:.3f}",
        f"{config.optimiser.steps} steps of {config.optimiser.batch} patches {config.data.patch}, {limit}",
    ]
    total = sum(weight for weight, _ in data.loaded["train"])
    for weight, cases in data.loaded["train"]:
        tau = sum(case.tau for case in cases) / len(cases)
        lines.append(f"  {cases[0].kind}: {len(cases)} volumes, {weight / total:.0%} of patches, own noise {tau:.4f}")
    say("\n".join(lines))
