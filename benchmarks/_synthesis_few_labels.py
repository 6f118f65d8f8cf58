"""Few labels: ten patients' label maps alone, and with synthetic pairs of a prior that saw only those ten."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._synthesis_data import real_pairs
from benchmarks._synthesis_intervals import patient_bootstrap, shown
from benchmarks._synthesis_samples import our_pairs
from benchmarks._synthesis_segmentation import dice_by_patient, dice_table
from benchmarks._synthesis_settings import Settings
from medidiff.cohort.store_source import StoreSource, store_cases
from medidiff.errors import UsageError

GAIN = 0.01
"""Dice that synthetic pairs must add."""


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Train two nets a seed with equal steps and judge them on test patients."""
    settings = settings or Settings()
    if not settings.few_prior:
        raise UsageError("--few-prior: the prior that saw few patients' masks is missing. Give its name or file.")
    train, test = real_pairs(settings.store, "train"), real_pairs(settings.store, settings.test)
    known = labelled_patients(settings)
    real = train.take(np.flatnonzero([patient in known for patient in train.patients]))
    made = our_pairs(settings, settings.few_prior, settings.count, volumes=real.volume_ml).pairs
    found = {
        "real alone": dice_by_patient(settings, [real], test),
        "real and synthetic": dice_by_patient(settings, [real, made], test),
    }
    alone, both = (scores.mean(axis=0) for scores in found.values())
    gain = patient_bootstrap(lambda a, b: b - a, alone, both)
    pairs = {"real alone": len(real), "real and synthetic": len(real) + len(made)}
    rows, lines = dice_table(found, pairs)
    lines += ["", f"Gain: {shown(gain, 4, sign=True)} Dice; at least {GAIN} with the lower limit above 0 is demanded."]
    lines += [f"{len(known)} patients' label maps; the prior saw no other."]
    return {"rows": rows, "gain": gain, "holds": gain[0] >= GAIN and gain[1] > 0, "lines": lines}


def labelled_patients(settings: Settings) -> set[str]:
    """The patients whose masks `label_patients` of the training configuration uses: the same draw."""
    source = StoreSource(
        type="store",
        name="hippocampus_t1",
        url=str(settings.store),
        masks=("mask:1", "mask:2"),
        label_patients=settings.few_patients,
    )
    return store_cases(source, "train").labelled
