"""A trunk as CT shows it, in Hounsfield units: fat, muscle, lungs with vessels, liver, spine, ribs; noise-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medidiff.phantoms.fields import Array, Spacing
from medidiff.phantoms.lesions import Lesion
from medidiff.phantoms.solids import Canvas, Phantom, capsule, ellipsoid, grid_mm, join, polyline, sheet_distance, waves

BODY_LABELS = {
    0: "air outside",
    1: "skin and fat",
    2: "muscle",
    3: "lungs",
    4: "vessels of the lungs",
    5: "liver",
    6: "spine",
    7: "ribs and sternum",
    8: "heart and great vessels",
    9: "spleen and kidneys",
    10: "stomach and bowel",
}
AIR_HU, _FAT, _MUSCLE, _LUNG = -1024.0, -100.0, 50.0, -850.0


def body_phantom(
    shape: tuple[int, int, int] = (96, 96, 96),
    spacing_mm: Spacing = (4.0, 4.0, 4.0),
    seed: int = 0,
    lesion: Lesion | Sequence[Lesion] | None = None,
) -> Phantom:
    """A trunk from the kidneys to the tops of the lungs, noise-free; the seed varies its size, organs and vessels.

    The anatomy depends on the seed alone: another shape or spacing shows the same body on another grid.

    Args:
        shape: Voxels along x (the patient's left to right), y (back to front), z (foot to head).
        spacing_mm: Voxel size; the default grid of 384 mm holds the whole cross-section.
        seed: Which body.
        lesion: Lesions to put in, placed in mm from the middle of the volume. None puts in three of the seed's own
            (liver, lung and muscle); an empty list none.

    Returns:
        Phantom in HU, exactly -1024 outside the body, and labels as in `BODY_LABELS`.

    Raises:
        UsageError: shape, spacing or a lesion is out of range.
    """
    rng = np.random.default_rng([seed, 5])
    x, y, z = grid_mm(shape, spacing_mm)
    stretch = 1 + 0.05 * rng.uniform(-1, 1, 2)
    x, y = x / np.float32(stretch[0]), y / np.float32(stretch[1])
    wobble = waves(x, y, z, 140, rng, 12)
    skin = np.asarray(_trunk(x, y, z, 163, 112) + 2.5 * wobble, np.float32)
    fat = float(rng.uniform(12, 22)) + 3 * waves(x, y, z, 110, rng, 12)
    wall = np.asarray(skin + fat + 5 * np.clip((-60 - z) / 60, 0, 1), np.float32)  # the outside of the muscles
    dome = np.asarray(ellipsoid(x, y, z, (40, 0, -75), (105, 105, 95 + 6 * float(rng.uniform(-1, 1)))), np.float32)
    shade = 4 * waves(x, y, z, 60, rng, 12)

    canvas = Canvas((shape[0], shape[1], shape[2]), AIR_HU)
    canvas.paint(skin, 10.0, 1)
    canvas.paint(skin + 2.0, _FAT + shade, 1)
    canvas.paint(wall, _MUSCLE + shade, 2)
    seams = np.abs(sheet_distance(waves(x, y, z, 75, rng, 12), spacing_mm)) - 1.2
    canvas.paint(np.asarray(np.maximum(seams, wall + 4), np.float32), _FAT * 0.6, 2)
    cavity = np.asarray(np.maximum(wall + 24, -(y + 62 + 0.002 * x * x)), np.float32)
    _abdomen(canvas, x, y, z, cavity, dome, shade, rng, spacing_mm)
    _chest(canvas, x, y, z, cavity, dome, rng, spacing_mm)
    _bones(canvas, x, y, z, wall, rng, spacing_mm)
    lesions = _own_lesions(rng) if lesion is None else [lesion] if isinstance(lesion, Lesion) else list(lesion)
    return canvas.finish(spacing_mm, lesions, f"body-{seed}", BODY_LABELS)


def _trunk(x: Array, y: Array, z: Array, wide: float, deep: float) -> Array:
    """Rounded box in the axial plane that narrows at the waist."""
    waist = 1 - 0.05 * np.cos(z / 75)
    f = (np.abs(x / (wide * waist)) ** 2.5 + np.abs(y / (deep * waist)) ** 2.5) ** 0.4
    slope = np.hypot(np.abs(x / wide) ** 1.5 / wide, np.abs(y / deep) ** 1.5 / deep) / np.maximum(f, 0.05) ** 1.5
    return np.asarray((f - 1) / np.maximum(slope, 1 / wide) + 0 * z, np.float32)


def _threads(x: Array, y: Array, z: Array, wavelength: float, rng: np.random.Generator, spacing_mm: Spacing) -> Array:
    """Distance to random winding curves: where two wavy sheets cross."""
    first = sheet_distance(waves(x, y, z, wavelength, rng, 16), spacing_mm)
    second = sheet_distance(waves(x, y, z, wavelength, rng, 16), spacing_mm)
    return np.asarray(np.hypot(first, second), np.float32)


def _abdomen(
    canvas: Canvas,
    x: Array,
    y: Array,
    z: Array,
    cavity: Array,
    dome: Array,
    shade: Array,
    rng: np.random.Generator,
    spacing_mm: Spacing,
) -> None:
    """Visceral fat with bowel, liver with vessels, stomach with its air bubble, spleen, kidneys."""
    canvas.paint(cavity, _FAT + shade, 1)
    loops = _threads(x, y, z, 100, rng, spacing_mm)
    room = np.maximum(cavity + 5, z + 60)
    canvas.paint(np.asarray(np.maximum(loops - 14, room), np.float32), 40.0, 10)
    canvas.paint(np.asarray(np.maximum(loops - 10, room + 4), np.float32), 15.0, 10)
    gas = np.maximum(np.maximum(loops - 8, room + 4), 15 - 12 * waves(x, y, z, 160, rng, 10))
    canvas.paint(np.asarray(gas, np.float32), -900.0, 10)
    liver = join(ellipsoid(x, y, z, (62, 12, -70), (80, 76, 84)), ellipsoid(x, y, z, (-10, 30, -52), (62, 42, 40)), 20)
    liver = np.maximum(np.maximum(liver, cavity + 2), -(ellipsoid(x, y, z, (60, -30, -165), (75, 70, 70))))
    canvas.paint(np.asarray(liver, np.float32), 60 + 0.6 * shade, 5)
    veins = np.maximum(_threads(x, y, z, 85, rng, spacing_mm) - 3.2, liver + 6)
    canvas.paint(np.asarray(veins, np.float32), 95.0, 5)
    spleen = np.maximum(ellipsoid(x, y, z, (-100, -32, -55), (30, 45, 50)), cavity + 2)
    canvas.paint(np.asarray(spleen, np.float32), 55 + 0.5 * shade, 9)
    stomach = np.maximum(ellipsoid(x, y, z, (-62, 30, -62), (42, 40, 46)), cavity + 3)
    canvas.paint(np.asarray(stomach, np.float32), 45.0, 10)
    canvas.paint(np.asarray(stomach + 5, np.float32), 10.0, 10)
    canvas.paint(np.asarray(np.maximum(stomach + 5, 45 - y), np.float32), -950.0, 10)  # air rises to the front
    for side in (-1, 1):
        place = (side * 62, -45, -125 + 6 * side)
        kidney = ellipsoid(x, y, z, place, (28, 26, 52))
        canvas.paint(kidney - 9, _FAT, 1)
        canvas.paint(kidney, 40.0, 9)
        canvas.paint(ellipsoid(x, y, z, (side * 54, -41, place[2]), (12, 10, 28)), -40.0, 9)
    diaphragm = np.maximum(np.maximum(np.abs(dome) - 2, cavity), -35 - z)
    canvas.paint(np.asarray(diaphragm, np.float32), 50.0, 2)


def _chest(
    canvas: Canvas,
    x: Array,
    y: Array,
    z: Array,
    cavity: Array,
    dome: Array,
    rng: np.random.Generator,
    spacing_mm: Spacing,
) -> None:
    """Mediastinum, lungs with branching vessels and airways, heart, aorta, vena cava."""
    above = 2 - dome
    left_dome = ellipsoid(x, y, z, (-80, 0, -85), (75, 100, 85))
    chest = np.maximum(np.maximum(cavity, above), 2 - left_dome)
    canvas.paint(np.asarray(np.maximum(chest, -z - 60), np.float32), -70.0, 1)
    heart = join(ellipsoid(x, y, z, (-26, 24, 22), (50, 40, 42)), ellipsoid(x, y, z, (8, 22, 40), (34, 30, 38)), 12)
    heart = np.maximum(heart, cavity + 3)
    vessels = np.minimum(_threads(x, y, z, 34, rng, spacing_mm) - 1.6, _threads(x, y, z, 62, rng, spacing_mm) - 3.2)
    for side in (-1, 1):
        lung = ellipsoid(x, y, z, (side * 76, -6, 40), (64, 92, 148))
        lung = np.maximum(np.maximum(lung, chest + 1), -(heart - 5))
        lung = np.asarray(np.maximum(lung, 16 - side * x), np.float32)
        tissue = _LUNG + 12 * waves(x, y, z, 50, rng, 10) - 0.15 * y  # denser at the back
        canvas.paint(lung, np.asarray(tissue, np.float32), 3)
        canvas.paint(np.asarray(np.maximum(vessels, lung + 5), np.float32), 35.0, 4)
        root = polyline(x, y, z, [(side * 14, -4, 52), (side * 42, -10, 40), (side * 62, -20, 5)], [10, 7, 4])
        canvas.paint(np.asarray(np.maximum(root, -(heart - 5)), np.float32), 45.0, 4)
        canvas.paint(polyline(x, y, z, [(0, -18, 70), (side * 32, -22, 45)], [8, 5]), -980.0, 3)
    canvas.paint(np.asarray(heart, np.float32), 45.0, 8)
    canvas.paint(ellipsoid(x, y, z, (-36, 20, 14), (26, 22, 28)), 62.0, 8)
    canvas.paint(polyline(x, y, z, [(0, -18, 68), (0, -16, 300)], [9, 9]), -1000.0, 3)
    arch = [(4, 16, 50), (4, 12, 88), (-8, -10, 100), (-20, -42, 85), (-18, -52, 0), (-6, -48, -80), (0, -45, -400)]
    canvas.paint(polyline(x, y, z, [*arch], [14, 15, 14, 13, 12.5, 11, 10]), 130.0, 8)
    canvas.paint(polyline(x, y, z, [(26, 10, 110), (24, 8, 50)], [9, 10]), 90.0, 8)
    canvas.paint(polyline(x, y, z, [(22, -32, -400), (22, -30, -60), (22, -5, 5)], [11, 11, 11]), 75.0, 8)


def _bones(
    canvas: Canvas, x: Array, y: Array, z: Array, wall: Array, rng: np.random.Generator, spacing_mm: Spacing
) -> None:
    """Vertebrae with cortical shell, cancellous core and discs; ribs, sternum."""
    mesh = 35 * waves(x, y, z, 14 + 2 * max(spacing_mm), rng, 16)  # trabeculae as coarse as the grid can show
    slide = np.mod(z + float(rng.uniform(0, 32)), 32) - 16
    column = ellipsoid(x, y, 0 * z, (0, -72, 0), (23, 17, 1e3))
    body = np.maximum(column + 0.02 * (16 - np.abs(slide)), np.abs(slide) - 12.5)
    canvas.paint(np.asarray(np.broadcast_to(column, canvas.shape), np.float32), 85.0, 6)
    arch = np.maximum(np.abs(ellipsoid(x, y, 0 * z, (0, -98, 0), (15, 14, 1e3))) - 4, np.abs(slide + 3) - 9)
    spine = capsule(x, y, slide, (0, -108, 2), (0, -134, -6), (5, 3))
    wings = capsule(np.abs(x), y, slide, (14, -94, 2), (44, -100, 4), (6, 4))
    processes = np.maximum(np.minimum(np.minimum(arch, spine), wings), wall + 4)
    canvas.paint(np.asarray(processes, np.float32), 420.0, 6)
    canvas.paint(np.asarray(body, np.float32), 620.0, 6)
    canvas.paint(np.asarray(body + 2.5, np.float32), np.asarray(190 + mesh, np.float32), 6)
    canvas.paint(ellipsoid(x, y, 0 * z, (0, -98, 0), (11, 10, 1e3)) + 0 * z, 25.0, 6)
    step = np.mod(z + 0.45 * y + 0.2 * np.abs(x), 30) - 15  # ribs slope down to the front
    rib = np.hypot(step * 0.75, np.clip(np.abs(wall + 16) - 1.5, 0, None)) - 5
    rib = np.maximum(np.maximum(rib, -z - 95), np.maximum(-y - 90, y - 78))
    canvas.paint(np.asarray(rib, np.float32), 520.0, 7)
    canvas.paint(np.asarray(rib + 2.2, np.float32), np.asarray(180 + mesh, np.float32), 7)
    sternum = np.maximum(np.maximum(np.abs(wall + 14) - 6, np.abs(x) - 17), np.maximum(-y, -z))
    canvas.paint(np.asarray(sternum, np.float32), 380.0, 7)
    canvas.paint(np.asarray(sternum + 2.2, np.float32), np.asarray(140 + mesh, np.float32), 7)


def _own_lesions(rng: np.random.Generator) -> list[Lesion]:
    """One lesion each in liver, lung and back muscle."""
    jitter = rng.uniform(-6, 6, (3, 3))
    sites = ((85.0, 10.0, -70.0), (-88.0, -20.0, 60.0), (48.0, -85.0, -60.0))
    radii, contrasts = rng.uniform(8, 16, 3), (-35.0, 700.0, 45.0)
    places = [(float(a + u), float(b + v), float(c + w)) for (a, b, c), (u, v, w) in zip(sites, jitter, strict=True)]
    return [Lesion("solid", p, float(r), c) for p, r, c in zip(places, radii, contrasts, strict=True)]
