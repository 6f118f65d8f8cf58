"""What the issue demands of the denoiser, computed from the figures: HOLDS or SHORT."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks._noise import KINDS, label
from benchmarks._scores import UNIFORM, pooled_bias
from benchmarks._summary import BLIND, BLIND_PEERS, GROUPS, KNOWN, Rows, difference, select, unique, worst_peer
from medidiff.evaluate import Interval

GAIN_DB, NOT_BELOW_DB, BLIND_GAIN_DB, BLIND_LOSS_DB = 0.3, -0.1, 2.0, 0.3
LEVEL_WITHIN, LEVEL_SHARE = 0.10, 0.90
MOST_BIAS_HU = 1.0
HIGH_LEVELS = (9.0, 15.0)


class Target(NamedTuple):
    """One demand, what was measured, and whether it holds."""

    what: str
    measured: str
    holds: bool

    @property
    def verdict(self) -> str:
        return "HOLDS" if self.holds else "SHORT"


def targets(rows: Rows) -> list[Target]:
    """Every demand that these rows can answer."""
    found: list[Target] = []
    for kind in [k for k in KINDS if k in unique(rows, "kind")]:
        of_kind = select(rows, kind=kind)
        for level in unique(of_kind, "level"):
            for group in GROUPS:
                here = select(of_kind, group, level=level)
                if not here:
                    continue
                where = f"{kind} {label(kind, level)}, {group}"
                if kind in ("gaussian", "rician"):
                    found += _known(here, where, group, level)
                elif kind == "ct":
                    found += _ct(here, where)
                else:
                    found += _shaped(here, where)
                found += _blind(here, where, group)
    return found


def _known(rows: Rows, where: str, group: str, level: float) -> list[Target]:
    pair = difference(rows, KNOWN, "bm4d")
    if pair is None:
        return []
    if group == "noise-free":
        what = f"{where}: known - bm4d at least +{GAIN_DB} dB, interval above 0"
        return [Target(what, _told(pair), pair[1].mean >= GAIN_DB and pair[1].low > 0)]
    bound = GAIN_DB if level in HIGH_LEVELS else NOT_BELOW_DB
    return [Target(f"{where}: known - bm4d at least {bound:+} dB", _told(pair), pair[1].mean >= bound)]


def _shaped(rows: Rows, where: str) -> list[Target]:
    found = []
    worst = worst_peer(rows, BLIND, BLIND_PEERS)
    if worst is not None:
        text = f"{_told(worst[1:])} to {worst[0]}"
        what = f"{where}: blind - best blind peer at least +{BLIND_GAIN_DB:g} dB"
        found.append(Target(what, text, worst[2].mean >= BLIND_GAIN_DB))
    pair = difference(rows, KNOWN, "bm4d informed")
    if pair is not None:
        found.append(Target(f"{where}: known - bm4d informed at least 0 dB", _told(pair), pair[1].mean >= 0))
    return found


def _blind(rows: Rows, where: str, group: str) -> list[Target]:
    found = []
    pair = difference(rows, BLIND, KNOWN)
    if pair is not None and group == "noise-free":
        what = f"{where}: blind - known at least -{BLIND_LOSS_DB} dB"
        found.append(Target(what, _told(pair), pair[1].mean >= -BLIND_LOSS_DB))
    ratios = np.array([r["level_ratio"] for r in rows if r["method"] == BLIND and "level_ratio" in r])
    if len(ratios):
        share = float(np.mean(np.abs(ratios - 1) <= LEVEL_WITHIN))
        against = "" if group == "noise-free" else " of sqrt(added^2 + own^2)"
        what = f"{where}: level within {LEVEL_WITHIN:.0%}{against} in {LEVEL_SHARE:.0%} of cases"
        text = f"{share:.0%} of {len(ratios)}; ratio {ratios.min():.2f} to {ratios.max():.2f}"
        found.append(Target(what, text, share >= LEVEL_SHARE))
    return found


def _ct(rows: Rows, where: str) -> list[Target]:
    found = []
    for method, peers in ((KNOWN, (*BLIND_PEERS, "bm4d informed")), (BLIND, BLIND_PEERS)):
        worst = worst_peer(rows, method, peers, "psnr_window")
        if worst is not None:
            what = f"{where}: {method} better than every peer in the soft-tissue window"
            found.append(Target(what, f"{_told(worst[1:])} to {worst[0]}", worst[2].mean > 0))
        biases = {t: pooled_bias([r for r in rows if r["method"] == method], t) for t in UNIFORM}
        known = {t: b for t, b in biases.items() if b is not None}
        if known:
            what = f"{where}: {method}, bias in uniform fat and soft tissue at most {MOST_BIAS_HU:g} HU"
            text = ", ".join(f"{t} {mean:+.2f} (in one case {largest:+.2f})" for t, (mean, largest) in known.items())
            found.append(Target(what, f"{text} HU", all(abs(mean) <= MOST_BIAS_HU for mean, _ in known.values())))
    return found


def _told(pair: tuple[int, Interval]) -> str:
    return f"{pair[1]} dB, n = {pair[0]}"
