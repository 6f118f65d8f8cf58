"""How close an image is to its reference: PSNR, SSIM and the voxels that count."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from medidiff.errors import InputError, UsageError

# The threshold of the denoising literature on BrainWeb: 10 grey levels of 255 (facts.md).
_FOREGROUND_FRACTION = 10 / 255
# Between air (-1000 HU) and fat (-120 HU), nearer to fat: half of a voxel on the skin is body.
_BODY_THRESHOLD_HU = -500.0


def rmse(reference: np.ndarray, image: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Root mean square difference, in the scan's unit, over the voxels of `mask` (all where None).

    Raises:
        InputError: The shapes differ, the mask is empty, or a value is not finite.
    """
    reference, image = _pair(reference, image)
    difference = image - reference
    if mask is not None:
        difference = difference[_checked_mask(mask, reference.shape)]
    error = float(np.sqrt(np.mean(np.square(difference))))
    if not math.isfinite(error):
        raise InputError("an image holds NaN or infinite values: all compared voxels must be finite.")
    return error


def psnr(reference: np.ndarray, image: np.ndarray, data_range: float, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, 20 log10(data_range / rmse); infinite for identical images.

    Args:
        reference: Clean scan.
        image: Scan to judge, same shape and unit.
        data_range: What counts as the peak, in the scan's unit. It is fixed by the caller, since a range taken from the
            images would change the figure with the noise.
        mask: Voxels to compare; None compares all.

    Raises:
        InputError: The shapes differ, the mask is empty, or a value is not finite.
        UsageError: `data_range` is not positive and finite.
    """
    error = rmse(reference, image, mask)
    data_range = _checked_range(data_range)
    return math.inf if error == 0 else 20 * math.log10(data_range / error)


def ssim3d(reference: np.ndarray, image: np.ndarray, data_range: float, mask: np.ndarray | None = None) -> float:
    """Mean structural similarity in 3D, with the Gaussian window of the paper (sigma 1.5 voxels).

    Args:
        reference: Clean scan, at least 11 voxels along each axis.
        image: Scan to judge, same shape and unit.
        data_range: As for `psnr`.
        mask: Voxels over which the local similarity is averaged; None averages over all but a border of 5.

    Raises:
        InputError: The shapes differ, a side is shorter than the window, the mask is empty, or a value is not finite.
        UsageError: `data_range` is not positive and finite.

    Source: Wang et al. 2004, computed by scikit-image.
    """
    from skimage.metrics import structural_similarity  # here, since importing it costs half a second

    reference, image = _pair(reference, image)
    if min(reference.shape) < 11:
        raise InputError(f"shape {reference.shape}: SSIM needs at least 11 voxels along each axis.")
    options = {"data_range": _checked_range(data_range), "gaussian_weights": True, "use_sample_covariance": False}
    if mask is None:
        value = float(structural_similarity(reference, image, **options))  # pyright: ignore[reportArgumentType]
    else:
        _, local = structural_similarity(reference, image, full=True, **options)  # pyright: ignore
        value = float(np.mean(local[_checked_mask(mask, reference.shape)]))
    if not math.isfinite(value):
        raise InputError("an image holds NaN or infinite values: all compared voxels must be finite.")
    return value


def foreground_mask(reference: np.ndarray, modality: str = "mr") -> np.ndarray:
    """The voxels that hold the patient, from the clean reference.

    Args:
        reference: Clean scan; in HU where `modality` is "ct".
        modality: "mr": voxels over 10/255 of the reference's maximum. "ct": the body, which is the largest piece over
            -500 HU with its holes (lungs, bowel gas) filled slice by slice along z.

    Returns:
        Boolean array of the reference's shape, never empty.

    Raises:
        InputError: No voxel is foreground.
        UsageError: An unknown modality.
    """
    if modality == "mr":
        mask = np.asarray(reference) > float(np.max(reference)) * _FOREGROUND_FRACTION
    elif modality == "ct":
        mask = _largest_piece(np.asarray(reference) > _BODY_THRESHOLD_HU)
        for index in range(mask.shape[2]):
            mask[:, :, index] = ndimage.binary_fill_holes(mask[:, :, index])
    else:
        raise UsageError(f"modality {modality!r}: must be 'mr' or 'ct'.")
    if not mask.any():
        raise InputError(
            f"no voxel is foreground (largest value {np.max(reference):g}): is the unit right for {modality}?"
        )
    return mask


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return pieces == int(np.argmax(sizes))


def _pair(reference: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.shape(reference) != np.shape(image):
        raise InputError(f"image of shape {np.shape(image)} against a reference of shape {np.shape(reference)}.")
    if np.size(reference) == 0:
        raise InputError("the images are empty: there is nothing to compare.")
    return np.asarray(reference, dtype=np.float64), np.asarray(image, dtype=np.float64)


def _checked_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != shape:
        raise InputError(f"mask of shape {mask.shape} on images of shape {shape}: must be the same.")
    if not mask.any():
        raise InputError("the mask is empty: there is nothing to compare.")
    return mask


def _checked_range(data_range: float) -> float:
    if not (math.isfinite(data_range) and data_range > 0):
        raise UsageError(f"data_range {data_range}: must be positive and finite, such as the reference's range.")
    return float(data_range)
