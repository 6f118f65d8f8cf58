"""How well a method denoised one scan, and by how much one method is better than another over patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from medidiff.evaluate.fidelity import foreground_mask, psnr, ssim3d
from medidiff.evaluate.intervals import Interval, paired_t

NOISY = "noisy"
"""The method that does nothing: the noisy scan itself is scored beside the results."""
_SSIM_LEAST = 11
_FINE, _COARSE = 1.0, 3.0  # voxels: detail lies between; below the first a reference holds its own noise too
_BOTH_SIDES = 3
"""Voxels round the foreground: on one side of an edge alone, smoothing may correlate negatively with the detail."""
METRICS = {
    "psnr_db": "PSNR dB",
    "foreground_psnr_db": "PSNR dB, foreground",
    "ssim": "SSIM 3D",
    "bias_percent": "bias, % of range",
    "residual_structure": "anatomy in residual",
    "residual_correlation": "residual neighbours",
}


@dataclass(frozen=True)
class Score:
    """What one method made of one scan.

    Args:
        psnr_db: Over all voxels; the range is the clean scan's 0.5th to 99.5th percentile.
        foreground_psnr_db: Over the voxels that hold the patient.
        ssim: 3D, over all voxels; nan where an axis has fewer than 11 voxels.
        bias: Mean of result minus clean in the foreground, in the scan's unit.
        bias_percent: The same in percent of the range.
        residual_structure: Correlation, in and closely round the foreground, of what was removed (noisy minus result)
            with the clean scan's detail: 0 where noise alone was removed, positive where anatomy was removed too. nan
            of the noisy scan, from which nothing was removed.
        residual_correlation: Correlation of neighbouring voxels of what was removed, mean over the axes; of the noisy
            scan, that of the noise itself, which it should equal.
    """

    psnr_db: float
    foreground_psnr_db: float
    ssim: float
    bias: float
    bias_percent: float
    residual_structure: float
    residual_correlation: float

    def to_dict(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def data_range(clean: np.ndarray) -> float:
    """99.5th minus 0.5th percentile of the clean scan: the peak of PSNR and SSIM, and 100% of a noise level."""
    low, high = np.percentile(clean, [0.5, 99.5])
    return float(high - low)


def score_scan(
    clean: np.ndarray, noisy: np.ndarray, results: Mapping[str, np.ndarray], modality: str = "mr"
) -> dict[str, Score]:
    """Score the noisy scan (as the method "noisy") and each result against the clean scan.

    Args:
        clean: Reference (x, y, z).
        noisy: The same with noise.
        results: By method.
        modality: "mr" or "ct": what the foreground is, see `foreground_mask`.

    Raises:
        InputError: Shapes differ, a value is not finite, or there is no foreground.
        UsageError: The clean scan is constant.
    """
    span, inside = data_range(clean), foreground_mask(clean, modality)
    detail = gaussian_filter(clean, _FINE) - gaussian_filter(clean, _COARSE)
    around = np.asarray(binary_dilation(inside, iterations=_BOTH_SIDES), dtype=bool)
    scores = {}
    for method, image in {NOISY: noisy, **results}.items():
        removed = (noisy - clean) if method == NOISY else (noisy - image)
        bias = float(np.mean(image[inside], dtype=np.float64) - np.mean(clean[inside], dtype=np.float64))
        scores[method] = Score(
            psnr_db=psnr(clean, image, span),
            foreground_psnr_db=psnr(clean, image, span, inside),
            ssim=ssim3d(clean, image, span) if min(clean.shape) >= _SSIM_LEAST else math.nan,
            bias=bias,
            bias_percent=100 * bias / span,
            residual_structure=math.nan if method == NOISY else _correlation(removed[around], detail[around]),
            residual_correlation=neighbour_correlation(removed, inside),
        )
    return scores


def neighbour_correlation(values: np.ndarray, inside: np.ndarray) -> float:
    """Correlation of voxels with their next neighbour, both inside, mean over the three axes; nan where constant."""
    per_axis = []
    for axis in range(3):
        first = [slice(None)] * 3
        second = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        both = inside[tuple(first)] & inside[tuple(second)]
        per_axis.append(_correlation(values[tuple(first)][both], values[tuple(second)][both]))
    return float(np.mean(per_axis))


def by_patient(scores: Sequence[tuple[str, Mapping[str, Score]]], method: str, metric: str) -> dict[str, float]:
    """A patient's mean of a metric.

    Args:
        scores: (patient, score by method), one a scan.
        method: Whose.
        metric: A field of `Score`.
    """
    values: dict[str, list[float]] = {}
    for patient, methods in scores:
        values.setdefault(patient, []).append(getattr(methods[method], metric))
    return {patient: float(np.mean(several)) for patient, several in values.items()}


def compare(
    scores: Sequence[tuple[str, Mapping[str, Score]]], method: str, against: str, metric: str
) -> Interval | None:
    """Mean of `method` minus `against` over patients with its 95% interval; None where a value is not finite.

    Scans of one patient are averaged first: they are not independent.
    """
    a, b = by_patient(scores, method, metric), by_patient(scores, against, metric)
    if not all(map(math.isfinite, [*a.values(), *b.values()])):
        return None
    return paired_t(list(a.values()), list(b.values()))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; nan where one of them is constant."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if a.size < 2:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


__all__ = ["METRICS", "NOISY", "Score", "by_patient", "compare", "data_range", "neighbour_correlation", "score_scan"]
