"""A training run from a configuration file to a prior file, resumed by running the same command again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning
import yaml
from pydantic import ValidationError

from medidiff.cohort import PatchDataModule
from medidiff.cohort.commitment import site_key
from medidiff.cohort.run_holdout import RunCoin, write_record
from medidiff.device import pick_device, set_threads
from medidiff.errors import ConfigError, Interrupted, MemoryLimitError
from medidiff.io import atomic_write_text
from medidiff.training.budget import Budget
from medidiff.training.checkpoints import CHECKPOINT, resume_point
from medidiff.training.choose import choose_average
from medidiff.training.config import TrainingConfig, load_config, with_data
from medidiff.training.export import export_prior
from medidiff.training.heldout import COMPARISON, compare_with_start
from medidiff.training.holdout import coin_of, holdout_lines, patients_of
from medidiff.training.interrupt import stop_on_signal
from medidiff.training.lock import only_run
from medidiff.training.loggers import check_loggers
from medidiff.training.module import DenoiserTraining
from medidiff.training.normalisation import normalisation_of, warn_of_other_normalisation
from medidiff.training.plan import make_plan
from medidiff.training.plan_text import plan_lines
from medidiff.training.posthoc import Snapshots
from medidiff.training.private import PrivateTraining
from medidiff.training.private_patches import PrivateDataModule
from medidiff.training.private_refuse import check_patients, check_private
from medidiff.training.ranks import is_first, quiet_others
from medidiff.training.refuse import ADVICE, check_cohort, check_memory, sigma_data_of
from medidiff.training.start import masks_of
from medidiff.training.strategy import check_scale
from medidiff.training.trainer import make_trainer
from medidiff.training.watch import say
from medidiff.training.watch_status import RunStatus

MAY_CHANGE = (
    "hours",
    "threads",
    "precision",
    "log_every",
    "validate_every",
    "checkpoint_minutes",
    "logging",
    "watch",
    "guard",
    "card",
    "data.workers",
    "scale.devices",
    "scale.nodes",
    "scale.strategy",
    "scale.activation_checkpointing",
    "scale.compile",
)
"""Settings that a resumed run may change; every other difference is refused."""
AuditTold = Callable[[int, int], Sequence[str]]
"""What an audit with so many train and holdout patients will be able to show, in lines."""
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def run_training(
    config_path: Path,
    overrides: list[str],
    hours: float | None = None,
    dry_run: bool = False,
    audit: AuditTold | None = None,
) -> Path:
    """Train, or resume training, the prior of a configuration.

    Args:
        config_path: YAML file, see `TrainingConfig`.
        overrides: `a.b=value` each.
        hours: Training time of the whole run over all resumes; overrides the configuration's.
        dry_run: Load the data, measure a few steps, print the plan, train nothing.
        audit: Says what an audit with the run's holdout will be able to show; printed before training.

    Returns:
        The prior file; with `dry_run` the path it would get.

    Raises:
        ConfigError: the configuration is not valid, or differs from that of the run that lies in `output`.
        InputError: a source has no usable scan, or the run's checkpoint is damaged.
        MemoryLimitError: the patches do not fit into memory.
        OutputError: the run's folder cannot be written.
        TrainingError: a loss is not finite, or the run diverges; the last checkpoint is kept.
        UsageError: another process trains in `output`.
        Interrupted: stopped by the user; the checkpoint is written, the same command goes on.
    """
    if dry_run:
        return Path(plan_training(config_path, overrides, hours, audit)["prior"])
    config, resolved, data, module = _ready(config_path, overrides, hours)
    if is_first():
        plan = plan_lines(make_plan(config, data, module, measure=False))
        say("\n".join([*plan, *_audit_lines(config, data, audit)]))
    config.output.mkdir(parents=True, exist_ok=True)
    if data.coin is not None and is_first():
        write_record(config.output, data.coin, data.people())
    with only_run(config.output) if is_first() else nullcontext():
        if is_first():
            atomic_write_text(config.output / "config.yaml", resolved)
        with RunStatus(config.output, config.name, config.optimiser.steps).told() as status:
            prior = _train(config, data, module, status)
            status.fields["prior"] = str(prior)
    return prior


def plan_training(
    config_path: Path, overrides: list[str], hours: float | None = None, audit: AuditTold | None = None
) -> dict[str, Any]:
    """Check a configuration and its data, measure a few steps, print the plan to stderr; train and write nothing.

    Args:
        config_path: YAML file, see `TrainingConfig`.
        overrides: `a.b=value` each.
        hours: As for `run_training`.
        audit: As for `run_training`.

    Returns:
        The plan (`plan.make_plan`), with the `prior` that the run would write and its number of `holdout_patients`.

    Raises:
        ConfigError, InputError, MemoryLimitError, TrainingError: as `run_training`, as far as a few steps show it.
    """
    config, _, data, module = _ready(config_path, overrides, hours, dry_run=True)
    plan = make_plan(config, data, module, measure=True)
    say("\n".join([*plan_lines(plan), *_audit_lines(config, data, audit)]))
    held = len(patients_of(data)[1])
    return {**plan, "prior": str(config.output / f"{config.name}.safetensors"), "holdout_patients": held}


def _audit_lines(config: TrainingConfig, data: PatchDataModule, audit: AuditTold | None) -> list[str]:
    train, held = patients_of(data)
    return [*holdout_lines(config, data), *(audit(len(train), len(held)) if audit is not None and train else ())]


def _ready(
    config_path: Path, overrides: list[str], hours: float | None, dry_run: bool = False
) -> tuple[TrainingConfig, str, PatchDataModule, DenoiserTraining]:
    """The checked run, its resolved configuration as YAML, its data, and the module before the first step."""
    config = load_config(config_path, [*overrides, *([f"hours={hours}"] if hours is not None else [])])
    quiet_others()
    _refuse_other_settings(config)
    device = pick_device("auto")
    check_scale(config, device)
    check_private(config)
    check_memory(config, device)
    check_loggers(config.logging)
    set_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    data = _data_module(config, coin_of(config, dry_run))
    data.setup()
    check_cohort(config, data)
    resolved = yaml.safe_dump(json.loads(config.model_dump_json()), sort_keys=False)
    warn_of_other_normalisation(config, normalisation_of(data))
    config = with_data(config, data.slots, 1 + len(data.masks))
    if isinstance(data, PrivateDataModule):
        return config, resolved, data, _private(config, data, dry_run)
    return config, resolved, data, DenoiserTraining(config, data.kinds, sigma_data_of(data), data.mean_data())


def _private(config: TrainingConfig, data: PrivateDataModule, dry_run: bool) -> PrivateTraining:
    check_patients(config, data)
    if not dry_run:
        config.output.mkdir(parents=True, exist_ok=True)
        data.key = site_key(config.output)
    module = PrivateTraining(config, data.kinds, data.patients, data.key)
    how, ledger, steps = module.ledger.how, module.ledger, config.optimiser.steps
    say(
        f"privacy: epsilon {how.target_epsilon:g} at delta {how.delta:g} by patient after {steps} steps; noise "
        f"{ledger.multiplier:.3g} x clip {how.clip:g}, a patient is in a step with probability {ledger.rate:.3g}"
    )
    return module


def _train(config: TrainingConfig, data: PatchDataModule, module: DenoiserTraining, status: RunStatus) -> Path:
    """Fit, choose the average, and write the prior."""
    found = resume_point(config.output)
    budget = Budget(
        config.optimiser.steps,
        config.hours,
        config.output,
        fresh=found is None,
        minutes=config.checkpoint_minutes,
        batch=config.optimiser.batch,
        validate_every=config.validate_every,
    )
    prior = config.output / f"{config.name}.safetensors"
    if found:
        data.first_step = int(found[1]["global_step"])
        budget.begin(data.first_step, found[1]["callbacks"]["Budget"])
        say(f"resuming {config.name} at step {data.first_step}")
    else:
        budget.begin()
    if found and budget.progress(data.first_step) >= 1:
        status.fields["steps"] = data.first_step
        if prior.is_file():
            say(f"{config.name}: has finished; {prior} is kept")
            if is_first() and not (config.output / COMPARISON).is_file():  # killed before it could be made
                compare_with_start(config, data, prior)
            return prior
        data.load_state_dict(found[1].get(type(data).__qualname__, {}))
        module.load_state_dict(found[1]["state_dict"])
        module.on_load_checkpoint(found[1])
        steps = data.first_step
    else:
        steps = _fit(config, data, module, budget, status, found[0] if found else None)
    if is_first():
        private = isinstance(module, PrivateTraining)  # its average is not chosen by looking at patients
        judged = data.fixed_dataloader("val") if "val" in data.fixed_splits and not private else None
        snapshots = Snapshots(config.output, config.validate_every)
        module.average = choose_average(module, snapshots, judged)
        say(f"averaged weights: {module.average}")
        export_prior(config, data, module, steps, budget.elapsed_seconds / 3600, prior)
        snapshots.remove()
        compare_with_start(config, data, prior)
    return prior


def _fit(
    config: TrainingConfig,
    data: PatchDataModule,
    module: DenoiserTraining,
    budget: Budget,
    status: RunStatus,
    resume: Path | None,
) -> int:
    """Train until the budget is used up; returns the steps taken in all."""
    trainer, checkpoints = make_trainer(config, module, budget, status)
    with warnings.catch_warnings():
        # the loader starts where the run stopped (first_step), which Lightning cannot know
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before")
        # every process validates the same patches: there is nothing to average
        warnings.filterwarnings("ignore", message="It is recommended to use `self.log")
        # a kernel of 1 x 1 x 1 lies the same in memory either way, whatever its strides say
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\)")
        with stop_on_signal(trainer, budget.ask_to_stop):
            with _told_memory():
                trainer.fit(module, datamodule=data, ckpt_path=str(resume) if resume else None, weights_only=True)
    failure = checkpoints.save(trainer)
    if failure is not None:
        raise failure
    if budget.interrupted:
        raise Interrupted(f"training {config.name}: stopped at step {trainer.global_step}; the same command goes on.")
    return trainer.global_step


@contextmanager
def _told_memory() -> Iterator[None]:
    """Say what to do where memory runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(t in str(error).lower() for t in _OUT_OF_MEMORY):
            raise
        raise MemoryLimitError(f"training: out of memory. {ADVICE} The last checkpoint is kept.") from error


def _data_module(config: TrainingConfig, coin: RunCoin | None = None) -> PatchDataModule:
    data = config.data
    module = PatchDataModule if config.privacy is None else PrivateDataModule
    patches = module(
        data.sources,
        data.root,
        data.cache.expanduser(),
        data.patch,
        config.optimiser.batch,
        config.optimiser.steps,
        data.augmentation,
        config.seed,
        workers=data.workers,
        conditions=data.conditions,
        position=config.network.position,
        had=config.network.slots,
        had_masks=masks_of(config.start_from),
        coin=coin,
    )
    if isinstance(patches, PrivateDataModule) and config.privacy is not None:
        patches.per_patient = config.privacy.patches
    return patches


def _refuse_other_settings(config: TrainingConfig) -> None:
    """A run is resumed with its own settings only."""
    stored = config.output / "config.yaml"
    if not stored.is_file() or not (config.output / CHECKPOINT).is_file():
        return
    before, now = dict(_leaves(_filled_in(stored))), dict(_leaves(json.loads(config.model_dump_json())))
    changed = [k for k in {**before, **now} if before.get(k) != now.get(k) and not _may_change(k)]
    if changed:
        shown = "; ".join(f"{key}: {before.get(key)} there, {now.get(key)} now" for key in changed)
        raise ConfigError(f"output {config.output}: holds a run with other settings ({shown}). Choose another output.")


def _filled_in(stored: Path) -> Any:
    """A run's configuration, with the defaults of settings that came into being after it began."""
    tree = yaml.safe_load(stored.read_text(encoding="utf-8"))
    try:
        return json.loads(TrainingConfig.model_validate(tree).model_dump_json())
    except ValidationError:
        return tree


def _may_change(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in MAY_CHANGE)


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a configuration with its key, `data.sources.0.url`."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else None
    if not parts:
        yield path, tree
        return
    for name, part in parts:
        yield from _leaves(part, f"{path}.{name}" if path else str(name))
