"""A training run as a validated YAML file: unknown keys are refused."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medidiff.cohort.augment import Augmentation
from medidiff.cohort.sources import Source
from medidiff.errors import ConfigError
from medidiff.nets.embedding import ConditionSlots
from medidiff.nets.unet import NetConfig
from medidiff.training.finetune import inherit
from medidiff.training.private_config import PrivacyConfig
from medidiff.training.watch_config import LoggingConfig, WatchConfig


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Part):
    """What is trained on."""

    root: Path = Path("../shared/data")
    """Folder that the paths of folder sources start from; relative to where the command runs."""
    cache: Path = Path("~/.cache/medidiff/procedural")
    """Where procedural volumes are kept between runs."""
    patch: tuple[int, int, int] = (48, 48, 48)
    """Patch size in voxels; a multiple of the network's alignment (8 by default)."""
    sources: tuple[Source, ...]
    """Scans and procedural volumes with their shares."""
    augmentation: Augmentation = Augmentation()
    """How patches are varied."""
    workers: int = Field(default=0, ge=0)
    """Processes that read and vary patches beside the trainer; 0: the trainer does it. The patches are the same."""
    conditions: tuple[str, ...] = ()
    """Attributes of prepared stores that the prior is conditioned on, for example age and sex."""
    condition_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of patches that lose all their conditions, and of the others' conditions that are left out one by one: what
    makes every condition optional, and guidance possible."""


class LevelPart(_Part):
    """A range of noise levels, ln(sigma) uniform within it."""

    low: float = Field(gt=0)
    """Lowest level, normalised units (the scan spans about 2)."""
    high: float = Field(gt=0)
    """Highest level."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the draws, relative to the other parts."""


class NoiseConfig(_Part):
    """Which noise maps training draws."""

    sigma_min: float = Field(default=0.002, gt=0)
    """Lowest level the prior knows: 0.1% of the intensity range."""
    sigma_max: float = Field(default=80.0, gt=0)
    """Level that stands for "not observed"; a sampling prior needs 5 times sqrt(lambda_1) of its scans."""
    levels: tuple[LevelPart, ...] = (
        LevelPart(low=0.008, high=0.7, weight=0.7),
        LevelPart(low=0.5, high=80, weight=0.3),
    )
    """Mixture of levels."""
    p_constant: float = Field(default=0.5, ge=0, le=1)
    """Share of batches with one level per scan; the rest are maps."""
    p_coloured: float = Field(default=0.0, ge=0, le=1)
    """Share of patches with correlated noise; a network with `noise_correlation` is told the correlation."""


class OptimiserConfig(_Part):
    """How the weights move."""

    name: Literal["adamw", "muon"] = "muon"
    """muon: orthogonalised momentum for convolution kernels, AdamW for the rest; adamw: AdamW for all."""
    lr: float = Field(default=2e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    batch: int = Field(default=4, ge=1)
    """Patches per step, over all processes and micro-batches."""
    steps: int = Field(default=20000, ge=1)
    """Steps of the whole run; --hours may end it earlier."""
    warmup: int = Field(default=100, ge=0)
    """Steps of linear warm-up."""
    decay_from: float = Field(default=0.4, ge=0, lt=1)
    """Share of the run after which the learning rate falls linearly to zero."""
    clip: float = Field(default=1.0, gt=0)
    """Gradient norm is clipped to this."""
    ema: tuple[float, ...] = Field(default=(0.05, 0.10), min_length=1)
    """Widths of the weights' moving averages, as a share of the run (it used to be one decay per step). The first is
    what validations look at; at the end other widths are rebuilt from these, and the best on the val patches ships."""


class ScaleConfig(_Part):
    """On how much hardware, and how it is shared out. None of it changes the result but by rounding."""

    devices: int = Field(default=1, ge=1)
    """Processes on this machine: one a GPU, or on the CPU as many as are wanted (`threads` is then for each)."""
    nodes: int = Field(default=1, ge=1)
    """Machines; start the same command on each by torchrun or SLURM."""
    strategy: Literal["auto", "single", "ddp", "fsdp"] = "auto"
    """auto: single for one process, else ddp. fsdp: weights and optimiser are shared out too; GPU only, adamw only."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches of one optimiser step, one after the other: memory of batch / (processes * accumulate) patches."""
    activation_checkpointing: bool = False
    """Compute each residual block again on the way back instead of keeping it: less memory, a quarter to a third more
    time, the same gradients."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto: on a GPU where it measures faster, off on the CPU."""


class GuardConfig(_Part):
    """When an update is left out or the run stops."""

    spike: float = Field(default=100.0, gt=1)
    """A gradient norm more than this many times the running median is left out and counted. They are clipped
    anyway, and patches of CT with much air reach 50 times."""
    patience: int = Field(default=20, ge=0)
    """More than this many left out in a row end the run."""
    non_finite: Literal["stop", "skip"] = "stop"
    """What happens when a loss or gradient is not finite: the run stops, or the update is left out as a spike is."""


class CardConfig(_Part):
    """What the finished prior says of itself."""

    version: str = "0"
    """Version of the weights."""
    description: str = ""
    """One or two sentences."""
    modalities: tuple[str, ...] = ()
    """Modalities it has seen."""
    weights_licence: str = "not stated"
    """Licence of the weights."""
    output_licence: str = "not stated"
    """Licence of what it generates."""
    intended_use: str = "Research."
    """What it is for."""
    limits: str = ""
    """What it is not for."""
    shape: tuple[int, int, int] | None = None
    """Voxels of a sample where the user does not say; None: the patch."""


class TrainingConfig(_Part):
    """A complete training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the prior."""
    output: Path
    """Folder of logs, checkpoints and, at the end, NAME.safetensors."""
    seed: int = 0
    """Base seed of weights, patches, maps and noise."""
    hours: float | None = Field(default=None, gt=0)
    """Training time after which the run ends; None: all steps."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """auto is measured on this machine."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None leaves torch's choice."""
    log_every: int = Field(default=25, ge=1)
    """Steps between log lines."""
    validate_every: int = Field(default=500, ge=1)
    """Steps between validations, sample pictures and exported weights."""
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    """Minutes between checkpoints; at most this much work is lost."""
    start_from: Path | None = None
    """A prior, by name or path, that the run starts from (--from); layers and conditions it lacks start at zero, its
    sigma_data is kept. Network, noise levels, patch size and licences are the prior's unless stated."""
    method: Literal["full", "lora"] = "full"
    """With `start_from`. full: every weight moves. lora: a low-rank change, a small file beside the prior."""
    class_balance: float = Field(default=0.0, ge=0)
    """Weight of the class-balancing loss (CBDM) for conditions of which some values are rare: every step costs a second
    pass. 0: not used. Drawing rare values more often is the source's `balance`."""
    lora_rank: int = Field(default=8, ge=1, le=64)
    """Rank of the change of each kernel."""
    privacy: PrivacyConfig | None = None
    """Differentially private training, by patient (DP-SGD). None: none."""
    holdout: Literal["coin"] | None = None
    """coin: keep 30% of the train patients out, by a coin, for the privacy audit (--holdout). A store that was prepared
    with `--holdout coin` has done so already. None: nobody beside those that the stores hold out."""
    data: DataConfig
    """What is trained on."""
    network: NetConfig = NetConfig()
    """The network."""
    noise: NoiseConfig = NoiseConfig()
    """The noise maps."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """The optimiser."""
    scale: ScaleConfig = ScaleConfig()
    """On how much hardware it runs."""
    guard: GuardConfig = GuardConfig()
    """When an update is left out or the run stops."""
    logging: LoggingConfig = LoggingConfig()
    """Who gets the figures."""
    watch: WatchConfig = WatchConfig()
    """What a validation does besides measuring the error."""
    card: CardConfig = CardConfig()
    """The card."""


def load_config(path: Path, overrides: list[str] | None = None) -> TrainingConfig:
    """Read and check a training configuration.

    Args:
        path: YAML file.
        overrides: `a.b=value` each; the value is YAML. List entries are addressed by number (`data.sources.0.weight`).

    Raises:
        ConfigError: not there, not YAML, an unknown key, or a value out of its range.
    """
    if not path.is_file():
        raise ConfigError(f"config {path}: no such file. Complete examples lie in configs/.")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: not a YAML file ({error}).") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"config {path}: must be a YAML mapping with the keys name, output, data, ...")
    for override in overrides or []:
        _override(tree, override)
    if tree.get("start_from") is not None:
        tree = inherit(tree)
    elif tree.get("method", "full") != "full":
        raise ConfigError(f"method {tree['method']}: needs a prior to change. Give --from PRIOR, or method: full.")
    try:
        config = TrainingConfig.model_validate(tree)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {_words(e)}" for e in error.errors()]
        raise ConfigError(f"config {path}:\n" + "\n".join(lines)) from error
    _check(config, path)
    return config


def _words(problem: Any) -> str:
    """What is wrong with a key, in words; of an unknown one the nearest that exists."""
    if problem["type"] != "extra_forbidden":
        return str(problem["msg"])
    near = difflib.get_close_matches(str(problem["loc"][-1]), _keys(TrainingConfig.model_json_schema()), 1)
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key; complete examples lie in configs/"


def _keys(schema: Any) -> set[str]:
    """Names of all keys that a configuration may have, at any depth."""
    found = set(schema.get("properties", {}))
    for part in schema.get("$defs", {}).values():
        found |= _keys(part)
    return found


def with_data(config: TrainingConfig, slots: ConditionSlots, channels: int) -> TrainingConfig:
    """The run with the conditions of its data in the network, beside those that it has (`PatchDataModule.slots`), and
    with as many channels as its patches have."""
    had = config.network.slots
    categorical, continuous = {**had.categorical, **slots.categorical}, {**had.continuous, **slots.continuous}
    merged = had.model_copy(update={"categorical": categorical, "continuous": continuous})
    return config.model_copy(
        update={"network": config.network.model_copy(update={"slots": merged, "channels": channels})}
    )


def _check(config: TrainingConfig, path: Path) -> None:
    alignment = config.network.alignment
    if any(n % alignment or n < alignment for n in config.data.patch):
        raise ConfigError(f"config {path}: data.patch {config.data.patch} must be multiples of {alignment}.")
    if not config.data.sources:
        raise ConfigError(f"config {path}: data.sources is empty; name at least one source.")
    if config.noise.sigma_min >= config.noise.sigma_max:
        raise ConfigError(f"config {path}: noise.sigma_min must be below noise.sigma_max.")


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: write key=value, for example --set optimiser.batch=2.")
    node: Any = tree
    *parents, last = key.split(".")
    try:
        for name in parents:
            node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
        node[int(last) if isinstance(node, list) else last] = yaml.safe_load(text)
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise ConfigError(f"--set {override}: {key} does not name a place in the configuration.") from error
