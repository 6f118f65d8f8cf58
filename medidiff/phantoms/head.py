"""A T1-weighted head: scalp, skull, fluid, folded cortex, ventricles, nuclei, cerebellum, eyes; noise-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medidiff.phantoms.fields import Array, Spacing
from medidiff.phantoms.lesions import Lesion
from medidiff.phantoms.solids import (
    Canvas,
    Phantom,
    Point,
    capsule,
    ellipsoid,
    grid_mm,
    join,
    polyline,
    sheet_distance,
    waves,
)

HEAD_LABELS = {
    0: "air",
    1: "scalp and fat",
    2: "skull",
    3: "cerebrospinal fluid",
    4: "cortical grey matter",
    5: "white matter",
    6: "ventricles",
    7: "deep nuclei",
    8: "cerebellum",
    9: "brainstem and cord",
    10: "eyes",
    11: "muscle and soft tissue",
}
_FLUID, _GREY, _WHITE, _FAT, _MUSCLE, _BONE = 150.0, 450.0, 710.0, 840.0, 370.0, 60.0
_MIDDLE: Point = (0.0, -3.0, -14.0)  # of the volume, in mm from the middle of the brain


def head_phantom(
    shape: tuple[int, int, int] = (96, 96, 96),
    spacing_mm: Spacing = (2.0, 2.0, 2.0),
    seed: int = 0,
    lesion: Lesion | Sequence[Lesion] | None = None,
) -> Phantom:
    """A head as T1-weighted MR would show it without noise; the seed varies its size, folds, ventricles and bias.

    The anatomy depends on the seed alone: another shape or spacing shows the same head on another grid.

    Args:
        shape: Voxels along x, y, z (left to right, back to front, foot to head).
        spacing_mm: Voxel size; the default grid of 192 mm holds the whole head down to the neck.
        seed: Which head.
        lesion: Lesions to put in, placed in mm from the middle of the volume; white matter is about 700.

    Returns:
        Phantom with intensities from 0 (air, exactly) to about 1000, and labels as in `HEAD_LABELS`.

    Raises:
        UsageError: shape, spacing or a lesion is out of range.
    """
    rng = np.random.default_rng([seed, 4])
    x, y, z = grid_mm(shape, spacing_mm, _MIDDLE)
    stretch = 1 + 0.025 * rng.uniform(-1, 1, 3)
    x, y, z = x / np.float32(stretch[0]), y / np.float32(stretch[1]), z / np.float32(stretch[2])
    wobble = 1.2 * waves(x, y, z, 70, rng, 12)
    brain = join(ellipsoid(x, y, z, (0, 0, 8), (63, 80, 57)), ellipsoid(x, y, z, (0, 14, -18), (58, 44, 24)), 14)
    brain = np.asarray(brain + wobble, np.float32)
    small = ellipsoid(x, y, z, (0, -46, -40), (46, 28, 24))
    cavity = join(brain, small, 8)
    shade = 1 + 0.015 * waves(x, y, z, 35, rng, 12)  # tissue is not quite uniform

    canvas = Canvas((shape[0], shape[1], shape[2]), 0.0)
    outer = _outside(canvas, x, y, z, cavity, shade, rng)
    _face(canvas, x, y, z, cavity)
    canvas.paint(cavity - 2.0, _FLUID, 3)
    _cerebrum(canvas, x, y, z, brain, shade, spacing_mm, rng)
    _cerebellum(canvas, x, y, z, small, shade)
    _deep(canvas, x, y, z, shade, float(rng.uniform(0.75, 1.3)))
    bias = np.exp(0.05 * waves(x, y, z, 260, rng, 8))
    canvas.data = np.where(outer < 6 * max(spacing_mm), canvas.data * bias, 0).astype(np.float32)
    lesions = [] if lesion is None else [lesion] if isinstance(lesion, Lesion) else list(lesion)
    return canvas.finish(spacing_mm, lesions, f"head-{seed}", HEAD_LABELS)


def _outside(
    canvas: Canvas, x: Array, y: Array, z: Array, cavity: Array, shade: Array, rng: np.random.Generator
) -> Array:
    """Skin, fat, muscle, skull and neck; returns the solid of the whole head."""
    face = ellipsoid(x, y, z, (0, 38, -62), (54, 52, 56))
    neck = capsule(x, y * 0.9, z, (0, -18, -50), (0, -26, -200), (52, 54))
    outer = join(join(cavity - 14, face, 30), neck, 25)
    nose = capsule(x, y, z, (0, 84, -48), (0, 98, -70), (6, 11))
    outer = join(outer, nose, 12)
    canvas.paint(outer, 430.0, 1)
    canvas.paint(outer + 2.0, _FAT * shade, 1)
    deep = np.maximum(outer + 6.0 + 1.5 * waves(x, y, z, 30, rng, 10), -(cavity - 8))
    canvas.paint(np.asarray(deep, np.float32), _MUSCLE * shade, 11)
    seams = np.abs(sheet_distance(waves(x, y, z, 38, rng, 12), (1, 1, 1))) - 0.9
    canvas.paint(np.asarray(np.maximum(seams, deep + 3), np.float32), _FAT * 0.9, 11)
    bone = np.asarray(np.maximum(cavity - 8.5, outer + 4), np.float32)
    canvas.paint(bone, _BONE, 2)
    marrow = np.abs(cavity - 5.3) - 1.2
    canvas.paint(np.asarray(marrow, np.float32), 330.0, 2)
    canvas.paint(capsule(x, y, z, (0, -30, -72), (0, -32, -200), (19, 19)), _BONE, 2)
    canvas.paint(capsule(x, y, z, (0, -22, -76), (0, -20, -200), (15, 15)), 400.0, 2)
    return outer


def _face(canvas: Canvas, x: Array, y: Array, z: Array, cavity: Array) -> None:
    """Orbits with eyes, nasal cavity, sinuses and throat, outside the skull."""
    away = -(cavity - 5.0)
    for side in (-1, 1):
        canvas.paint(ellipsoid(x, y, z, (side * 31, 62, -42), (20, 26, 18)), _BONE, 2)
        canvas.paint(ellipsoid(x, y, z, (side * 31, 63, -42), (18, 25, 16)), _FAT, 1)
        canvas.paint(capsule(x, y, z, (side * 31, 62, -42), (side * 14, 34, -40), (2.6, 2.6)), 520.0, 10)
        for up in (-9, 9):
            canvas.paint(capsule(x, y, z, (side * 31, 66, -42 + up), (side * 20, 40, -41), (2.2, 1.6)), _MUSCLE, 11)
        canvas.paint(ellipsoid(x, y, z, (side * 31, 74, -42), (12.5, 12.5, 12.5)), 380.0, 10)
        canvas.paint(ellipsoid(x, y, z, (side * 31, 74, -42), (11, 11, 11)), 120.0, 10)
        canvas.paint(ellipsoid(x, y, z, (side * 31, 82.5, -42), (4.5, 2.4, 4.5)), 330.0, 10)
        sinus = ellipsoid(x, y, z, (side * 26, 62, -74), (13, 15, 13))
        canvas.paint(sinus - 2, 420.0, 11)
        canvas.paint(np.maximum(sinus, away), 5.0, 0)
        canvas.paint(np.maximum(ellipsoid(x, y, z, (side * 9, 68, -50), (6, 17, 15)), away), 5.0, 0)
    canvas.paint(capsule(x, y, z, (0, 40, -72), (0, 82, -72), (7, 6)), 5.0, 0)
    wall = np.maximum(np.abs(x) - 1.2, np.maximum(np.abs(y - 62) - 22, np.abs(z + 62) - 18))
    canvas.paint(wall, 300.0, 11)
    canvas.paint(capsule(x, y, z, (0, 34, -72), (0, 8, -120), (7, 7)), 5.0, 0)
    canvas.paint(ellipsoid(x, y, z, (0, 52, -100), (22, 30, 12)), 450.0, 11)


def _cerebrum(
    canvas: Canvas,
    x: Array,
    y: Array,
    z: Array,
    brain: Array,
    shade: Array,
    spacing_mm: Spacing,
    rng: np.random.Generator,
) -> None:
    """Hemispheres: a ribbon of grey matter on the hull and on both banks of sulci, white matter inside."""
    radius = np.sqrt(x * x + y * y + (z - 4) ** 2)
    pull = (60 / np.maximum(radius, 14)) ** 0.7  # waves that hardly change along the radius: sulci stand on the hull
    px, py, pz = (np.asarray(a * pull, np.float32) for a in (x, y, z))
    pial = np.asarray(-brain, np.float32)  # distance to the nearest fluid
    for wavelength, depth, gap in ((32.0, 23.0, 1.4), (21.0, 12.0, 1.0)):
        sheet = sheet_distance(waves(px, py, pz, wavelength, rng, 28), spacing_mm)
        reach = depth * (1 + 0.3 * waves(x, y, z, 60, rng, 10))
        opening = gap / 2 + np.maximum(1.2 + 0.3 * brain, 0)  # wider at the hull
        sulcus = np.hypot(sheet, np.maximum(-brain - reach, 0)) - opening
        pial = np.minimum(pial, sulcus)
    callosum = 24 * (1 - np.sqrt((y / 40) ** 2 + ((z - 2) / 24) ** 2))
    middle = x + 1.2 * np.sin(y / 17 + float(rng.uniform(0, 6)))
    pial = np.minimum(pial, np.hypot(middle, np.maximum(callosum, 0)) - 0.9)
    lid = z + 12 - 0.3 * y
    sylvian = np.hypot(lid, np.maximum(np.maximum(36 - np.abs(x), 0), np.abs(y - 6) - 34)) - 1.3
    pial = np.minimum(pial, np.where(np.abs(y - 6) < 60, sylvian, 99))
    tissue = np.asarray(-pial, np.float32)
    canvas.paint(tissue, _GREY * shade, 4)
    thick = 3.7 + 0.5 * waves(x, y, z, 45, rng, 10)
    canvas.paint(np.asarray(tissue + thick, np.float32), _WHITE * shade, 5)


def _cerebellum(canvas: Canvas, x: Array, y: Array, z: Array, hull: Array, shade: Array) -> None:
    """Thin parallel folds around a branching white core, and the brainstem."""
    angle = np.arctan2(z + 40, -(y + 22)) * 30 + 0.03 * x * x / 10
    fold = np.abs((angle / 7.5) % 1 - 0.5) * 7.5  # 0 at the middle of a groove
    groove = np.hypot(fold, np.maximum(-hull - 5, 0)) - 0.5
    body = np.asarray(np.maximum(hull + 1, -groove), np.float32)
    canvas.paint(hull, _FLUID, 3)
    canvas.paint(body, 500.0 * shade, 8)
    branch = 2.4 - fold  # white leaves run between the grooves
    core = np.maximum(hull + 4.5, np.minimum(branch, hull + 13))
    canvas.paint(np.asarray(core, np.float32), 670.0 * shade, 8)
    stem = polyline(x, y, z, [(0, -14, -10), (0, -20, -45), (0, -30, -72), (0, -33, -200)], [13, 11, 7, 6])
    canvas.paint(stem - 3, _FLUID, 3)
    canvas.paint(join(stem, ellipsoid(x, y, z, (0, -13, -32), (16, 12, 13)), 6), 640.0 * shade, 9)


def _deep(canvas: Canvas, x: Array, y: Array, z: Array, shade: Array, size: float) -> None:
    """Ventricles and nuclei; `size` scales the ventricles."""
    for side in (-1, 1):
        for centre, radii, value in (
            ((12, -12, 3), (9, 15, 9), 570.0),
            ((27, 6, 1), (6, 17, 10), 530.0),
            ((20, 1, -1), (4, 9, 6), 610.0),
            ((15, 20, 8), (6, 12, 9), 520.0),
            ((27, -18, -20), (6, 18, 6), 500.0),
        ):
            canvas.paint(ellipsoid(x, y, z, (side * centre[0], centre[1], centre[2]), radii), value * shade, 7)
        points: list[Point] = [(8, 30, 6), (6, 12, 15), (7, -10, 19), (16, -30, 13), (25, -36, 4), (29, -22, -12)]
        radii = [3.4 * size, 5.0 * size, 4.2 * size, 5.0 * size, 4.2 * size, 2.0 * size]
        horn = polyline(x, y, z, [(side * a, b, c) for a, b, c in points], radii)
        canvas.paint(horn, _FLUID, 6)
    septum = np.maximum(np.abs(x) - 0.8, ellipsoid(x, y, z, (0, 8, 14), (5, 24, 8)))
    canvas.paint(np.asarray(septum, np.float32), _WHITE * 0.9, 5)
    canvas.paint(ellipsoid(x, y, z, (0, -8, -1), (2.4 * size, 16, 9)), _FLUID, 6)
    canvas.paint(ellipsoid(x, y, z, (0, -27, -38), (7 * size, 4.5 * size, 9)), _FLUID, 6)
