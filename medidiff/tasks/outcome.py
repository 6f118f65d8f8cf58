"""A denoised scan, or one that is clean already, as a Result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from medidiff.diffusion.strength import blend, distortion
from medidiff.prior import Card
from medidiff.prior.calibration import interval_factor, noise_kind
from medidiff.result import Result
from medidiff.tasks.clean import Clean
from medidiff.tasks.gaps import Gaps
from medidiff.tasks.grids import keep_outside
from medidiff.tasks.observation import Observation
from medidiff.tasks.residual import check_residual
from medidiff.tasks.safeguards import UNCHANGED, residual_warnings, status_of, unseen_warnings
from medidiff.tasks.session import Session
from medidiff.tasks.unseen import unseen
from medidiff.volume import Volume

_FOREGROUND = -0.9  # normalised: 5% of the intensity range above its lower end


def denoised(
    volume: Volume,
    session: Session,
    clean: Clean,
    gaps: Gaps,
    region: np.ndarray | None,
    drawn: Sequence[np.ndarray],
    samples: int,
    strength: float,
) -> Result:
    """The volumes, figures, status and warnings of a denoised scan; what it cost is left to the caller.

    Args:
        volume: The scan.
        session: Prior at work.
        clean: Its estimate.
        gaps: Slices that were not measured.
        region: Voxels to denoise; None: all.
        drawn: Posterior samples, normalised.
        samples: How many of them are wanted.
        strength: How much of the first one goes into the output.
    """
    seen = clean.seen
    inside = _both(region, None if volume.unmeasured is None else ~volume.unmeasured)
    measured = _both(None if volume.unmeasured is None else ~volume.unmeasured, _measured(gaps))
    output = keep_outside(volume, seen.to_scan(_blended(clean.mean, drawn, strength)), inside)
    std = seen.std_to_scan(clean.mean, clean.std)
    if strength:
        std *= np.float32(distortion(strength) ** 0.5)
    if region is not None:
        std = np.where(region, std, seen.level_map())  # the scan's own noise is what it errs by
    noise_map, residual = seen.level_map(), volume.data
    if measured is not None:  # what slices that were not measured hold may be anything
        noise_map = np.where(measured, noise_map, np.float32(np.inf))
        residual = np.where(measured, residual, 0)
    residual = residual.astype(np.float32)
    np.subtract(residual, output.data, out=residual, where=True if measured is None else measured)
    not_seen = unseen(session.card, volume, seen.sigma)
    figures = {**seen.figures, **_figures(residual, noise_map, std, _both(region, measured))}
    looked_at = _both(_both(seen.where, _measured(gaps)), clean.mean > _FOREGROUND)
    check = check_residual(seen.y, clean.mean, clean.std, seen.sigma, seen.noise.correlation, looked_at)  # type: ignore[arg-type]
    figures |= {"residual_energy": check.energy, "residual_at_edges": check.at_edges, "residual_alike": check.alike}
    factor = _interval_factor(session.card, volume, seen)
    if factor is not None and not not_seen and not strength:
        figures["interval_90_factor"] = factor
    if strength:
        figures["error_factor"] = distortion(strength)
    if gaps.missing:
        figures["generated_slices"] = list(gaps.missing)
    return Result(
        task="denoise",
        status=status_of(not_seen),
        output=output,
        residual=volume.with_data(residual),
        noise_map=volume.with_data(noise_map),
        uncertainty=volume.with_data(std),
        samples=[keep_outside(volume, seen.to_scan(x), inside) for x in drawn[:samples]],
        warnings=[
            *seen.warnings,
            *unseen_warnings(session.card.name, not_seen),
            *residual_warnings(check, float(np.median(seen.sigma)), coloured=seen.noise.coloured),
            *gaps.warnings(samples),
        ],
        figures=figures,
    )


def unchanged(volume: Volume, seen: Observation | None, samples: int) -> Result:
    """The scan as it is: what noise it has is not worth removing.

    Args:
        volume: The scan.
        seen: What was found out about its noise; None: that none can be measured.
        samples: Posterior samples that were wanted: they are the scan too.
    """
    level = 0.0 if seen is None else seen.noise.typical
    figures: dict[str, Any] = {"noise_std": 0.0, "noise_kind": "none"} if seen is None else seen.figures
    constant = volume.with_data(np.broadcast_to(np.float32(level), volume.shape))
    same = volume.with_data(volume.data.astype(np.float32, copy=False))
    return Result(
        task="denoise",
        status=UNCHANGED,
        output=same,
        residual=volume.with_data(np.broadcast_to(np.float32(0), volume.shape)),
        noise_map=constant,
        uncertainty=constant,
        samples=[same] * samples,
        warnings=[] if seen is None else list(seen.warnings),
        figures=figures,
    )


def _figures(residual: np.ndarray, noise_map: np.ndarray, std: np.ndarray, region: np.ndarray | None) -> dict[str, Any]:
    # About 1 where everything removed was noise: less on scans with much detail, more where anatomy went with it.
    ratio = residual / noise_map
    if region is not None:
        region = np.broadcast_to(region, ratio.shape)
        ratio, std = ratio[region], std[region]
    return {"residual_over_noise": float(ratio.std()), "uncertainty_median": float(np.median(std))}


def _interval_factor(card: Card, volume: Volume, seen: Observation) -> float | None:
    """q of the 90% interval output +- q uncertainty, where the prior's card has one for this noise."""
    noise = seen.noise
    varying = isinstance(noise.level, np.ndarray)
    kind = noise_kind(noise.kind, correlated=noise.coloured, varying=varying, ct=volume.modality == "CT")
    return interval_factor(card, kind)


def _blended(mean: np.ndarray, drawn: Sequence[np.ndarray], strength: float) -> np.ndarray:
    return blend(torch.from_numpy(mean), torch.from_numpy(drawn[0]), strength).numpy() if strength else mean


def _measured(gaps: Gaps) -> np.ndarray | None:
    return ~gaps.is_missing() if gaps.missing else None


def _both(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return b if a is None else a if b is None else a & b


__all__ = ["denoised", "unchanged"]
