"""The figures of one output against the reference; of CT in Hounsfield units as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks._cases import Case
from benchmarks._methods import Answer
from benchmarks._noise import PHANTOMS, Noisy
from medidiff.evaluate import psnr, ssim3d

WINDOW_HU = (-160.0, 240.0)
TISSUES_HU = {"air": (-3000.0, -950.0), "lung": (-950.0, -500.0), "fat": (-140.0, -60.0), "soft": (-30.0, 120.0)}
UNIFORM = ("fat", "soft")
"""Tissues in which bias is judged where they are uniform; air and lung are shown apart."""
_FLAT_HU, _NO_EDGE_HU = 20.0, 150.0
"""Standard deviation of the reference within 5 x 5 x 3 voxels. Fat and soft tissue: beyond a real scan's own noise. Air
and lung: vessels too, but no edge of the body, whose mean would pass for lung."""
_ABOVE_OWN = 1.25  # times its own noise is still noise, so few voxels tell its level so well
_AWAY = (9, 9, 3)  # voxels that must all be of the tissue, where a scan has noise of its own
_FEWEST = 200  # voxels of a region, or its mean says nothing
_NEAR = (5, 5, 3)


def score(case: Case, noisy: Noisy, found: Answer) -> dict[str, Any]:
    """PSNR over the block and the foreground, SSIM, what it cost; of blind answers the level that was estimated."""
    clean = case.clean.data
    figures: dict[str, Any] = {
        "psnr": psnr(clean, found.data, case.data_range),
        "psnr_foreground": psnr(clean, found.data, case.data_range, case.foreground),
        "ssim": ssim3d(clean, found.data, case.data_range),
        "seconds": found.seconds,
        "cpu_seconds": found.cpu_seconds,
        "extra_mib": found.extra_mib,
        "note": found.note,
    }
    if "noise_std" in found.note:
        figures["level_ratio"] = found.note["noise_std"] / total_level(case, noisy)
    if case.modality == "ct":
        figures |= score_ct(case, found.data)
    return figures


def score_ct(case: Case, data: np.ndarray) -> dict[str, Any]:
    """PSNR of the body in the soft-tissue window; the mean error in HU of each tissue (nan: not there), of how many."""
    low, high = WINDOW_HU
    clean = case.clean.data
    inside = psnr(np.clip(clean, low, high), np.clip(data, low, high), high - low, case.foreground)
    error = np.asarray(data, dtype=np.float64) - clean
    bias, counts = {}, {}
    for tissue, where in tissues(clean, 0.0 if case.set_name in PHANTOMS else own_level(case)).items():
        counts[tissue] = int(np.count_nonzero(where))
        bias[tissue] = float(error[where].mean()) if counts[tissue] >= _FEWEST else float("nan")
    return {"psnr_window": inside, "bias_hu": bias, "bias_voxels": counts}


def pooled_bias(rows: Sequence[Mapping[str, Any]], tissue: str) -> tuple[float, float] | None:
    """Mean error in HU over all voxels of a tissue in all cases, and the mean of the case where it is largest.

    A bias is what is left when noise has averaged out; in one case some of the noise's own mean is left.
    """
    known = [(r["bias_hu"][tissue], r["bias_voxels"][tissue]) for r in rows if np.isfinite(r["bias_hu"][tissue])]
    if not known:
        return None
    values, counts = zip(*known, strict=True)
    return float(np.average(values, weights=counts)), max(values, key=abs)


def tissues(clean: np.ndarray, own: float = 0.0) -> dict[str, np.ndarray]:
    """Where each tissue is: by the mean of the neighbourhood, so that a scan's own noise chooses no voxels.

    Args:
        clean: The reference in HU.
        own: Standard deviation of its own noise: uniform is what varies little beyond that.
    """
    values = clean.astype(np.float64)
    mean = ndimage.uniform_filter(values, size=_NEAR)  # type: ignore[arg-type]
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(values**2, size=_NEAR) - mean**2, 0))  # type: ignore[arg-type]
    found = {}
    for name, (low, high) in TISSUES_HU.items():
        most = float(np.hypot(_FLAT_HU, _ABOVE_OWN * own)) if name in UNIFORM else _NO_EDGE_HU
        found[name] = (mean >= low) & (mean < high) & (spread < most)
        if name in UNIFORM and own:  # an edge of fat and muscle is no more than noise: keep away from all that is other
            found[name] = np.asarray(ndimage.binary_erosion(found[name], np.ones(_AWAY)))
    return found


def total_level(case: Case, noisy: Noisy) -> float:
    """The noise there is to find: of a real scan the added one and its own together."""
    added = noisy.typical
    return added if case.set_name in PHANTOMS else float(np.hypot(added, own_level(case)))


def own_level(case: Case) -> float:
    """A real reference's own noise in its unit, from the quietest tenth of the blocks of its finest detail.

    It overstates low levels a little (docs/general.md), so the ratio of a correct estimate may be below 1. CT noise has
    little fine detail (on 4 sarcoma scans the above finds half of what flat muscle shows): there it is the estimate of
    the scan as it is.
    """
    from medidiff.cohort.own_noise import own_noise_level
    from medidiff.noise import estimate_noise

    if case.modality == "ct":
        return estimate_noise(case.clean.data, "gaussian").level
    half = case.data_range / 2
    return own_noise_level((case.clean.data - case.lower) / half - 1) * half
