"""A small/normal classifier with eight small-volume patients: what synthetic small ones change, and the shortcut test.

Only images are given, cut to the window in which nothing is mirrored. Synthetic scans replace the same share of BOTH
classes (matched controls, as `medidiff synth --balance` makes them), so that synthetic does not mean small; one arm
leaves the controls out to show what that does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._synthesis_classifier_net import auc, scores, trained_classifier
from benchmarks._synthesis_data import Pairs, fidelity_window, real_pairs
from benchmarks._synthesis_samples import our_pairs
from benchmarks._synthesis_settings import Settings

RATIOS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Synthetic scans drawn for one real scan of the class."""
_RESAMPLES = 500


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Sweep the ratio, then tell real from synthetic."""
    settings = settings or Settings()
    train, test = real_pairs(settings.store, "train"), real_pairs(settings.store, settings.test)
    made = our_pairs(settings, settings.prior, settings.count).pairs
    limit = float(np.quantile(train.volume_ml, 0.2))
    asked = np.where(np.isnan(made.requested_ml), made.volume_ml, made.requested_ml)
    small, normal = made.take(np.flatnonzero(asked < limit)), made.take(np.flatnonzero(asked >= limit))
    arms = [(ratio, True) for ratio in RATIOS] + [(1.0, False)]
    seen = {arm: _arm(settings, train, test, small, normal, limit, arm) for arm in arms}
    base = seen[(0.0, True)]
    rows, lines = (
        [],
        [
            f"| synthetic for one real | controls | AUC, {settings.repeats} draws of {settings.small_patients} "
            "patients [95%] | change [95%] |",
            "|---|---|---|---|",
        ],
    )
    for (ratio, controls), by_draw in seen.items():
        level, change = _interval(by_draw), _interval(by_draw - base)
        rows.append({"ratio": ratio, "controls": controls, "auc": level, "change": change})
        named = "none" if not ratio else "matched" if controls else "real alone"
        lines.append(f"| {ratio:g} | {named} | {_shown(level)} | {_shown(change, '+')} |")
    shortcut = _shortcut(settings, train, test, made)
    lines += [
        "",
        f"Small: below {limit:.2f} ml; {int((test.volume_ml < limit).sum())} of {len(test)} test scans. Intervals over "
        "draws and test patients together.",
        f"Shortcut test, the same net told to separate real from synthetic scans: AUC {_shown(shortcut)} (0.5: it "
        "cannot).",
    ]
    return {"rows": rows, "shortcut_auc": shortcut, "limit_ml": limit, "holds": True, "lines": lines}


def _arm(
    settings: Settings, train: Pairs, test: Pairs, small: Pairs, normal: Pairs, limit: float, arm: tuple[float, bool]
) -> np.ndarray:
    """AUC on resampled test patients, (draws of the few patients, resamples); column 0 is the test set itself."""
    ratio, controls = arm
    share = ratio / (1 + ratio)
    rare = sorted({p for p, v in zip(train.patients, train.volume_ml, strict=True) if v < limit})
    is_small, window = train.volume_ml < limit, fidelity_window
    found = []
    for draw in range(settings.repeats):
        chosen = set(np.random.default_rng([7, draw]).permutation(rare)[: settings.small_patients].tolist())
        few = train.take(np.flatnonzero(is_small & np.array([p in chosen for p in train.patients])))
        common = train.take(np.flatnonzero(~is_small))
        positive = [(1 - share, window(few.images)), (share, window(small.images))]
        negative = [(1.0, window(common.images))]
        if controls:
            negative = [(1 - share, window(common.images)), (share, window(normal.images))]
        used = [part for part in positive if part[0] > 0], [part for part in negative if part[0] > 0]
        net = trained_classifier(settings, used[1], used[0], seed=draw)
        found.append(_patient_aucs(scores(net, window(test.images)), test.volume_ml < limit, test.patients))
        print(f"ratio {ratio:g}, controls {controls}, draw {draw}: AUC {found[-1][0]:.3f}", flush=True)
    return np.stack(found)


def _shortcut(settings: Settings, train: Pairs, test: Pairs, made: Pairs) -> tuple[float, float, float]:
    """AUC of real against synthetic on scans that the net was not trained with."""
    held = min(len(test), len(made) // 2)
    real, own = fidelity_window(train.images), fidelity_window(made.images)
    values = []
    for seed in range(settings.seeds):
        net = trained_classifier(settings, [(1.0, real)], [(1.0, own[held:])], seed=100 + seed)
        names = (*test.patients, *made.patients[:held])
        together = np.concatenate([scores(net, fidelity_window(test.images)), scores(net, own[:held])])
        values.append(_patient_aucs(together, np.arange(len(names)) >= len(test), names))
    return _interval(np.stack(values))


def _patient_aucs(values: np.ndarray, positive: np.ndarray, patients: tuple[str, ...]) -> np.ndarray:
    """AUC of the scans as they are, then of patients drawn with repetition, the same draws for every net."""
    names = np.asarray(patients)
    scans = [np.flatnonzero(names == name) for name in sorted(set(patients))]
    rng = np.random.default_rng(11)
    found = [auc(values[~positive], values[positive])]
    for _ in range(_RESAMPLES):
        pick = np.concatenate([scans[i] for i in rng.integers(0, len(scans), len(scans))])
        found.append(auc(values[pick][~positive[pick]], values[pick][positive[pick]]))
    return np.array(found)


def _interval(by_draw: np.ndarray) -> tuple[float, float, float]:
    """Mean over draws, and the 95% interval where draws AND patients are resampled."""
    rng, draws = np.random.default_rng(5), len(by_draw)
    means = [np.mean([by_draw[d, i] for d in rng.integers(0, draws, draws)]) for i in range(1, by_draw.shape[1])]
    low, high = np.nanquantile(means, [0.025, 0.975])
    return float(by_draw[:, 0].mean()), float(low), float(high)


def _shown(interval: tuple[float, float, float], sign: str = "") -> str:
    middle, low, high = (f"{value:{sign}.3f}" for value in interval)
    return f"{middle} [{low}, {high}]"
