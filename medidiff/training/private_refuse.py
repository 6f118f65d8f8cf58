"""What cannot be trained privately is refused before the first step, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medidiff.cohort import FolderSource, ProceduralSource, StoreSource
from medidiff.errors import ConfigError
from medidiff.training.config import TrainingConfig


def check_private(config: TrainingConfig) -> None:
    """Refuse settings under which epsilon would not hold for each patient.

    Raises:
        ConfigError: One is there; the message says why and what to do.
    """
    reason = next(_reasons(config), None)
    if config.privacy is not None and reason is not None:
        raise ConfigError(f"privacy: {reason}")


def check_patients(config: TrainingConfig, data: Any) -> None:
    """Refuse a delta or a batch that does not fit the number of patients.

    Args:
        config: The run.
        data: Its `PrivateDataModule`, set up.

    Raises:
        ConfigError: It does not.
    """
    n, batch, how = data.patients, config.optimiser.batch, config.privacy
    if how is not None and how.delta >= 1 / n:
        raise ConfigError(
            f"privacy.delta {how.delta}: must be below 1 / {n} train patients: one who is published whole with that "
            f"probability would count as protected. Give at most {0.1 / n:.1g}."
        )
    if batch > n:
        raise ConfigError(
            f"optimiser.batch {batch}: is the number of patients of a step in the mean, and there are {n}. Give fewer."
        )


def _reasons(config: TrainingConfig) -> Iterator[str]:
    scale = config.scale
    if scale.devices * scale.nodes > 1 or scale.strategy in ("ddp", "fsdp"):
        yield (
            "several processes (scale.devices, scale.nodes, ddp, fsdp) would each add noise or clip a part of a "
            "gradient; only one is tested. Leave `scale` out."
        )
    if scale.accumulate > 1:
        yield "scale.accumulate: patients are taken one by one already. Leave it out."
    if len(config.data.sources) != 1:
        yield (
            "data.sources: a patient in two sources would count twice. Prepare all scans into one store; train on "
            "procedural volumes before, and go on with --from."
        )
    source = config.data.sources[0]
    if isinstance(source, ProceduralSource):
        yield "data.sources: procedural volumes are nobody's. Leave `privacy` out."
    if isinstance(source, FolderSource) and source.table is None:
        yield "data.sources: whose the files are is not known. Name the participants.tsv as `table`."
    if isinstance(source, StoreSource) and source.balance:
        yield "data.sources.0.balance: draws some patients more often than others, and every one must be as likely."
    if isinstance(source, StoreSource) and source.label_patients is not None:
        yield "data.sources.0.label_patients: whose masks are used would depend on who else is there."
    if config.data.conditions:
        yield (
            "data.conditions: their ranges, percentiles and values are those of the train patients and go onto the "
            "card, with no noise. Leave them out."
        )


__all__ = ["check_patients", "check_private"]
