"""Lightning's trainer for a run: device, precision, processes, callbacks."""

from __future__ import annotations

import logging
import sys
from typing import Any

import lightning
import torch

from medidiff.device import pick_device
from medidiff.errors import OutputError
from medidiff.precision import choose_precision
from medidiff.training.budget import Budget
from medidiff.training.checkpoints import AtomicCheckpoints, Checkpoints
from medidiff.training.compiling import choose_compile
from medidiff.training.config import TrainingConfig
from medidiff.training.loggers import make_loggers
from medidiff.training.module import DenoiserTraining
from medidiff.training.posthoc import Snapshots
from medidiff.training.ranks import is_first
from medidiff.training.strategy import check_scale, checkpoint_blocks, make_strategy
from medidiff.training.watch import PlainProgress, say
from medidiff.training.watch_samples import Samples
from medidiff.training.watch_status import RunStatus, Watch


def make_trainer(
    config: TrainingConfig, module: DenoiserTraining, budget: Budget, status: RunStatus
) -> tuple[lightning.Trainer, Checkpoints]:
    """The trainer, and the callback that writes its checkpoints.

    Activation checkpointing and torch.compile, where they are wanted, are switched on in `module`.

    Raises:
        ConfigError: `scale` does not fit the device or how the processes were started.
    """
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    device = pick_device("auto")
    strategy = check_scale(config, device)
    choice = choose_precision(config.precision, device)
    say(f"precision {choice.dtype}: {choice.reason}")
    _prepare(config, module, device, choice.dtype == "bf16")
    checkpoints = Checkpoints(config.output, budget)
    on_terminal = sys.stderr.isatty() and is_first()
    # the budget is first: it decides what the others do at a step; checkpoints come last and hold what they did
    callbacks: list[lightning.Callback] = [
        budget,
        KeepSnapshots(Snapshots(config.output, config.validate_every)),
        Samples(config.output / "samples", config.watch, config.noise),
        Watch(status, config.log_every, config.optimiser.batch, budget),
        *([] if on_terminal else [PlainProgress(config.log_every, budget)]),
        checkpoints,
    ]
    (config.output / "samples").mkdir(exist_ok=True)
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=config.scale.devices,
        num_nodes=config.scale.nodes,
        strategy=make_strategy(strategy),
        use_distributed_sampler=False,  # the loader knows which patches are whose
        accumulate_grad_batches=config.scale.accumulate,
        precision="bf16-mixed" if choice.dtype == "bf16" else "32-true",
        max_steps=config.optimiser.steps,
        max_epochs=-1,
        callbacks=callbacks,
        plugins=[AtomicCheckpoints()],
        logger=make_loggers(config.logging, config.output, config.name),
        log_every_n_steps=min(config.log_every, config.optimiser.steps),
        val_check_interval=min(config.validate_every, config.optimiser.steps) * config.scale.accumulate,
        num_sanity_val_steps=0,
        enable_progress_bar=on_terminal,
        enable_model_summary=False,
        enable_checkpointing=False,  # Lightning's own; ours are atomic
    ), checkpoints


class KeepSnapshots(lightning.Callback):
    """Takes snapshots of the averages; a disk that is full costs a snapshot, not the run."""

    def __init__(self, snapshots: Snapshots) -> None:
        self.snapshots = snapshots
        self._step = -1

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """A resumed run passes later steps again."""
        self._step = trainer.global_step
        if is_first():
            self.snapshots.forget_after(trainer.global_step)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take one if the step has one."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if is_first() and self.snapshots.due(self._step):
            try:
                self.snapshots.take(pl_module.ema)
            except OutputError as error:
                say(f"warning: {error} This snapshot of the averaged weights is left out.")


def _prepare(config: TrainingConfig, module: DenoiserTraining, device: torch.device, bf16: bool) -> None:
    if config.scale.activation_checkpointing:
        checkpoint_blocks(module.denoiser)
    compiling = choose_compile(config, module.denoiser, device, bf16)
    if compiling.on:
        say(f"torch.compile: {compiling.reason}")
        module.denoiser.compile(dynamic=False)


__all__ = ["KeepSnapshots", "make_trainer"]
