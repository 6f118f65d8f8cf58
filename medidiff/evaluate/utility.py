"""What a synthetic set is good for: nets trained on it, or on as many real scans, are judged on other real patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.cross_fit import FEWEST_PATIENTS, STEPS, Say, Task, cross_fitted, shrunk, shrunk_masks, task_of
from medidiff.evaluate.groups import Attributes
from medidiff.evaluate.small_nets import score, segment, train_score, train_segmentation


def segmentation(
    made: tuple[np.ndarray, np.ndarray],
    real: tuple[np.ndarray, np.ndarray],
    patients: Sequence[str],
    *,
    steps: int = STEPS,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Task:
    """Dice of nets trained on synthetic pairs and on as many real ones, over all labels that the real masks have.

    The real patients are dealt into two halves. Those of one half train the real net, those of the other are segmented;
    then the other way round. The synthetic net of a half gets as many pairs, and as many steps.

    Args:
        made: Scans and label maps (m, x, y, z).
        real: Scans and label maps (n, x, y, z).
        patients: Whose each real scan is.
        steps: Of each net.
        seed: Of the deal, the draws and the nets.
        say: Told what is trained.

    Raises:
        InputError: Fewer than 8 patients, or no label.

    Source: train on synthetic, test on real: Esteban et al. 2017; Dice 1945.
    """
    made, real = ((shrunk(images), shrunk_masks(masks)) for images, masks in (made, real))
    labels = int(max(made[1].max(), real[1].max()))
    if labels == 0 or not real[1].any():
        raise InputError("the label maps are empty: there is nothing to segment.")

    def judge(images: np.ndarray, truth: np.ndarray, index: np.ndarray, place: int) -> np.ndarray:
        net = train_segmentation(images, truth, labels, steps, seed + place)
        return dice(segment(net, real[0][index]), real[1][index], labels)

    found = cross_fitted(made, real, patients, judge, seed, say, "segmentation")
    return task_of("segmentation", "Dice", True, None, patients, *found)


def attribute(
    name: str,
    made: tuple[np.ndarray, Attributes],
    real: tuple[np.ndarray, Attributes],
    patients: Sequence[str],
    *,
    steps: int = STEPS,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Task:
    """How well nets tell an attribute from a scan: absolute error of a number, share right of two words.

    Scans whose attribute is not known are left out. Otherwise as `segmentation`.

    Args:
        name: Of the attribute.
        made: Scans (m, x, y, z) and what is known of each.
        real: Scans (n, x, y, z) and what is known of each.
        patients: Whose each real scan is.
        steps: Of each net.
        seed: Of the deal, the draws and the nets.
        say: Told what is trained.

    Raises:
        InputError: It is neither a number nor one of two words on both sides, or too few know it.
    """
    values = _values(name, made[1], real[1])
    if values is None:
        raise InputError(f"{name}: must be a number, or one of two words, of synthetic and of real scans.")
    of_made, of_real, binary = values
    known_made, known = np.isfinite(of_made), np.isfinite(of_real)
    pairs = (shrunk(made[0][known_made]), of_made[known_made]), (shrunk(real[0][known]), of_real[known])
    unit, middle = (1.0, 0.0) if binary else (float(np.std(of_real[known])) or 1.0, float(np.median(of_real[known])))

    def judge(images: np.ndarray, truth: np.ndarray, index: np.ndarray, place: int) -> np.ndarray:
        net = train_score(images, (truth - middle) / unit, binary, steps, seed + place)
        said = score(net, pairs[1][0][index])
        if binary:
            return ((said > 0) == (pairs[1][1][index] > 0.5)).astype(float)
        return np.abs(said * unit + middle - pairs[1][1][index])

    whose = [patient for patient, ok in zip(patients, known, strict=True) if ok]
    real_scores, made_scores, count = cross_fitted(*pairs, whose, judge, seed, say, name)
    chance = max(of_real[known].mean(), 1 - of_real[known].mean()) if binary else np.abs(of_real[known] - middle).mean()
    task = task_of(
        name,
        "share right" if binary else "absolute error",
        binary,
        float(chance),
        whose,
        real_scores,
        made_scores,
        count,
    )
    per_scan = np.full(len(known), np.nan)
    per_scan[known] = task.per_scan
    return replace(task, per_scan=per_scan)


def shared_attributes(made: Attributes, real: Attributes) -> list[str]:
    """Attributes that both sides know of 8 scans at least, and that a net can be asked for."""
    names = dict.fromkeys(name for row in real for name in row)
    found = [name for name in names if (values := _values(name, made, real)) is not None and _enough(*values[:2])]
    return found


def dice(found: np.ndarray, truth: np.ndarray, labels: int) -> np.ndarray:
    """Mean Dice over labels, one a scan (n,); a label that neither has does not count.

    Source: Dice 1945.
    """
    rows = []
    for label in range(1, labels + 1):
        a, b = found == label, truth == label
        total = a.sum(axis=(1, 2, 3)) + b.sum(axis=(1, 2, 3))
        rows.append(np.where(total > 0, 2 * (a & b).sum(axis=(1, 2, 3)) / np.maximum(total, 1), np.nan))
    table = np.stack(rows)
    known = np.isfinite(table)
    return np.where(known, table, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _values(name: str, made: Attributes, real: Attributes) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Numbers of both sides, NaN where not known, and whether they stand for two words."""
    sides = [[_known(row, name) for row in rows] for rows in (made, real)]
    known = [value for side in sides for value in side if value is not None]
    words = sorted({value for value in known if isinstance(value, str)})
    if known and not words:
        found = [np.array([np.nan if v is None else float(v) for v in side]) for side in sides]
        return (
            (found[0], found[1], False)
            if np.nanmax(found[1], initial=-np.inf) > np.nanmin(found[1], initial=np.inf)
            else None
        )
    if len(words) != 2 or any(not isinstance(value, str) for value in known):
        return None
    found = [np.array([np.nan if v is None else float(v == words[1]) for v in side]) for side in sides]
    return found[0], found[1], True


def _known(row: Mapping[str, Any], name: str) -> float | str | None:
    value = row.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if np.isfinite(value) else None
    return value if isinstance(value, str) and value else None


def _enough(*sides: np.ndarray) -> bool:
    return all(int(np.isfinite(side).sum()) >= FEWEST_PATIENTS for side in sides) and all(
        np.unique(side[np.isfinite(side)]).size > 1 for side in sides
    )


__all__ = ["attribute", "dice", "segmentation", "shared_attributes"]
