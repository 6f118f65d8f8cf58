"""Patients of a private step: each is drawn by a coin of his own (Poisson sampling), and gives a few patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Sampler, default_collate

from medidiff.cohort import AnyCase, PatchDataModule
from medidiff.cohort.commitment import subkey
from medidiff.cohort.datamodule import worker_settings
from medidiff.cohort.patches import PatchDataset


class PatientPatches(PatchDataset):
    """Patches (s * n + j) * k to (s * n + j) * k + k - 1 are of patient j of n, of his scans alone.

    Arguments as for `PatchDataset`, with one source, and `per_patient`, which is k.
    """

    def __init__(self, *args: Any, per_patient: int = 1, **more: Any) -> None:
        super().__init__(*args, **more)
        ((_, self.cases),) = self.sources
        self.per_patient = per_patient
        self.scans = scans_by_patient(self.cases)

    def choose(self, number: int, rng: np.random.Generator) -> AnyCase:
        """One of the patient's scans."""
        own = self.scans[number // self.per_patient % len(self.scans)]
        return self.cases[own[int(rng.integers(len(own)))]]


def scans_by_patient(cases: Sequence[AnyCase]) -> list[list[int]]:
    """Places of each patient's scans, patients in the order of their identifiers."""
    found: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        found.setdefault(case.patient, []).append(place)
    return [found[name] for name in sorted(found)]


class PoissonSteps(Sampler[list[int]]):
    """Numbers of the patches of each step: every patient is in it with the same probability, whoever else is.

    Args:
        patients: How many there are.
        rate: The probability.
        steps: Of the whole run.
        first_step: Where it goes on.
        per_patient: Patches of each.
        key: Kept at the site: whoever could tell who was in which step would have no need of the noise.
    """

    def __init__(
        self, patients: int, rate: float, steps: int, first_step: int, key: bytes, per_patient: int = 1
    ) -> None:
        self.patients, self.rate, self.steps, self.first_step, self.key = patients, rate, steps, first_step, key
        self.per_patient = per_patient

    def __len__(self) -> int:
        """Steps of the whole run."""
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first_step, self.steps):
            rng = np.random.default_rng(list(subkey(self.key, f"patients of step {step}")))
            drawn = np.flatnonzero(rng.random(self.patients) < self.rate)
            first = [(step * self.patients + int(j)) * self.per_patient for j in drawn]
            yield [number + k for number in first for k in range(self.per_patient)]


class PrivateDataModule(PatchDataModule):
    """As `PatchDataModule`; a train batch is a list of batches of one patient each, and may be empty."""

    key = bytes(32)
    """Of the run; set before training."""
    per_patient = 1
    """Patches of a patient in a step."""

    @property
    def patients(self) -> int:
        """Train patients; after `setup`."""
        return len(scans_by_patient(self.loaded["train"][0][1]))

    @property
    def rate(self) -> float:
        """Probability with which a patient is drawn in a step: `batch` patients in the mean."""
        return self.batch / self.patients

    def train_dataloader(self) -> DataLoader[Any]:
        """The steps from `first_step` on."""
        dataset = PatientPatches(
            self.loaded["train"],
            self.kinds,
            self.shape,
            self.steps * self.patients * self.per_patient,
            per_patient=self.per_patient,
            augmentation=self.augmentation,
            seed=self.seed,
            conditions=self.slots,
            position=self.position,
            masks=self.masks,
        )
        steps = PoissonSteps(self.patients, self.rate, self.steps, self.first_step, self.key, self.per_patient)
        together = partial(by_patient, self.per_patient)
        return DataLoader(dataset, batch_sampler=steps, collate_fn=together, **worker_settings(self.workers))


def by_patient(per_patient: int, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The patches of each patient as a batch of their own."""
    return [default_collate(items[i : i + per_patient]) for i in range(0, len(items), per_patient)]


__all__ = ["PatientPatches", "PoissonSteps", "PrivateDataModule", "by_patient", "scans_by_patient"]
