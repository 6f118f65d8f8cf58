"""The lesion benchmark's tables and pictures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._cases import Case
from benchmarks._lesions import APART, BINS, CONTRASTS, SIZES, Planted, with_lesions
from benchmarks._noise import PHANTOMS, Noisy
from benchmarks._pictures import draw, line, panel
from medidiff.evaluate import paired_t

OURS, THEIRS, BLIND = "medidiff known", "bm4d", "medidiff blind"
MOST_LOSS = 0.02
ENOUGH = 200
_CELL, _GAP = 6, 1  # enlargement of the mean lesions; voxels between them


def bins(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean recovery a bin, and the difference with its interval over patients and phantoms.

    Args:
        rows: One a lesion: "case", "turn", "size", "contrast", and the recovery under each method's name.
    """
    found = []
    for size, contrast in BINS:
        here = [r for r in rows if (r["size"], r["contrast"]) == (size, contrast)]
        if not here:
            continue
        means = {m: float(np.mean([r[m] for r in here])) for m in ("noisy", THEIRS, OURS, BLIND) if m in here[0]}
        cases = sorted({r["case"] for r in here})
        ours, theirs = ([float(np.mean([r[m] for r in here if r["case"] == c])) for c in cases] for m in (OURS, THEIRS))
        interval = paired_t(ours, theirs) if len(cases) > 1 else None
        found.append(
            {
                "size": size,
                "contrast": contrast,
                "n": len(here),
                "means": means,
                "difference": means[OURS] - means[THEIRS],
                "interval": [interval.low, interval.high] if interval else None,
                "holds": bool(means[OURS] >= means[THEIRS] - MOST_LOSS),
            }
        )
    return found


def to_markdown(rows: list[dict[str, Any]], command: str, prior: str, percent: float, missing: int = 0) -> str:
    """One row a bin, then one a set of scans."""
    blind = BLIND in rows[0]
    found = bins(rows)
    lines = [
        "# Small lesions",
        "",
        f"`python -m benchmarks.lesions {command}`, {time.strftime('%Y-%m-%d')}, prior `{prior}`. Balls put into "
        f"{len({r['case'] for r in rows})} references before {percent:g}% white Gaussian noise of known level, "
        f"{len(rows)} lesions in {len({(r['case'], r['turn'], r['twin']) for r in rows})} noisy scans, {APART} voxels "
        "apart, each once bright and once dark under the same noise. Recovery: contrast found over contrast put in, by "
        "regression on the lesion's shape against the known scan without lesions; 1 is all of it, and no denoising at "
        "all has 1. The interval of the difference is over patients and phantoms.",
        "",
        f"{sum(b['holds'] and b['n'] >= ENOUGH for b in found)} of {len(BINS)} bins hold: medidiff known at least "
        f"bm4d - {MOST_LOSS}, with {ENOUGH} lesions or more.",
        "",
        f"| across, voxels | contrast / noise | n | bm4d | medidiff known | {'medidiff blind | ' if blind else ''}"
        "known - bm4d [95%] | |",
        "|---|---|---|---|---|---|---|" + ("---|" if blind else ""),
    ]
    for b in found:
        verdict = ("HOLDS" if b["holds"] else "SHORT") + ("" if b["n"] >= ENOUGH else f" (fewer than {ENOUGH})")
        interval = " [{:+.3f}, {:+.3f}]".format(*b["interval"]) if b["interval"] else ""
        means = " | ".join(f"{b['means'][m]:.3f}" for m in (THEIRS, OURS, *([BLIND] if blind else [])))
        lines.append(
            f"| {b['size']} | {b['contrast']:g} | {b['n']} | {means} | {b['difference']:+.3f}{interval} | {verdict} |"
        )
    lines += ["", "The same by where they lie, known - bm4d (medidiff known), all sizes:", ""]
    lines += [
        "| | n | " + " | ".join(f"contrast {c:g}" for c in CONTRASTS) + " |",
        "|---|---|" + "---|" * len(CONTRASTS),
    ]
    for name in dict.fromkeys(r["set"] for r in rows):
        here = [r for r in rows if r["set"] == name]
        cells = [_cell([r for r in here if r["contrast"] == c]) for c in CONTRASTS]
        lines.append(f"| {name} ({'noise-free' if name in PHANTOMS else 'real'}) | {len(here)} | {' | '.join(cells)} |")
    if missing:
        lines += ["", f"**{missing} noisy scans were left out: their bm4d was not computed in time.**"]
    return "\n".join(lines) + "\n"


def _cell(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    ours, theirs = (float(np.mean([r[m] for r in rows])) for m in (OURS, THEIRS))
    return f"{ours - theirs:+.3f} ({ours:.3f})"


class Pictures:
    """A slice through one scan with its lesions, and the mean lesion of every bin."""

    def __init__(self, set_name: str, percent: float) -> None:
        self._set_name, self._percent = set_name, percent
        self._slice: list[tuple[str, np.ndarray]] = []
        self._sums: dict[str, dict[tuple[int, float], np.ndarray]] = {}
        self._counts = dict.fromkeys(BINS, 0)

    def take(self, case: Case, planted: list[Planted], noisy: Noisy, outputs: dict[str, np.ndarray]) -> None:
        """One scan: what was put in, and what every method made of it."""
        truth = with_lesions(case, planted, self._percent).data
        for lesion in planted:
            at = (lesion.size, lesion.contrast)
            self._counts[at] += 1
            for name, data in {"put in": truth, **outputs}.items():
                change = (data[lesion.box] - case.clean.data[lesion.box]) * (lesion.sign / noisy.std)
                sums = self._sums.setdefault(name, {b: np.zeros((APART,) * 3) for b in BINS})
                sums[at] += change
        if not self._slice and case.set_name == self._set_name:
            middle = APART // 2  # of the first layer of lesions
            panels = {"noisy": noisy.volume.data, **outputs, "reference": truth}
            self._slice = [(name, data[:, :, middle].T.copy()) for name, data in panels.items()]

    def write(self, stem: Path) -> None:
        """STEM.png and STEM_mean.png."""
        if self._slice:
            title = f"lesions {SIZES[0]} to {SIZES[-1]} voxels across, contrast 1 to 3 times the noise of "
            Image.fromarray(draw(f"{title}{self._percent:g}%", self._slice)).save(stem.with_suffix(".png"))
        Image.fromarray(self.means()).save(stem.with_name(f"{stem.name}_mean.png"))

    def means(self) -> np.ndarray:
        """Grey, uint8: for each method the middle slice of the mean lesion, sizes across, contrasts down."""
        columns = []
        for name, sums in self._sums.items():
            rows = []
            for contrast in CONTRASTS:
                cells = []
                for size in SIZES:
                    mean = sums[size, contrast] / max(self._counts[size, contrast], 1)
                    shown = mean[:, :, APART // 2 - 1 : APART // 2 + 1].mean(axis=2)  # the centre lies between the two
                    cells.append(np.pad(shown, _GAP, constant_values=-0.5))
                rows.append(np.concatenate(cells, axis=0))
            picture = np.concatenate(rows[::-1], axis=1)  # contrast 1 on top: drawn upside down
            columns.append(panel(name, (picture.T + 0.5) / (max(CONTRASTS) + 0.5), _CELL * max(picture.shape)))
        strip = np.concatenate(columns, axis=1)
        title = "mean lesion in units of the noise, dark ones turned over: 3, 4, 5, 6 voxels across; contrast 1, 2, 3"
        return np.concatenate([line(title, strip.shape[1]), strip])
