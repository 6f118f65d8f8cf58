"""Random patches for Lightning, deterministic under resume and any number of workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from medidiff.cohort.augment import PLAIN, Augmentation
from medidiff.cohort.cases import AnyCase
from medidiff.cohort.conditions import trained_conditions
from medidiff.cohort.patches import Cohort, PatchDataset, PatchNumbers, start_worker
from medidiff.cohort.run_holdout import RunCoin
from medidiff.cohort.sources import AnySource, ProceduralSource, load_source, source_holdout
from medidiff.cohort.store_source import StoreCases, StoreSource
from medidiff.errors import ConfigError, InputError
from medidiff.nets.embedding import ConditionSlots


class PatchDataModule(lightning.LightningDataModule):
    """Train and val patches from stores, folders of scans and procedural volumes.

    Args:
        sources: Where scans come from.
        root: Data root of folder sources.
        cache: Folder for procedural volumes.
        shape: Patch size in voxels.
        batch: Patches per optimiser step, over all processes and micro-batches.
        steps: Steps of the whole run.
        augmentation: What is varied in training.
        seed: Base seed.
        val_patches: Number of fixed validation patches, cut from val patients without augmentation.
        workers: Processes that read and vary patches beside the trainer; 0: the trainer does it.
        conditions: Attributes of stores that patches are given with.
        position: Whether they are given with their place in the body.
        had: Conditions that the network has already (those of the prior that the run starts from): their values keep
            their indices, new ones follow.
        had_masks: Masks that the network has as channels already; the sources may leave them out.
        coin: Keeps train patients out of this run.

    Attributes:
        first_step: Where a resumed run goes on.
    """

    def __init__(
        self,
        sources: tuple[AnySource, ...],
        root: Path,
        cache: Path,
        shape: tuple[int, int, int],
        batch: int,
        steps: int,
        augmentation: Augmentation,
        seed: int,
        val_patches: int = 24,
        *,
        workers: int = 0,
        conditions: tuple[str, ...] = (),
        position: bool = False,
        had: ConditionSlots | None = None,
        had_masks: tuple[str, ...] = (),
        coin: RunCoin | None = None,
    ) -> None:
        super().__init__()
        self.sources, self.root, self.cache = sources, root, cache
        self.shape, self.batch, self.steps = shape, batch, steps
        self.augmentation, self.seed, self.val_patches = augmentation, seed, val_patches
        self.workers, self.conditions, self.position = workers, conditions, position
        self.had, self.had_masks, self.coin = had or ConditionSlots(), had_masks, coin
        self.first_step = 0
        self.loaded: dict[str, list[Cohort]] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The values of the condition `kind`: those that the network had, then the names of the sources."""
        known = self.had.categorical["kind"].values if "kind" in self.had.categorical else ()
        return tuple(dict.fromkeys([*known, *(source.name for source in self.sources)]))

    @property
    def masks(self) -> tuple[str, ...]:
        """Masks that are further channels; a source without them has patches of which they are not observed.

        Raises:
            ConfigError: Two sources have different ones.
        """
        named = {source.masks: source.name for source in self.sources if isinstance(source, StoreSource)}
        longer = any(masks[: len(self.had_masks)] == self.had_masks for masks in named)
        if self.had_masks and not longer:  # the run may have more, after those
            named[self.had_masks] = "the prior that the run starts from"
        several = [masks for masks in named if masks]
        if len(several) > 1:
            a, b = several[:2]
            raise ConfigError(f"data.sources: masks of {named[a]} are {a}, of {named[b]} {b}. Give both the same.")
        return several[0] if several else ()

    def setup(self, stage: str | None = None) -> None:
        """Load every source once."""
        for split in ("train", "val"):
            if split not in self.loaded:
                loaded = [(s.weight, load_source(s, self.root, self.cache, split, self.coin)) for s in self.sources]
                self.loaded[split] = [(weight, cases) for weight, cases in loaded if cases]

    def people(self) -> list[dict[str, Any]]:
        """Of every source with known patients its name, and train and holdout patients, sorted; after `setup`."""
        found = []
        for source, (_, cases) in zip(self.sources, self.loaded["train"], strict=True):
            if isinstance(source, ProceduralSource):
                continue
            train = cases.patients if isinstance(cases, StoreCases) else {case.patient for case in cases}
            held = source_holdout(source, self.root, self.coin)
            found.append({"name": source.name, "train": sorted(train), "holdout": sorted(held)})
        return found

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint: what the scans are."""
        pairs = zip(self.sources, self.loaded["train"], strict=True)
        return {"train": {s.name: _identity(c, self.coin) for s, (_, c) in pairs}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, with the scans that it was made with.

        Raises:
            InputError: They are others.
        """
        before, now = state_dict.get("train", {}), self.state_dict()["train"]
        changed = [name for name in now if name in before and before[name] != now[name]]
        if changed:
            raise InputError(
                f"source {changed[0]}: its scans or their split changed since the run began, and the run has seen the "
                "old ones. Begin a new run in another output, or bring the old scans back."
            )

    def sigma_data(self, patches: int = 64) -> tuple[float, ...]:
        """Standard deviation of the voxels of `patches` training patches, of each channel where it is observed."""
        values = self._values(patches)
        return tuple(float(value.std()) if value.numel() > 1 else 1.0 for value in values)  # 1: of nothing

    def mean_data(self, patches: int = 64) -> tuple[float, ...]:
        """Mean that the denoiser takes off: 0 for the image, which has values all over its range, a mask's own.

        Raises:
            InputError: No patch of eight times as many holds a voxel of a mask that the network does not have yet.
        """
        masks = self._values(patches)[1:] if self.masks else []
        if not self.had_masks and not all(map(_holds_a_voxel, masks)):
            masks = self._values(8 * patches)[1:]
            for name, value in zip(self.masks, masks, strict=True):
                if not _holds_a_voxel(value):
                    raise InputError(
                        f"data.sources: masks {name}: no voxel of it in {8 * patches} training patches. Look at the "
                        "values in the label maps, or leave it out."
                    )
        return (0.0, *(float(value.mean()) if value.numel() else 0.0 for value in masks))

    def _values(self, patches: int) -> list[torch.Tensor]:
        """Voxels of training patches, of each channel where it is observed."""
        dataset = self._dataset("train", patches, self.augmentation)
        drawn = [dataset[i] for i in range(patches)]
        values = [torch.cat([item["target"][c].flatten() for item in drawn]) for c in range(1 + len(self.masks))]
        if self.masks:
            known = [torch.cat([item["observed"][c].flatten() for item in drawn]) > 0 for c in range(len(values))]
            values = [value[where] for value, where in zip(values, known, strict=True)]
        return values

    @property
    def slots(self) -> ConditionSlots:
        """The conditions with the ranges and values of the train scans; after `setup`."""
        return trained_conditions(self.conditions, [cases for _, cases in self.loaded["train"]], self.had)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The patches of this process from step `first_step` on.

        The numbers are shared out here, by the trainer's processes and accumulation: the trainer must not add a sampler
        (`use_distributed_sampler=False`).

        Raises:
            ConfigError: The batch cannot be shared out evenly.
        """
        trainer = self.trainer
        numbers = PatchNumbers(
            self.batch,
            self.steps,
            self.first_step,
            processes=trainer.world_size if trainer else 1,
            process=trainer.global_rank if trainer else 0,
            accumulate=trainer.accumulate_grad_batches if trainer else 1,
        )
        dataset = self._dataset("train", self.steps * self.batch, self.augmentation)
        return DataLoader(dataset, batch_sampler=numbers, **worker_settings(self.workers))

    @property
    def fixed_splits(self) -> tuple[str, ...]:
        """Splits that are validated, in this order; a small cohort may have no val patients."""
        return ("val", "train") if self.loaded["val"] else ("train",)

    def val_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """Fixed patches of val, and of the training scans of the same sources: the difference shows overfitting."""
        return [self.fixed_dataloader(split) for split in self.fixed_splits]

    def fixed_dataloader(self, split: str) -> DataLoader[dict[str, Any]]:
        """The same patches of a split every time, not augmented; patch i is of the same source in both splits."""
        judged = {cases[0].kind for _, cases in self.loaded["val"]}
        sources = [part for part in self.loaded[split] if not judged or part[1][0].kind in judged]
        dataset = PatchDataset(
            sources,
            self.kinds,
            self.shape,
            self.val_patches,
            augmentation=PLAIN,
            seed=self.seed + 1,
            conditions=self.slots,
            position=self.position,
            masks=self.masks,
        )
        return DataLoader(dataset, batch_size=4, num_workers=0)

    def _dataset(self, split: str, length: int, augmentation: Augmentation) -> PatchDataset:
        return PatchDataset(
            self.loaded[split],
            self.kinds,
            self.shape,
            length,
            augmentation=augmentation,
            seed=self.seed,
            conditions=self.slots,
            position=self.position,
            masks=self.masks,
        )


def _holds_a_voxel(mask: torch.Tensor) -> bool:
    return bool((mask > -1).any())


def _identity(cases: Sequence[AnyCase], coin: RunCoin | None) -> str:
    """Changes when the scans of a source, their patients or their split do."""
    if isinstance(cases, StoreCases):
        whole = cases.store.content_hash
        return whole if coin is None else f"{whole}, coin {coin.seed} at {coin.share}"
    return hashlib.sha256(json.dumps([(case.name, case.patient) for case in cases]).encode()).hexdigest()


def worker_settings(count: int) -> dict[str, Any]:
    """Of a loader. Worker processes are started afresh (spawn): a fork would copy the trainer's threads' locks."""
    if count == 0:
        return {"num_workers": 0}
    return {
        "num_workers": count,
        "multiprocessing_context": "spawn",
        "worker_init_fn": start_worker,
        "persistent_workers": True,
        "prefetch_factor": 4,
    }
