"""The shortcut test: can a net tell synthetic from real scans?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.cross_fit import FEWEST_PATIENTS, STEPS, Say, halves, shrunk
from medidiff.evaluate.intervals import Interval
from medidiff.evaluate.small_nets import score, train_score
from medidiff.significance import auc

_RESAMPLES = 2000


@dataclass(frozen=True)
class Shortcut:
    """Whether a net can tell synthetic from real scans.

    Attributes:
        auc: Area under the ROC curve with its 95% interval over patients; 0.5: it cannot.
        trained_on: Scans of each kind.
        patients: Real patients that were judged.
    """

    auc: Interval
    trained_on: int
    patients: int


def shortcut(
    made: np.ndarray,
    real: np.ndarray,
    patients: Sequence[str],
    *,
    steps: int = STEPS,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Shortcut:
    """Train a net to tell synthetic from real scans, and judge it on patients and scans it has not seen.

    A net that can (AUC near 1) will also use what it sees in place of the disease, where synthetic scans are more
    frequent in one class: mix both kinds in every class.

    Args:
        made: Scans (m, x, y, z).
        real: Scans (n, x, y, z).
        patients: Whose each real scan is.
        steps: Of each of two nets.
        seed: Of the deal, the draws and the nets.
        say: Told what is trained.

    Raises:
        InputError: Fewer than 8 patients or synthetic scans.
    """
    if len(made) < FEWEST_PATIENTS:
        raise InputError(f"{len(made)} synthetic scans: {FEWEST_PATIENTS} are needed at least.")
    made, real = shrunk(made), shrunk(real)
    half, names = halves(patients, seed), np.asarray(patients)
    of_made = np.random.default_rng([seed, 2]).permutation(len(made)) % 2
    judged = []
    for place in (0, 1):
        train = real[half != place], made[of_made != place]
        say(f"shortcut: net {place + 1} of 2, {len(train[0])} real and {len(train[1])} synthetic scans")
        truth = np.repeat([0.0, 1.0], [len(part) for part in train])
        net = train_score(np.concatenate(train), truth, True, steps, seed + place)
        judged.append((score(net, real[half == place]), names[half == place], score(net, made[of_made == place])))
    return Shortcut(_auc_interval(judged, seed), len(real) // 2, len(set(patients)))


def _auc_interval(judged: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], seed: int) -> Interval:
    """Mean of the nets' AUCs; patients and synthetic scans are resampled within each net's share."""
    rng = np.random.default_rng([seed, 4])
    drawn = np.zeros(_RESAMPLES)
    for real, names, made in judged:
        scans = [np.flatnonzero(names == one) for one in sorted(set(names.tolist()))]
        for i in range(_RESAMPLES):
            pick = np.concatenate([scans[j] for j in rng.integers(len(scans), size=len(scans))])
            drawn[i] += auc(made[rng.integers(len(made), size=len(made))], real[pick]) / len(judged)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(np.mean([auc(made, real) for real, _, made in judged])), float(low), float(high))


__all__ = ["Shortcut", "shortcut"]
