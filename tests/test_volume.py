from __future__ import annotations

import numpy as np
import pytest

from medidiff.errors import GeometryError, InputError
from medidiff.volume import Volume


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_properties() -> None:
    volume = Volume(ramp(3, 4, 5), np.diag([-1.0, 2.0, 3.0, 1.0]), name="scan")
    assert volume.shape == (3, 4, 5)
    assert volume.spacing_mm == (1.0, 2.0, 3.0)
    assert volume.axcodes == "LAS"
    assert volume.affine_ras.dtype == np.float64
    assert volume.check() is volume


def test_the_affine_is_a_copy() -> None:
    affine = np.eye(4)
    volume = Volume(ramp(2, 2, 2), affine)
    affine[0, 0] = 9
    assert volume.spacing_mm == (1.0, 1.0, 1.0)


def test_with_data_keeps_the_grid_and_refuses_another_shape() -> None:
    volume = Volume.from_array(ramp(3, 4, 5), spacing_mm=(1, 1, 2.5), name="scan")
    other = volume.with_data(volume.data * 2, name="twice")
    assert (other.name, other.spacing_mm) == ("twice", (1.0, 1.0, 2.5))
    assert volume.with_data(volume.data).name == "scan"
    with pytest.raises(InputError, match="does not fit"):
        volume.with_data(np.zeros((3, 4, 6)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (ramp(4, 5), "2D"),
        (ramp(4, 5, 1), "2D"),
        (ramp(1, 4, 5), "2D"),
        (ramp(4, 5, 6, 2), "4D"),
        (np.zeros((0, 4, 5)), "empty"),
        (np.full((3, 3, 3), 7.0), "every voxel is 7"),
        (np.where(ramp(3, 3, 3) == 13, np.nan, ramp(3, 3, 3)), r"1 of 27 .*\(1, 1, 1\)"),
        (np.where(ramp(3, 3, 3) == 0, -np.inf, ramp(3, 3, 3)), r"1 of 27 .*\(0, 0, 0\)"),
        (ramp(3, 3, 3) + 1j, "complex64"),
        (np.full((2, 2, 2), "a"), "<U1"),
    ],
)
def test_check_refuses_what_cannot_be_worked_on(data: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        Volume(data, np.eye(4), name="scan").check()
    assert str(caught.value).startswith("scan: ")


def test_check_allows_a_constant_map_on_request_and_refuses_a_flat_grid() -> None:
    Volume(np.full((3, 3, 3), 7.0), np.eye(4)).check(allow_constant=True)
    with pytest.raises(GeometryError, match="spacing"):
        Volume(ramp(3, 3, 3), np.diag([1.0, 1.0, 0.0, 1.0])).check()
