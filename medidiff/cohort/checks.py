"""What keeps a scan out of a store: each check by itself, its kind in a word or two, its reason in a sentence."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medidiff.cohort.recipe import Recipe, Window
from medidiff.errors import GeometryError, InputError, MedidiffError
from medidiff.volume import Volume

FOREGROUND = -0.9
"""Voxels above this normalised value are foreground, as in `own_noise_level`."""

_LABELS = 8
_SAMPLE = 100_000
_FARTHEST = 100.0
_SATURATED = 0.5
_LOWEST_OF_CT = -200.0  # HU: air has -1000, and nearly every CT holds some
_NOISE_ALONE = 0.3  # white noise alone has 0.39: its percentiles lie 2.58 standard deviations from the middle
_KINDS = (
    ("4D", "4D"), ("NaN or infinite", "not finite"), ("every voxel", "constant"), ("constant", "constant"),
    ("2D image", "not a volume"), ("not a volume", "not a volume"),
)  # fmt: skip


class Unfit(InputError):  # noqa: N818
    """A scan that a check refuses; `kind` is the check in a word or two."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Rejection:
    """A scan that is not in the store.

    Attributes:
        source: What messages call it: nothing of a patient that the person did not type.
        kind: Which check, such as "duplicate".
        reason: Why, without the scan's name.
        failed: False for what was left out on purpose (no row in the table, a second copy of the same patient's scan).
        exit_code: Of the error.
    """

    source: str
    kind: str
    reason: str
    failed: bool = True
    exit_code: int = InputError.exit_code


def rejection_of(source: str, error: MedidiffError, *names: str) -> Rejection:
    """A foreseen error as a rejection.

    Args:
        source: The scan.
        error: What was raised while it was read or checked.
        names: What the error may call the scan; taken out of its text.
    """
    text = str(error)
    for known in filter(None, (*names, source)):
        text = text.removeprefix(f"{known}: ")
    if isinstance(error, Unfit):
        kind = error.kind
    elif isinstance(error, GeometryError):
        kind = "geometry"
    else:
        kind = next((kind for words, kind in _KINDS if words in text), "unreadable")
    return Rejection(source, kind, " ".join(text.split()), exit_code=error.exit_code)


def kinds_of(rejections: Sequence[Rejection]) -> str:
    """How many there are of each kind, for a sentence."""
    counts = Counter(one.kind for one in rejections)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none was found"


def rejected_table(rejections: Sequence[Rejection]) -> bytes:
    """Rejections as a tab-separated table."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["file", "kind", "reason", "failed"])
    writer.writerows([one.source, one.kind, one.reason, "yes" if one.failed else "no"] for one in rejections)
    return text.getvalue().encode()


def check_is_scan(volume: Volume) -> None:
    """Refuse what is no scan: not 3D, no place in space, not finite, constant, or a map of a few labels.

    Raises:
        InputError, GeometryError: Why not.
    """
    volume.check()
    values = label_values(volume.data)
    if values is not None:
        shown = ", ".join(f"{value:g}" for value in values)
        raise Unfit(
            "label map",
            f"holds only the values {shown}: a label map, not a scan. Leave such files out with --include, or name "
            "them with --masks.",
        )


def label_values(data: np.ndarray) -> np.ndarray | None:
    """The values of a map of a few labels; None for a scan."""
    step = max(1, data.size // _SAMPLE)
    if len(np.unique(data.reshape(-1)[::step])) > _LABELS:
        return None
    values = np.unique(data)
    return values if len(values) <= _LABELS else None


def check_modality(modality: str, recipe: Recipe) -> None:
    """Refuse a scan that is known to be no CT where values are taken as HU.

    Raises:
        Unfit: It is another modality.
    """
    if isinstance(recipe.intensity, Window) and modality not in ("", "CT"):
        raise Unfit(
            "intensity", f"is {modality}, and the recipe's intensity window is for CT. Prepare it into another store."
        )


def doubtful_units(volume: Volume, modality: str, recipe: Recipe) -> list[str]:
    """A warning where values that are taken as HU do not look like it, and nobody says that they are."""
    if not isinstance(recipe.intensity, Window) or modality:
        return []
    known = volume.data if volume.unmeasured is None else volume.data[~volume.unmeasured]
    if known.size == 0 or known.min() < _LOWEST_OF_CT:
        return []
    return [
        f"nobody says whether it is CT, and no value lies below {_LOWEST_OF_CT:g}, as air has in CT (-1000 HU). If it "
        "is, say so with --modality CT or in the table; else prepare it into a store with --intensity percentile"
    ]


def check_size(shape: tuple[int, ...], recipe: Recipe) -> None:
    """Refuse a scan that is too small to learn from.

    Args:
        shape: After preparation.
        recipe: Says how small.

    Raises:
        Unfit: An axis is shorter.
    """
    if min(shape) < recipe.smallest_axis:
        size = "x".join(map(str, shape))
        raise Unfit(
            "too small", f"{size} voxels after preparation, each axis must have {recipe.smallest_axis} or more."
        )


def check_noise(tau: float, recipe: Recipe) -> None:
    """Refuse a scan that holds nothing but noise.

    Args:
        tau: Measured on the full grid, normalised units.
        recipe: How it was normalised; in a window, noise may be as large as it likes.

    Raises:
        Unfit: It does.
    """
    if tau > _NOISE_ALONE and not isinstance(recipe.intensity, Window):
        raise Unfit("near-empty", f"holds nothing but noise: its level is {tau / 2:.0%} of the scan's range.")


def check_values(normalised: np.ndarray, foreground: float, recipe: Recipe) -> None:
    """Refuse values that the normalisation cannot make sense of, and scans with almost nothing in them.

    Args:
        normalised: Values before clipping.
        foreground: Share of voxels above `FOREGROUND`.
        recipe: How they were normalised, and how little is too little.

    Raises:
        Unfit: Outliers far outside the range, nearly everything above the window, or nearly everything background.
    """
    farthest = float(np.abs(normalised).max())
    if isinstance(recipe.intensity, Window):
        above = float((normalised > 1).mean())
        if above > _SATURATED:
            raise Unfit(
                "intensity",
                f"{above:.0%} of the voxels lie above the window's {recipe.intensity.high:g}: is it CT in HU?",
            )
    elif farthest > _FARTHEST:
        raise Unfit(
            "intensity",
            f"a voxel lies {farthest:.0f} times the scan's range away from its middle: a damaged voxel, or an object "
            "too small for percentiles. Clip the scan first.",
        )
    if foreground < recipe.least_foreground:
        raise Unfit(
            "near-empty",
            f"{foreground:.2%} of the voxels are above the background, at least {recipe.least_foreground:.2%} must be.",
        )
