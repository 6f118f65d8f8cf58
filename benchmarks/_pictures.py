"""One picture a kind of noise: noisy, BM4D, medidiff and the reference, and under them what each removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks._cases import Case
from benchmarks._methods import Answer
from benchmarks._noise import Noisy, label
from benchmarks._scores import WINDOW_HU

SHOWN = {"gaussian": 9.0, "rician": 9.0, "correlated": 1.0, "varying": 4.0, "ct": 0.25}
_PREFERRED = ("ixi", "sarcoma_ct", "hippocampus", "head", "body", "procedural")
_METHODS = ("noisy", "bm4d", "bm4d informed", "medidiff known", "medidiff blind")
LUNG = "ct_lung"
"""The CT of a phantom once more, in a lung window: shown, not validated."""
_LUNG_HU = (-1100.0, -300.0)
_WIDTH = 216  # pixels of a panel
_TITLE = 14


class _Kept(NamedTuple):
    rank: int
    title: str
    panels: list[tuple[str, np.ndarray]]
    window: tuple[float, float] | None


class Gallery:
    """Keeps, for each kind, the middle slice of one case until they are drawn."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def offer(self, case: Case, noisy: Noisy, answers: Mapping[str, Answer]) -> None:
        """Take the case if it is the level shown and no better set was seen."""
        self._offer(noisy.kind, case, noisy, answers, WINDOW_HU if noisy.kind == "ct" else None)
        if noisy.kind == "ct" and case.set_name == "body":
            self._offer(LUNG, case, noisy, answers, _LUNG_HU)

    def _offer(
        self, name: str, case: Case, noisy: Noisy, answers: Mapping[str, Answer], window: tuple[float, float] | None
    ) -> None:
        rank = _PREFERRED.index(case.set_name) if case.set_name in _PREFERRED else len(_PREFERRED)
        if noisy.level != SHOWN[noisy.kind] or not any(m.startswith("medidiff") for m in answers):
            return
        if name in self._kept and self._kept[name].rank <= rank:
            return
        middle = case.clean.shape[2] // 2
        panels = [(m, answers[m].data[:, :, middle].T.copy()) for m in _METHODS if m in answers]
        panels.append(("reference", case.clean.data[:, :, middle].T.copy()))
        title = f"{case.name}, {noisy.kind} {label(noisy.kind, noisy.level)}"
        title += f", {window[0]:g} to {window[1]:g} HU" if window else ""
        self._kept[name] = _Kept(rank, title, panels, window)

    def write(self, stem: Path) -> list[Path]:
        """STEM_KIND.png for each kind, and STEM_ct_lung.png."""
        paths = []
        for name, kept in self._kept.items():
            path = stem.with_name(f"{stem.name}_{name}.png")
            Image.fromarray(draw(kept.title, kept.panels, kept.window)).save(path, optimize=True)
            paths.append(path)
        return paths


def draw(title: str, panels: Sequence[tuple[str, np.ndarray]], window: tuple[float, float] | None = None) -> np.ndarray:
    """Two rows, grey, uint8: the slices in one window; noisy minus each, on one scale.

    Args:
        title: Over everything.
        panels: (name, slice (rows, columns)), the noisy one first, the reference last.
        window: Black and white; None: the reference's 0.5th and 99.5th percentile.
    """
    reference, noisy = panels[-1][1], panels[0][1]
    low, high = window or (float(v) for v in np.percentile(reference, (0.5, 99.5)))
    reach = max(float(np.std(noisy - reference)) * 3, 1e-9)
    upper = [panel(name, (s - low) / max(high - low, 1e-9)) for name, s in panels]
    lower = [panel(f"noisy - {name}", 0.5 + (noisy - s) / (2 * reach)) for name, s in panels[1:]]
    lower = [np.full_like(upper[0], 255), *lower]
    rows = [np.concatenate(row, axis=1) for row in (upper, lower)]
    return np.concatenate([line(title, rows[0].shape[1]), *rows])


def panel(name: str, values: np.ndarray, width: int = _WIDTH) -> np.ndarray:
    """A slice in 0 to 1, enlarged by whole pixels up to `width` of them, with its name over it."""
    image = Image.fromarray((np.clip(values[::-1], 0, 1) * 255).astype(np.uint8))
    times = max(1, width // max(image.size))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    pixels = np.pad(np.asarray(image), ((0, 2), (0, 2)), constant_values=255)
    return np.concatenate([line(name, pixels.shape[1]), pixels])


def line(text: str, width: int) -> np.ndarray:
    """One line of text, black on white."""
    canvas = Image.new("L", (width, _TITLE), 255)
    ImageDraw.Draw(canvas).text((2, 1), text, fill=0, font=ImageFont.load_default(10))
    return np.asarray(canvas)
