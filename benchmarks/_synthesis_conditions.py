"""Is the volume that was asked for the volume that is there: by the sampled label map, and by a net trained on real."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._synthesis_data import Pairs, real_pairs
from benchmarks._synthesis_samples import our_pairs
from benchmarks._synthesis_segmentation_net import segment, trained_net
from benchmarks._synthesis_settings import Settings
from medidiff.errors import UsageError

CORRELATION, BIAS, MEDIAN = 0.9, 0.03, 0.05
_RESAMPLES = 2000
_BY_MASK, _BY_NET = "label map of the sample", "net trained on real, of the image"


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Compare requested with measured volumes."""
    settings = settings or Settings()
    train = real_pairs(settings.store, "train")
    made = our_pairs(settings, settings.prior, settings.count).pairs
    kept = our_pairs(settings, settings.prior, settings.count, checked=True)
    if np.isnan(made.requested_ml).any():
        raise UsageError(f"--prior {settings.prior}: has no condition volume_ml: nothing was asked for.")
    net, _ = trained_net(settings, [train], 0)
    limit = float(np.quantile(train.volume_ml, 0.2))
    rows = [
        {"by": name + what, "n": len(pairs)} | agreement(pairs.requested_ml, volume, limit)
        for pairs, what in ((made, ""), (kept.pairs, ", as `medidiff synth` keeps them"))
        for name, volume in ((_BY_MASK, pairs.volume_ml), (_BY_NET, _by_net(net, pairs)))
    ]
    test = real_pairs(settings.store, settings.test)  # what the net itself makes of real scans it has not seen
    rows.append(
        {"by": "the same net, of real test scans against their label maps", "n": len(test)}
        | agreement(test.volume_ml, _by_net(net, test), limit)
    )
    lines = [
        "| volume by | scans | correlation [95%] | bias [95%] | lowest fifth: median over what was asked |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        (r, r_low, r_high), (b, b_low, b_high) = row["correlation"], row["bias"]
        lines.append(
            f"| {row['by']} | {row['n']} | {r:.3f} [{r_low:.3f}, {r_high:.3f}] | "
            f"{b:+.1%} [{b_low:+.1%}, {b_high:+.1%}] | {row['low_median_ratio']:.3f} ({row['low_count']} scans) |"
        )
    lines += [
        "",
        f"Lowest fifth: below {limit:.2f} ml, the 20th percentile of the train scans. Judged are the samples that "
        f"`medidiff synth` keeps: it draws again where the label map is off by 10% ({kept.draws:.2f} draws a sample). "
        "That bounds the first measure of them; the second, by a net that had no part in it, it does not.",
    ]
    obeyed = [_obeys(row) for row in rows[:4]]
    lines += [f"As they are drawn: {'all demands hold' if all(obeyed[:2]) else 'not all demands hold'}."]
    told = {"draws": kept.draws, "holds_as_drawn": all(obeyed[:2])}
    return {"rows": rows, "limit_ml": limit, **told, "holds": all(obeyed[2:]), "lines": lines}


def _obeys(row: dict[str, Any]) -> bool:
    correlation, bias = row["correlation"][0], row["bias"][0]
    return correlation >= CORRELATION and abs(bias) < BIAS and abs(row["low_median_ratio"] - 1) <= MEDIAN


def agreement(asked: np.ndarray, measured: np.ndarray, limit: float, seed: int = 0) -> dict[str, Any]:
    """Correlation and mean relative bias with bootstrap intervals, and the median ratio among what was asked small.

    Args:
        asked: (n,) ml.
        measured: (n,) ml.
        limit: Small is below this, ml.
        seed: Of the bootstrap.
    """
    small = asked < limit
    picks = np.random.default_rng(seed).integers(0, len(asked), size=(_RESAMPLES, len(asked)))
    found: dict[str, Any] = {}
    for name, statistic in (("correlation", _correlation), ("bias", _bias)):
        drawn = [statistic(asked[pick], measured[pick]) for pick in picks]
        found[name] = (statistic(asked, measured), *np.nanquantile(drawn, [0.025, 0.975]).tolist())
    median = float(np.median(measured[small]) / np.median(asked[small])) if small.any() else float("nan")
    return found | {"low_median_ratio": median, "low_count": int(small.sum())}


def _by_net(net: Any, pairs: Pairs) -> np.ndarray:
    return (segment(net, pairs.images) > 0).sum(axis=(1, 2, 3)) / 1000


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def _bias(asked: np.ndarray, measured: np.ndarray) -> float:
    return float((measured - asked).mean() / asked.mean())
