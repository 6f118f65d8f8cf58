"""Random patches for Lightning, deterministic under resume and any number of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from medidiff.cohort.augment import Augmentation, random_patch
from medidiff.cohort.sources import Case, FolderSource, ProceduralSource, load_source


class PatchDataset(Dataset[dict[str, Any]]):
    """Patch number i, drawn from a seed made of (seed, i): the same whoever asks, and in whatever order.

    Args:
        sources: (weight, cases) per source.
        kinds: Values of the condition `kind`, in the order of their indices 1, 2, ...
        shape: Patch size in voxels.
        length: Number of patches of the whole run.
        first: Where a resumed run stopped: item 0 is patch number `first`.
        augmentation: What is varied.
        seed: Base seed.
    """

    def __init__(
        self,
        sources: list[tuple[float, list[Case]]],
        kinds: tuple[str, ...],
        shape: tuple[int, int, int],
        length: int,
        *,
        first: int = 0,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.sources, self.kinds, self.shape = sources, kinds, shape
        self.length, self.first, self.augmentation, self.seed = length, first, augmentation, seed
        weights = np.array([weight for weight, _ in sources])
        self.shares = weights / weights.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Patch (1, x, y, z), its tau (1, 1, 1, 1), spacing (3,) with nan for unknown, and kind index."""
        rng = np.random.default_rng([self.seed, self.first + index])
        cases = self.sources[int(rng.choice(len(self.sources), p=self.shares))][1]
        case = cases[int(rng.integers(len(cases)))]
        patch, spacing, tau = random_patch(case, self.shape, self.augmentation, rng)
        return {
            "target": torch.from_numpy(patch)[None],
            "tau": torch.full((1, 1, 1, 1), tau),
            "spacing_mm": torch.tensor(spacing, dtype=torch.float32),
            "kind": torch.tensor(self.kinds.index(case.kind) + 1),
        }


class PatchDataModule(lightning.LightningDataModule):
    """Train and val patches from folders of scans and procedural volumes.

    Args:
        sources: Where scans come from.
        root: Data root of folder sources.
        cache: Folder for procedural volumes.
        shape: Patch size in voxels.
        batch: Patches per step.
        steps: Steps of the whole run.
        augmentation: What is varied in training.
        seed: Base seed.
        val_patches: Number of fixed validation patches, cut from val patients without augmentation.
    """

    def __init__(
        self,
        sources: tuple[ProceduralSource | FolderSource, ...],
        root: Path,
        cache: Path,
        shape: tuple[int, int, int],
        batch: int,
        steps: int,
        augmentation: Augmentation,
        seed: int,
        val_patches: int = 24,
    ) -> None:
        super().__init__()
        self.sources, self.root, self.cache = sources, root, cache
        self.shape, self.batch, self.steps = shape, batch, steps
        self.augmentation, self.seed, self.val_patches = augmentation, seed, val_patches
        self.first_step = 0
        self.loaded: dict[str, list[tuple[float, list[Case]]]] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the sources, the values of the condition `kind`."""
        return tuple(dict.fromkeys(source.name for source in self.sources))

    def setup(self, stage: str | None = None) -> None:
        """Load every source once."""
        for split in ("train", "val"):
            if split not in self.loaded:
                loaded = [(s.weight, load_source(s, self.root, self.cache, split)) for s in self.sources]
                self.loaded[split] = [(weight, cases) for weight, cases in loaded if cases]

    def sigma_data(self, patches: int = 64) -> float:
        """Standard deviation of the voxels of `patches` training patches."""
        dataset = self._dataset("train", patches, self.augmentation)
        return float(torch.cat([dataset[i]["target"].flatten() for i in range(patches)]).std())

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Patches from the step the run stands at."""
        dataset = self._dataset("train", self.steps * self.batch, self.augmentation, self.first_step * self.batch)
        return DataLoader(dataset, batch_size=self.batch, shuffle=False, num_workers=0)

    @property
    def fixed_splits(self) -> tuple[str, ...]:
        """Splits that are validated, in this order; a small cohort may have no val patients."""
        return ("val", "train") if self.loaded["val"] else ("train",)

    def val_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """Fixed patches of val, and of the training scans of the same sources: the difference shows overfitting."""
        return [self.fixed_dataloader(split) for split in self.fixed_splits]

    def fixed_dataloader(self, split: str) -> DataLoader[dict[str, Any]]:
        """The same patches of a split every time, not augmented; patch i is of the same source in both splits."""
        plain = Augmentation(contrast=0, invert=0, scale=1, offset=0, coarser=0, flip=False, axes=False)
        judged = {cases[0].kind for _, cases in self.loaded["val"]}
        sources = [part for part in self.loaded[split] if not judged or part[1][0].kind in judged]
        dataset = PatchDataset(
            sources, self.kinds, self.shape, self.val_patches, augmentation=plain, seed=self.seed + 1
        )
        return DataLoader(dataset, batch_size=4, num_workers=0)

    def _dataset(self, split: str, length: int, augmentation: Augmentation, first: int = 0) -> PatchDataset:
        return PatchDataset(
            self.loaded[split],
            self.kinds,
            self.shape,
            length,
            first=first,
            augmentation=augmentation,
            seed=self.seed,
        )
