from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medidiff.errors import GeometryError
from medidiff.geometry import check_affine, lps_to_ras, ras_to_lps, same_grid, spacing_from_affine
from medidiff.volume import Volume


def rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_spacing_is_the_length_of_columns_whatever_the_rotation() -> None:
    affine = rotation(0.3) @ np.diag([-0.5, 2.0, 3.25, 1.0])
    assert spacing_from_affine(affine) == pytest.approx((0.5, 2.0, 3.25), rel=1e-12)


def test_ras_and_lps_differ_in_the_first_two_world_axes() -> None:
    affine_ras = np.array([[1.0, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]])
    expected = np.array([[-1.0, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    np.testing.assert_array_equal(ras_to_lps(affine_ras), expected)
    np.testing.assert_array_equal(lps_to_ras(expected), affine_ras)


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (np.eye(3), "shape"),
        (np.diag([1.0, np.nan, 1, 1]), "finite"),
        (np.diag([1.0, 1, 1, 2]), "last row"),
        (np.diag([1.0, 0, 1, 1]), "spacing"),
        (np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "one plane"),
    ],
)
def test_degenerate_affines_are_refused_with_their_reason(affine: np.ndarray, reason: str) -> None:
    with pytest.raises(GeometryError, match=reason) as caught:
        check_affine(affine, "scan")
    assert str(caught.value).startswith("scan: ")


@given(st.floats(0.01, 20), st.floats(0.01, 20), st.floats(0.01, 20), st.floats(-3.1, 3.1), st.floats(-1.2, 1.2))
def test_every_real_grid_is_accepted(sx: float, sy: float, sz: float, angle: float, tilt: float) -> None:
    shear = np.eye(4)
    shear[1, 2] = np.tan(tilt)  # a gantry tilted by up to 69 degrees
    check_affine(rotation(angle) @ shear @ np.diag([sx, -sy, sz, 1.0]))


def test_same_grid_measures_the_worst_corner_in_mm() -> None:
    data = np.zeros((101, 11, 11))
    a = Volume(data, np.eye(4))
    stretched = np.eye(4)
    stretched[0, 0] = 1 + 1e-5  # voxel 100 moves by 1e-3 mm, rounding at 1e-17
    assert same_grid(a, Volume(data, stretched), tol_mm=1.0001e-3)
    assert not same_grid(a, Volume(data, stretched), tol_mm=0.9999e-3)
    assert not same_grid(a, Volume(data[:-1], np.eye(4)))
    shifted = np.eye(4)
    shifted[2, 3] = 0.01
    assert not same_grid(a, Volume(data, shifted))
    assert same_grid(a, Volume(data, shifted), tol_mm=0.011)
