"""Patients into train, val and holdout: as a table says, or by a recorded coin that knows nothing but the patient."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medidiff.errors import ConfigError, InputError

SPLITS = ("train", "val", "holdout")
Holdout = Literal["coin", "none"]
SHARES: dict[str, tuple[float, float, float]] = {"coin": (0.6, 0.1, 0.3), "none": (0.9, 0.1, 0.0)}
"""Shares of train, val and holdout."""

FEW_PATIENTS = 3


@dataclass(frozen=True)
class Coin:
    """How patients without a split are assigned.

    Attributes:
        holdout: "coin" keeps 30% of the patients out of training, for figures and for the privacy audit; "none" keeps
            nobody out.
        seed: Key of the coin, kept in the store.
    """

    holdout: Holdout
    seed: int

    def toss(self, patient: str) -> str:
        """The split of a patient: a keyed hash of the identifier, whoever else is in the cohort."""
        share = self.number(patient)
        train, val, _ = SHARES[self.holdout]
        return "train" if share < train else "val" if share < train + val else "holdout"

    def is_canary(self, patient: str) -> bool:
        """Whether the coin was fair for a patient: held out, or train by as large a part of the coin's numbers.

        Fewer are held out than trained on. A bound on epsilon from one run needs patients who were in or out with a
        probability of one half each: of these, chosen by the coin's number alone, that is so.
        """
        number, (train, val, holdout) = self.number(patient), SHARES[self.holdout]
        return number < min(train, holdout) or number >= train + val

    def number(self, patient: str) -> float:
        """A uniform number in [0, 1) of the patient.

        Source: HMAC-SHA256 (RFC 2104), its first 8 bytes.
        """
        key = f"medidiff split {self.seed}".encode()
        digest = hmac.digest(key, patient.encode("utf-8"), hashlib.sha256)
        return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class Assignment:
    """Who is in which split, and how that came about.

    Attributes:
        split_of: Split by patient.
        record: For store.json: method, seed and shares of the coin, and how many patients it and the table decided.
        warnings: What is wrong with it.
    """

    split_of: dict[str, str]
    record: dict[str, Any]
    warnings: tuple[str, ...]


def assign(patients: Iterable[str], said: Mapping[str, str], coin: Coin, *, alone: bool = False) -> Assignment:
    """Put patients into splits.

    Args:
        patients: Everybody, by identifier; repeats do not matter.
        said: Splits that a table says, by patient; they are respected.
        coin: Decides for the others.
        alone: One patient is no error, only warned of: the others were refused after much work.

    Raises:
        ConfigError: The table names a split that is none.
        InputError: One patient, whom no table assigns: nobody would be left to check the training with.
    """
    everybody = sorted(set(patients))
    for patient in everybody:
        if said.get(patient, "train") not in SPLITS:
            raise ConfigError(f"split {said[patient]}: must be {', '.join(SPLITS)}, or empty to let the coin decide.")
    told = {patient: said[patient] for patient in everybody if patient in said}
    if len(everybody) == 1 and not told and not alone:
        raise InputError(
            "a cohort of one patient: a prior that learns from one person can neither be checked on another one nor be "
            "given away. Add patients, or say `split` in the table to insist."
        )
    split_of = {patient: told.get(patient) or coin.toss(patient) for patient in everybody}
    tossed = len(everybody) - len(told)
    train, val, holdout = SHARES[coin.holdout]
    record = {
        "by_table": len(told),
        "by_coin": tossed,
        "holdout": coin.holdout,
        "seed": coin.seed if tossed else None,
        "shares": {"train": train, "val": val, "holdout": holdout} if tossed else None,
        "method": "HMAC-SHA256 of the patient's identifier, keyed by the seed" if tossed else "the table",
    }
    return Assignment(split_of, record, tuple(warnings_of(split_of, coin.holdout, bool(tossed))))


def warnings_of(split_of: Mapping[str, str], holdout: Holdout, tossed: bool) -> list[str]:
    """What a split of patients leaves to be desired."""
    counts = Counter(split_of.values())
    remedy = "Give another --seed, or a `split` column." if tossed else "See the table's `split` column."
    found = []
    if len(split_of) < FEW_PATIENTS:
        found.append(f"only {_patients(len(split_of))}: too few to train on, and no figure from them means anything.")
    if not counts["train"]:
        found.append(f"NO PATIENT IN TRAIN: nothing can be trained from this store. {remedy}")
    if not counts["val"]:
        found.append(f"no patient in val: training cannot see when it only memorises. {remedy}")
    if not counts["holdout"] and holdout == "coin":
        found.append(f"no patient in holdout: no figure on unseen patients and no privacy audit. {remedy}")
    return found


def told_of(split_of: Mapping[str, str], scans: Mapping[str, int]) -> str:
    """How it came out, for the terminal: "train 12 patients (20 scans), ...".

    Args:
        split_of: Split by patient.
        scans: Number of scans by split.
    """
    counts = Counter(split_of.values())
    return ", ".join(f"{split} {_patients(counts[split])} ({_scans(scans.get(split, 0))})" for split in SPLITS)


def _patients(count: int) -> str:
    return f"{count} patient" if count == 1 else f"{count} patients"


def _scans(count: int) -> str:
    return f"{count} scan" if count == 1 else f"{count} scans"
