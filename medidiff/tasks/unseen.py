"""What a prior has not seen: then its output may be right, but nobody has measured how sure it is.

There is no score of the scan's texture: what costs nothing does not tell photographs from scans. The residual's energy,
the expected error, and the spread and kurtosis of the output's gradients of 26 blocks that are no scans (noise,
checkerboards, stacked photographs, microscopy, JPEG, blots, speckle) were held against those of 23 scans and phantoms,
at 3 and 9% noise. Only texture as fine as noise stands out (white noise, fine checkerboards and speckle: 4 of 26 at 3%,
8 of 26 at 9%), and the check of the residual warns of that (`safeguards.residual_warnings`).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, binary_erosion, binary_fill_holes, label

from medidiff.prior import Card
from medidiff.volume import Volume

SPACING_BEYOND = 1.5
"""Voxels so many times smaller or larger than any in training are told as not seen; a little beyond is a warning."""
LEVEL_SEEN = 0.6
"""Normalised units: 30% of the intensity range, up to where a denoising prior spends nearly all its training."""
_LUNG_HU = (-950.0, -600.0)
_BODY_HU = -300.0
_LUNG_CM3 = 20.0  # on 13 pelvis and thigh CTs the largest such region has 0.1 cm^3, in body phantoms with lungs 570 up


def unseen(card: Card, volume: Volume, sigma: float | np.ndarray) -> list[str]:
    """What of a scan the prior has not seen, a few words each; empty where nothing speaks against it.

    Args:
        card: The prior's.
        volume: The scan.
        sigma: Its noise level in normalised units.
    """
    return [*_modality(card, volume), *_spacing(card, volume), *_level(card, sigma), *_lungs(volume)]


def _modality(card: Card, volume: Volume) -> list[str]:
    if not volume.modality or any(volume.modality in kind.split() for kind in card.modalities):  # such as "T1 MR"
        return []
    return [f"modality {volume.modality}"]


def _spacing(card: Card, volume: Volume) -> list[str]:
    low, high = card.spacing_mm.low / SPACING_BEYOND, card.spacing_mm.high * SPACING_BEYOND
    if low <= min(volume.spacing_mm) and max(volume.spacing_mm) <= high:
        return []
    return [f"voxels of {' x '.join(f'{s:.3g}' for s in volume.spacing_mm)} mm"]


def _level(card: Card, sigma: float | np.ndarray) -> list[str]:
    typical, most = float(np.median(sigma)), min(LEVEL_SEEN, card.sigma_max)
    if typical <= most:
        return []
    return [f"noise of {50 * typical:.0f}% of the intensity range"]


def _lungs(volume: Volume) -> list[str]:
    """Lungs in CT: what denoising does to nodules and ground glass in them has not been measured."""
    if volume.modality != "CT" or lung_cm3(volume) < _LUNG_CM3:
        return []
    return ["lung (not validated: nodules and ground glass were not measured)"]


def lung_cm3(volume: Volume) -> float:
    """Volume of the largest region with the density of lung inside the body, cm^3; 0 where there is none.

    Foam and padding of the couch have that density too: so the region must be enclosed by tissue within its slices (x,
    y), which lungs cut by the edge of the scan are not.

    Args:
        volume: CT in HU.
    """
    step = [max(1, round(2.0 / s)) for s in volume.spacing_mm]  # 2 mm are fine enough
    data = volume.data[:: step[0], :: step[1], :: step[2]]
    body = _largest(binary_closing(data > _BODY_HU))
    inside = np.stack([np.asarray(binary_fill_holes(body[..., k])) for k in range(body.shape[2])], axis=2)
    lungs = _largest(binary_erosion(inside & (data > _LUNG_HU[0]) & (data < _LUNG_HU[1])))
    voxel_mm3 = float(np.prod([s * k for s, k in zip(volume.spacing_mm, step, strict=True)]))
    return int(lungs.sum()) * voxel_mm3 / 1000


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part; nothing of nothing."""
    parts, found = label(mask)  # type: ignore[misc]
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])) if found else np.zeros_like(mask)


__all__ = ["lung_cm3", "unseen"]
