"""Which voxel lands where: every orientation of a volume gives the same picture."""

import itertools

import numpy as np
import pytest

from medidiff.draw import canonical, mid_slices, take_slice
from medidiff.errors import GeometryError
from medidiff.volume import Volume

LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
ORIENTATIONS = [
    "".join(codes)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for codes in itertools.product(*axes)
]  # fmt: skip


def oriented(ras: np.ndarray, spacing_mm: tuple[float, float, float], codes: str) -> Volume:
    """The same scan in space, stored with axes along `codes`."""
    order = [LETTERS[c][0] for c in codes]
    signs = [LETTERS[c][1] for c in codes]
    data = np.transpose(ras, order)[tuple(slice(None, None, s) for s in signs)]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for i, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, i] = sign * spacing_mm[world]
        if sign < 0:
            affine[world, 3] = (ras.shape[world] - 1) * spacing_mm[world]
    return Volume(data, affine)


def numbered() -> np.ndarray:
    """Value 100 x + 10 y + z at voxel (x, y, z), x towards R, y towards A, z towards S."""
    x, y, z = np.indices((3, 4, 5))
    return 100 * x + 10 * y + z


def test_axial_picture_of_a_ras_volume() -> None:
    axial, _, _ = mid_slices(Volume.from_array(numbered(), (1, 2, 3)))
    # z = 2; top row is the most anterior (y = 3), the left column the patient's right (x = 2)
    np.testing.assert_array_equal(
        axial.pixels, [[232, 132, 32], [222, 122, 22], [212, 112, 12], [202, 102, 2]]
    )  # fmt: skip
    assert (axial.row_mm, axial.column_mm, axial.index) == (2, 1, 2)
    assert axial.letters == ("R", "L", "A", "P")


def test_coronal_and_sagittal_pictures_of_a_ras_volume() -> None:
    _, coronal, sagittal = mid_slices(Volume.from_array(numbered(), (1, 2, 3)))
    # y = 2; top row is z = 4, left column x = 2
    np.testing.assert_array_equal(coronal.pixels[0], [224, 124, 24])
    np.testing.assert_array_equal(coronal.pixels[:, 0], [224, 223, 222, 221, 220])
    assert (coronal.row_mm, coronal.column_mm) == (3, 1)
    assert coronal.letters == ("R", "L", "S", "I")
    # x = 1; top row is z = 4, the left column the most anterior (y = 3)
    np.testing.assert_array_equal(sagittal.pixels[0], [134, 124, 114, 104])
    np.testing.assert_array_equal(sagittal.pixels[:, 0], [134, 133, 132, 131, 130])
    assert (sagittal.row_mm, sagittal.column_mm) == (3, 2)
    assert sagittal.letters == ("A", "P", "S", "I")


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_picture_does_not_depend_on_how_the_scan_is_stored(codes: str) -> None:
    spacing_mm = (1.0, 2.0, 3.0)
    volume = oriented(numbered(), spacing_mm, codes)
    assert volume.axcodes == codes
    data, spacing = canonical(volume)
    np.testing.assert_array_equal(data, numbered())
    assert spacing == spacing_mm
    for expected, got in zip(mid_slices(Volume.from_array(numbered(), spacing_mm)), mid_slices(volume), strict=True):
        np.testing.assert_array_equal(got.pixels, expected.pixels)
        assert (got.row_mm, got.column_mm, got.index) == (expected.row_mm, expected.column_mm, expected.index)


def test_an_oblique_scan_is_drawn_along_its_own_axes() -> None:
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    np.testing.assert_array_equal(
        take_slice(Volume(numbered(), affine), "axial").pixels,
        take_slice(Volume.from_array(numbered()), "axial").pixels,
    )


def test_an_axis_without_direction_is_refused() -> None:
    with pytest.raises(GeometryError, match="direction"):
        canonical(Volume(numbered(), np.diag([1.0, 0.0, 1.0, 1.0])))
