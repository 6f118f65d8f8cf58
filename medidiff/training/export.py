"""From a finished run to a prior file with its card."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import medidiff
from medidiff.cohort import AnyCase, PatchDataModule, ProceduralSource, StoreCases, StoreSource
from medidiff.cohort.sources import AnySource
from medidiff.errors import PriorError
from medidiff.io import atomic_open
from medidiff.nets.lora import has_low_rank, low_rank_state
from medidiff.precision import cpu_model
from medidiff.prior import Card, DataSource, Prior, SpacingRange, TrainingRecord, Typical, read_entry
from medidiff.prior.adapter import find_base, save_adapted
from medidiff.training.config import TrainingConfig
from medidiff.training.holdout import committed
from medidiff.training.module import DenoiserTraining, network_config
from medidiff.training.normalisation import normalisation_of
from medidiff.training.private import PrivateTraining
from medidiff.training.watch import say
from medidiff.training.watch_samples import trains_sampling


def export_prior(
    config: TrainingConfig, data: PatchDataModule, module: DenoiserTraining, steps: int, hours: float, path: Path
) -> Path:
    """Write the averaged weights and the card, float16; of a low-rank run the change alone.

    Args:
        config: The run.
        data: Its data, for the sources of the card.
        module: The trained module.
        steps: Optimiser steps taken.
        hours: Training time.
        path: Where the prior goes.

    Returns:
        `path`.
    """
    card = make_card(config, data, tuple(module.denoiser.sigma_data.flatten().tolist()), steps, hours)
    told: dict[str, Any] = {
        "training": card.training.model_copy(update={"average": module.average, "commitment": committed(config, data)}),
        "mean_data": tuple(module.denoiser.mean_data.flatten().tolist()),
    }
    if isinstance(module, PrivateTraining):
        told["training"] = told["training"].model_copy(update={"privacy": module.record()})
    card = card.model_copy(update=told)
    weights = module.averaged.network.state_dict()
    if has_low_rank(module.averaged) and config.start_from is not None:
        save_adapted(card, Prior.load(config.start_from), low_rank_state(weights), path)
        _keep_base(config.start_from, path)
    else:
        Prior(card, weights).save(path, dtype="float16")
    return path


def _keep_base(base: Path, path: Path) -> None:
    """Put the prior that was changed beside the change, unless it is found anyway (packaged, or the user's own).

    A prior that is itself a change needs the one that it changes, and so on.
    """
    entry, depth = read_entry(path), 0
    while entry.base is not None and entry.path.parent == path.parent:
        depth += 1
        try:
            found = find_base(entry)
        except PriorError:
            found = path.with_name(f"{path.stem}-base{depth if depth > 1 else ''}.safetensors")
            with atomic_open(found) as file:
                file.write(base.read_bytes())
            copied = f"a copy of that lies beside it, {found.name}: keep them together"
            say(f"{entry.path.name} changes {base.name}; {copied}")
        entry, below = read_entry(found), read_entry(base)
        base = find_base(below) if below.base is not None else base


def make_card(
    config: TrainingConfig, data: PatchDataModule, sigma_data: tuple[float, ...], steps: int, hours: float
) -> Card:
    """The card of a run, without measured figures."""
    trained = list(zip(config.data.sources, data.loaded["train"], strict=True))
    sources = tuple(_source(source, cases, config) for source, (_, cases) in trained)
    spacings = [s for _, cases in data.loaded["train"] for case in cases for s in case.spacing_mm if s == s]
    patients = {p for source, (_, cases) in trained for p in _patients(source, cases)}
    coarser = 2.0 if config.data.augmentation.coarser > 0 else 1.0
    return Card(
        name=config.name,
        version=config.card.version,
        created=datetime.date.today().isoformat(),
        description=config.card.description,
        task="sample" if trains_sampling(config.noise) else "denoise",
        network=network_config(config, data.kinds),
        sigma_data=sigma_data,
        channels=("image", *data.masks),
        shape=config.card.shape or (config.data.patch if trains_sampling(config.noise) else None),
        typical=None if config.privacy is not None else _typical(data),
        sigma_min=config.noise.sigma_min,
        sigma_max=config.noise.sigma_max,
        normalisation=normalisation_of(data),
        spacing_mm=SpacingRange(low=min(spacings, default=1.0), high=coarser * max(spacings, default=1.0)),
        modalities=config.card.modalities,
        training=TrainingRecord(
            config=_config_to_tell(config),
            steps=steps,
            hours=round(hours, 3),
            hardware=f"{cpu_model()}, {config.threads or os.cpu_count()} threads",
            sources=sources,
            patients=len(patients),
            seed=config.seed,
            code_version=medidiff.__version__,
        ),
        weights_licence=config.card.weights_licence,
        output_licence=config.card.output_licence,
        intended_use=config.card.intended_use,
        limits=config.card.limits,
    )


def _typical(data: PatchDataModule) -> Typical | None:
    """Median of the normalisations of the train scans; None where none comes from a store."""
    tables = [cases.table for _, cases in data.loaded["train"] if isinstance(cases, StoreCases)]
    if not tables:
        return None
    scale, offset = (
        float(np.median(np.concatenate([table.column(f"intensity_{name}").to_numpy() for table in tables])))
        for name in ("scale", "offset")
    )
    return Typical(offset=offset, scale=scale)


def _config_to_tell(config: TrainingConfig) -> dict[str, Any]:
    """The configuration as plain types, without what says where files lie on this machine, or names patients."""
    told = json.loads(config.model_dump_json(exclude={"output": True, "logging": True, "data": {"root", "cache"}}))
    if config.start_from is not None:
        told["start_from"] = config.start_from.name
    for source in told["data"]["sources"]:
        for key in source.keys() & {"url", "files", "table"}:
            if source[key] is not None and (key == "url" or Path(source[key]).is_absolute()):
                source[key] = source[key].rstrip("/").rpartition("/")[2]
        for column in source.get("where", {}).keys() & {"patient", "source", "scan_id"}:
            source["where"][column] = "not told"
    return told


def _source(source: AnySource, cases: Sequence[AnyCase], config: TrainingConfig) -> DataSource:
    if isinstance(source, ProceduralSource):
        note = f"generator {source.generator}, seeds {source.seed} to {source.seed + len(cases) - 1}, noise-free"
        return DataSource(name=source.name, licence="none needed: made by medidiff", scans=len(cases), note=note)
    if config.privacy is not None:
        note = "train patients only; differentially private, by patient"
    elif isinstance(cases, StoreCases):
        note = f"train patients only; prepared store with content hash {cases.store.content_hash}"
    else:
        note = f"train patients only; mean over {source.downsample} voxels; own noise {source.tau}"  # type: ignore[union-attr]
    patients = len(_patients(source, cases)) or len(cases)
    licence = source.licence
    if licence == "not stated" and isinstance(cases, StoreCases):
        licence = cases.store.meta.get("licence", licence)
    return DataSource(name=source.name, licence=licence, scans=len(cases), patients=patients, note=note)


def _patients(source: AnySource, cases: Sequence[AnyCase]) -> set[str]:
    """Train patients of a source, by set and identifier; a set without a table counts no patient here."""
    if isinstance(cases, StoreCases):
        return {f"{cases.store.url}:{patient}" for patient in cases.patients}
    if isinstance(source, (ProceduralSource, StoreSource)) or source.table is None:
        return set()
    return {f"{source.table}:{case.patient}" for case in cases}
