"""One scan into a store: read, check, turn, measure its noise, resample, normalise, write. Runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medidiff.cohort.checks import (
    FOREGROUND,
    Rejection,
    Unfit,
    check_is_scan,
    check_modality,
    check_noise,
    check_size,
    check_values,
    doubtful_units,
    rejection_of,
)
from medidiff.cohort.own_noise import measured_own_noise
from medidiff.cohort.recipe import Recipe, Window
from medidiff.cohort.resample import plan_resampling, to_ras
from medidiff.cohort.sources import block_mean
from medidiff.cohort.store import Store, content_hash, scan_id
from medidiff.errors import DeviceError, GeometryError, InputError, MedidiffError, OutputError
from medidiff.geometry import same_grid, spacing_from_affine
from medidiff.intensity import Normalisation
from medidiff.io import hash_array
from medidiff.volume import Volume

HISTOGRAM = (-1.25, 1.25, 50)
"""Low, high and bins of the counts that the card's plot is drawn from, normalised units."""

VOLUME_ML = "volume_ml"
"""Attribute that `Recipe.mask_volume` adds."""
_COARSE = 48
_MASK_TOLERANCE_MM = 1e-2
_NO_USE_GOING_ON = (OutputError, DeviceError)


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        volume: The scan (x, y, z).
        mask: Labels on the scan's grid; None where there are none.
    """

    volume: Volume
    mask: Volume | None = None


@dataclass(frozen=True)
class Item:
    """One scan to prepare. Picklable: workers get it.

    Attributes:
        source: Path below the folder it comes from, or a DICOM series' name: what messages and the manifest call it.
        patient: Whose it is.
        key: Changes when the files change: a journal that has it need not read the scan again.
        read: Reads it; raises InputError or GeometryError.
        attributes: Of the table: numbers and texts, None where missing.
        modality: Where the table says it, "" else.
        label: What errors of reading call it.
    """

    source: str
    patient: str
    key: str
    read: Callable[[], Reading] = field(repr=False)
    attributes: dict[str, float | str | None] = field(default_factory=dict)
    modality: str = ""
    label: str = field(default="", repr=False)


def prepare_scan(item: Item, recipe: Recipe, store: Store) -> dict[str, Any] | Rejection:
    """Prepare one scan and write it.

    Returns:
        What was measured (JSON-able: the manifest's columns without patient, split, source and attributes, the hash of
        its voxels in RAS order for finding copies, a histogram, warnings), or why it is not in the store.

    Raises:
        OutputError: The store cannot be written: no other scan would fare better.
    """
    name = ""
    try:
        reading = item.read()
        name = reading.volume.name
        return _prepare(reading, item, recipe, store)
    except _NO_USE_GOING_ON:
        raise
    except MedidiffError as error:
        return rejection_of(item.source, error, item.label, name)
    except MemoryError:
        return Rejection(item.source, "memory", "does not fit into memory. Run again with fewer --jobs.", exit_code=5)
    except OSError as error:
        return Rejection(item.source, "unreadable", f"cannot be read ({error.strerror or error}).")
    except Exception as error:  # noqa: BLE001  a library's bug on one file must not cost the other thousands; its text may quote a header
        return Rejection(item.source, "unreadable", f"unexpected {type(error).__name__} while it was read.")


def _prepare(reading: Reading, item: Item, recipe: Recipe, store: Store) -> dict[str, Any]:
    volume = reading.volume
    check_is_scan(volume)
    modality = item.modality or volume.modality
    check_modality(modality, recipe)
    doubts = doubtful_units(volume, modality, recipe)
    identity = scan_id(volume.data, volume.affine_ras)
    mask = None if reading.mask is None else _labels(volume, reading.mask)
    turned = to_ras(volume)
    voxels = hash_array(turned.data.astype(np.float32, copy=False))
    if recipe.orientation == "RAS":
        volume = turned
        mask = None if mask is None else to_ras(mask)
    data, affine, normalised, tau, normalisation, warnings = _normalise(volume, recipe)
    labels = None if mask is None else mask.data
    volume_ml = None if mask is None else mask_volume_ml(mask)
    if labels is not None and (grid := plan_resampling(volume, recipe.spacing_mm)) is not None:
        labels = grid.nearest(labels)
    check_size(data.shape, recipe)
    share = float((data > FOREGROUND).mean())
    check_values(normalised, share, recipe)
    low, high = body_box(data)
    if recipe.crop_to_body:
        box, affine = _crop_box(low, high, data.shape, affine, recipe.crop_margin_mm)
        data = data[box]
        labels = None if labels is None else labels[box]
        low, high = (tuple(n - b.start for n, b in zip(end, box, strict=True)) for end in (low, high))
        check_size(data.shape, recipe)
    stored = np.ascontiguousarray(data, dtype=np.float16)
    labels = None if labels is None else np.ascontiguousarray(labels, dtype=np.uint8)
    size = store.write_scan(identity, stored, labels)
    counts, _ = np.histogram(np.clip(data, *HISTOGRAM[:2]), bins=HISTOGRAM[2], range=HISTOGRAM[:2])
    return {
        "scan_id": identity,
        "modality": modality,
        "shape": list(stored.shape),
        "spacing_mm": list(spacing_from_affine(affine)),
        "affine_ras": affine.reshape(-1).tolist(),
        "body_low": list(low),
        "body_high": list(high),
        "intensity_scale": normalisation.scale,
        "intensity_offset": normalisation.offset,
        "tau": tau,
        "foreground": share,
        "content_hash": content_hash(stored, labels),
        "bytes": size,
        "voxels": voxels,
        "mask": labels is not None,
        "attributes": {VOLUME_ML: volume_ml} if recipe.mask_volume else {},
        "histogram": counts.tolist(),
        "warnings": [*doubts, *warnings],
    }


def _normalise(
    volume: Volume, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, Normalisation, list[str]]:
    """Data on the new grid, its affine, the values before clipping, tau, the normalisation, warnings.

    The noise is measured on the full grid, where anatomy is smoothest and neighbouring voxels' noise is most nearly
    independent, and before clipping, which would hide it; what resampling leaves of it is known from its weights.
    """
    full = volume.data.astype(np.float32, copy=False)
    measured = None if volume.unmeasured is None else ~volume.unmeasured
    if measured is not None and not measured.all():
        if not measured.any():
            raise Unfit("near-empty", "no voxel of it was measured.")
        full = np.where(measured, full, full[measured].min())
    grid = plan_resampling(volume, recipe.spacing_mm)
    values = full if grid is None else grid.apply(full)
    affine = volume.affine_ras if grid is None else grid.affine_ras
    if isinstance(recipe.intensity, Window):
        low, high = recipe.intensity.low, recipe.intensity.high
        normalisation = Normalisation(offset=(low + high) / 2, scale=(high - low) / 2)
    else:
        known = full[measured] if grid is None and measured is not None else values
        normalisation = Normalisation.fit(known, recipe.intensity.lower, recipe.intensity.upper)
    normalised = np.asarray(normalisation.forward(values), dtype=np.float32)
    tau, warnings = _tau(np.asarray(normalisation.forward(full), dtype=np.float32), recipe)
    gain = 1.0 if grid is None or recipe.tau != "measured" else grid.noise_gain
    data = np.clip(normalised, -1, 1) if isinstance(recipe.intensity, Window) else normalised
    return data, affine, normalised, tau * gain, normalisation, warnings


def _tau(normalised: np.ndarray, recipe: Recipe) -> tuple[float, list[str]]:
    if recipe.tau != "measured":
        return float(recipe.tau), []
    tau = measured_own_noise(normalised)
    check_noise(tau, recipe)
    return tau, [] if tau > 0 else ["own noise level 0: it could not be measured, and the scan is taken to be clean"]


def body_box(data: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel, and one past the last, of the largest connected piece of foreground; the whole grid where none is.

    Args:
        data: Normalised (x, y, z). Judged on means over blocks, so that noise in the air is not taken for the body.
    """
    from scipy import ndimage

    factors = (max(1, data.shape[0] // _COARSE), max(1, data.shape[1] // _COARSE), max(1, data.shape[2] // _COARSE))
    pieces, count = ndimage.label(block_mean(data.astype(np.float32, copy=False), factors) > FOREGROUND)  # type: ignore[misc]
    if count == 0:
        return (0, 0, 0), data.shape
    largest = int(np.bincount(pieces.reshape(-1))[1:].argmax())
    box = ndimage.find_objects(pieces)[largest]
    low = tuple(int(s.start * f) for s, f in zip(box, factors, strict=True))
    ends = zip(box, factors, pieces.shape, data.shape, strict=True)
    high = tuple(int(full if s.stop == coarse else s.stop * f) for s, f, coarse, full in ends)
    return low, high


def _crop_box(
    low: tuple[int, ...], high: tuple[int, ...], shape: tuple[int, ...], affine: np.ndarray, margin_mm: float
) -> tuple[tuple[slice, ...], np.ndarray]:
    margins = [int(np.ceil(margin_mm / spacing)) for spacing in spacing_from_affine(affine)]
    first = [max(0, a - m) for a, m in zip(low, margins, strict=True)]
    last = [min(n, b + m) for b, m, n in zip(high, margins, shape, strict=True)]
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ first
    return tuple(slice(a, b) for a, b in zip(first, last, strict=True)), moved


def mask_volume_ml(mask: Volume) -> float:
    """Volume of all labels together, on the grid that they were drawn on."""
    return float(np.count_nonzero(mask.data) * abs(np.linalg.det(mask.affine_ras[:3, :3])) / 1000)


def _labels(volume: Volume, mask: Volume) -> Volume:
    """The mask as uint8 labels.

    Raises:
        GeometryError: Another grid.
        InputError: Values that are no whole numbers from 0 to 255.
    """
    if not same_grid(volume, mask, _MASK_TOLERANCE_MM):
        raise GeometryError("its mask lies on another grid: shape and affine must be the scan's.")
    values = mask.data
    if values.min() < 0 or values.max() > 255 or not np.array_equal(values, np.rint(values)):
        raise InputError("its mask holds other values than whole numbers from 0 to 255.")
    return Volume(values.astype(np.uint8), volume.affine_ras)
