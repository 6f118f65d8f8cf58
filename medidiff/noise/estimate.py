"""How noisy is this scan: level, kind, correlation and place, from the scan alone, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from medidiff.errors import NoiseError, NoNoiseError
from medidiff.noise.background import background_of, variance_of_magnitude
from medidiff.noise.kind import Judged, confirm, judge_kind, magnitude_limit
from medidiff.noise.level import FlatLimit, flat_limit
from medidiff.noise.level_map import Field, fit_field
from medidiff.noise.patches import FEWEST_PATCHES, MOST_PATCHES, Patches, gather_patches, spectra
from medidiff.noise.rounding import rounding_step

Kind = Literal["gaussian", "rician", "chi"]

_CLEAN = 1e-5  # of the range of the cubes: below it is the arithmetic of the file, not noise
# Systematic error of ln(level). With these, intervals of 95% held the truth in 100% (white), 98% (correlated), 97% (1x
# to 3x, white or not) and 100% (Rician) of 60, 60, 120 and 42 estimates: phantoms of seeds 5000 on, 56^3, 2 to 15%.
_FLOOR_WHITE, _FLOOR_COLOURED, _FLOOR_MAGNITUDE, _FLOOR_MAP = 0.015, 0.045, 0.01, 0.04
# Background of at least this share of the cubes tells the level to 0.1% (three levels of val phantom 900000, 57% of the
# cubes), and 0.9% too high at 1% noise; of 7 to 22% it came out up to 9% too high, for dim tissue is taken with it.
_PLENTY, _CONTRADICTS, _FLOOR_BACKGROUND = 0.4, 0.1, 0.007
_SAMPLING = 2.0  # coefficients of overlapping cubes are not independent
_ANATOMY = 0.3  # of the power that was taken off as anatomy may be wrong
_TRUSTED = 0.25  # half of the interval, relative to the level
_MOSTLY_ANATOMY = 0.5  # anatomy over noise in the flattest cubes
_BLURRED_EVERYWHERE = 0.4  # voxels: kernels as wide along all axes leave no direction in which noise shows alone
_SETTLED = 0.03
# Cubes that tell the correlation as well as all do: on 72 phantoms (seeds 70000 on, 56^3, 3, 9 and 15%) white noise is
# told as white in all, kernels of 0.45, 0.6 and 0.8 voxels within 0.015, 0.008 and 0.008 in the mean, with all of them
# 0.015, 0.007 and 0.007; in 20 ms for 67.
_PATCHES_TOLD = 6_000
_COARSE = 2.5  # levels in a rounding step: with more, rounding hides most of the noise


@dataclass(frozen=True)
class NoiseEstimate:
    """An estimated noise level.

    Args:
        level: Standard deviation in a voxel, in the scan's unit (Rician, chi: of each of the two parts); where it
            differs across the scan, the median.
        kind: "gaussian", "rician" or "chi".
        reason: Why that kind, one sentence.
        white: Whether neighbouring noise is uncorrelated.
        warnings: What to know before trusting it.
        figures: Kernel widths, cubes used, anatomy left in them.
        interval: 95% interval of the level; nan where it is not known.
        level_map: Level voxel by voxel (x, y, z), float32, where it differs across the scan, else None.
        correlation: Of the noise one and two voxels apart along each axis (x1, x2, y1, y2, z1, z2); 0 for white noise.
        coils: Coils whose squares were added up: 1 for Rician, more for chi.
        trusted: Whether the estimate may be used without a second look; the warnings say why not.
    """

    level: float
    kind: Kind
    reason: str
    white: bool
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, float | list[float]] = field(default_factory=dict)
    interval: tuple[float, float] = (float("nan"), float("nan"))
    level_map: np.ndarray | None = None
    correlation: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    coils: int = 1
    trusted: bool = True


def estimate_noise(
    scan: Float[np.ndarray, "x y z"],
    kind: Literal["auto", "gaussian", "rician", "chi"] = "auto",
    where: Bool[np.ndarray, "x y z"] | None = None,
    coils: int | None = None,
    *,
    told: bool = False,
) -> NoiseEstimate:
    """Estimate the noise of a scan from the scan alone; background is used where there is some, and not needed.

    Cubes of 4 x 4 x 4 voxels are ordered by how flat they are, judged by their low cosine coefficients; the high ones,
    which know nothing of that choice, hold the noise (`level.py`). A kernel fitted to their power tells the noise of a
    voxel where neighbours are correlated (`correlation.py`), magnitudes are told from their background or from the
    negative values that are missing (`kind.py`), and a smooth field shows where the level differs (`level_map.py`).

    Args:
        scan: The noisy scan, at least 4 voxels along each axis.
        kind: Kind of noise; auto decides.
        where: True for the voxels to judge by; None: all.
        coils: Coils of chi noise, where it is known.
        told: Somebody told the level, so that only the correlation counts: fewer cubes are looked at, and not whether
            the level differs across the scan, in a third of the time.

    Raises:
        NoNoiseError: The scan has no noise that can be measured (rounded away, or free of noise).
        NoiseError: The scan is too small, or too little of it is left.
    """
    data = np.asarray(scan, dtype=np.float32)
    patches = gather_patches(data, where, _PATCHES_TOLD if told else MOST_PATCHES)
    if told and len(patches.mean) < FEWEST_PATCHES * patches.overlap:  # of a small part of a large scan
        patches = gather_patches(data, where)
    if len(patches.mean) < FEWEST_PATCHES * patches.overlap:
        independent = round(len(patches.mean) / patches.overlap)
        raise NoiseError(
            "too few voxels outside the blank background to estimate the noise: "
            f"{independent} cubes of 4 x 4 x 4, {FEWEST_PATCHES} are needed. Give --noise-std."
        )
    power = spectra(patches.values)
    judged = _judge(patches, power, kind, coils)
    limit = judged.limit
    if limit is None or not limit.noise.level > _CLEAN * float(np.ptp(patches.mean)):
        raise NoNoiseError(
            "no noise can be measured in this scan (it is rounded away, or there is none). Give --noise-std."
        )
    found = _Found(judged, limit, None)
    if not told:
        found = _with_place(found, patches, power, data.shape)
    return _report(found, patches, data, told)


class _Found(NamedTuple):
    judged: Judged
    limit: FlatLimit
    place: Field | None


def _judge(patches: Patches, power: np.ndarray, kind: str, coils: int | None) -> Judged:
    if kind == "auto" and (coils or 1) > 1:
        kind = "chi"
    if kind == "auto":
        return judge_kind(patches, power)
    limit = flat_limit(power, patches.overlap)
    if kind == "gaussian" or limit is None:
        return Judged(0, "asked for", limit)
    found = background_of(patches)
    if kind == "rician":
        coils = 1
    reason = "asked for" if coils or found.coils else "asked for; no background tells the coils, so 1 was taken"
    coils = coils or max(1, found.coils)
    confirmed = confirm(found, patches, power) if found.coils == coils else None
    if confirmed is not None:
        return Judged(coils, reason, confirmed, found.level, share=found.share)
    return Judged(coils, reason, magnitude_limit(patches, power, coils, limit.noise.level))


def _with_place(found: _Found, patches: Patches, power: np.ndarray, shape: tuple[int, ...]) -> _Found:
    """Where the level differs; then the rest once more, on cubes of one level."""
    coils, limit, place = found.judged.coils, found.limit, None
    local = np.ones(len(power), dtype=np.float32)
    for _ in range(3):
        one_variance = power
        if coils:
            variance = variance_of_magnitude(patches.mean / (limit.noise.level * local), coils)
            one_variance = power / variance[:, None].astype(np.float32)
        now = fit_field(patches, one_variance, limit, shape)
        if now is None or not now.significant(not any(limit.noise.correlation)):
            return found if place is None else found._replace(limit=limit, place=place)
        settled = place is not None and abs(now.span / place.span - 1) < _SETTLED
        place, local = now, now.at(patches.centre).astype(np.float32)
        limit = flat_limit(one_variance / np.square(local)[:, None], patches.overlap, limit.noise) or limit
        if settled:
            break
    return found._replace(limit=limit, place=place)


def _report(found: _Found, patches: Patches, data: np.ndarray, told: bool) -> NoiseEstimate:
    """What was found, with its interval and whether to believe it."""
    judged, limit, place = found
    noise, warnings = limit.noise, []
    level = _level_of(found)
    correlation = noise.correlation
    white = not any(correlation)
    half = 1.96 * _error(found, white)
    step = rounding_step(data)
    trusted = half < _TRUSTED
    if not trusted:
        warnings.append(f"the noise level is known to {100 * half:.0f}% only. Give --noise-std if you know better.")
    if limit.anatomy > _MOSTLY_ANATOMY:
        trusted = False
        warnings.append(
            f"no part of the scan is flat: even its flattest cubes hold {limit.anatomy:.1f} times as much anatomy as "
            "noise. Give --noise-std if you know better."
        )
    if min(noise.widths) > _BLURRED_EVERYWHERE:
        trusted = False
        warnings.append(
            "noise is correlated along all axes (a filtered or resampled scan), where it can hardly be told from fine "
            f"anatomy: the level {level:.4g} may be off by half. Give --noise-std if you know better."
        )
    if step > _COARSE * level:
        trusted = False
        warnings.append(f"the scan's values come in steps of {step:.4g}, coarser than its noise of {level:.4g}.")
    if np.isfinite(judged.background) and abs(np.log(judged.background / limit.noise.level)) > 0.1:
        warnings.append(f"background tells a level of {judged.background:.4g}, tissue {limit.noise.level:.4g}.")
    figures: dict[str, float | list[float]] = {
        "kernel_widths_voxels": list(noise.widths),
        "cubes": len(patches.mean) / patches.overlap,
        "anatomy_over_noise": limit.anatomy,
    }
    if not told:
        figures["span_of_levels"] = 1.0 if place is None else place.span
    kind: Kind = "gaussian" if judged.coils == 0 else "rician" if judged.coils == 1 else "chi"
    estimate = NoiseEstimate(level, kind, judged.reason, white, warnings, figures,
                             (level * float(np.exp(-half)), level * float(np.exp(half + judged.doubt))),
                             correlation=correlation, coils=max(1, judged.coils), trusted=trusted)  # fmt: skip
    if place is None:
        return estimate
    level_map = place.on_grid(data.shape)
    level_map *= np.float32(level)
    return replace(estimate, level_map=level_map)


def _tells_background(found: _Found) -> bool:
    """Whether background alone tells the level: much of the scan, and tissue does not contradict it."""
    judged = found.judged
    if found.place is not None or judged.share < _PLENTY:
        return False
    return abs(float(np.log(judged.background / found.limit.noise.level))) < _CONTRADICTS


def _level_of(found: _Found) -> float:
    """Tissue and background together where there are both: each is known to a few percent."""
    judged, limit, place = found
    if _tells_background(found):
        return judged.background
    if place is None and np.isfinite(judged.background):
        return float(np.sqrt(judged.background * limit.noise.level))
    return limit.noise.level


def _error(found: _Found, white: bool) -> float:
    """Standard error of ln(level)."""
    if _tells_background(found):
        return _FLOOR_BACKGROUND
    limit = found.limit
    parts = [_SAMPLING * limit.noise.error, _ANATOMY * limit.anatomy, _FLOOR_WHITE if white else _FLOOR_COLOURED]
    if found.judged.coils:
        parts.append(_FLOOR_MAGNITUDE)
    if found.place is not None:
        parts.append(_FLOOR_MAP)
    return float(np.sqrt(np.square(parts).sum()))


__all__ = ["Kind", "NoiseEstimate", "estimate_noise"]
