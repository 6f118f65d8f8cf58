"""Two volumes on one grid, axes turned and flipped, are one; anything else is told apart with its figures."""

import numpy as np
import pytest

from benchmarks._dicom_compare import compare
from medidiff.volume import Volume


def scan(seed: int = 0) -> Volume:
    data = np.random.default_rng(seed).normal(size=(3, 4, 5)).astype(np.float32)
    affine = np.array([[0.0, 2, 0.1, 5], [-1.5, 0, 0, 7], [0, 0.1, 3, -2], [0, 0, 0, 1]])
    return Volume(data, affine)


def turned(volume: Volume) -> Volume:
    """The same voxels: x and z exchanged, then the new first axis reversed."""
    to_old = np.eye(4)[[2, 1, 0, 3]] @ np.array([[-1.0, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return Volume(volume.data.transpose(2, 1, 0)[::-1], volume.affine_ras @ to_old)


def test_turned_axes_are_the_same() -> None:
    found = compare(scan(), turned(scan()))
    assert found is not None
    assert found.value == 0
    assert found.mm < 1e-12
    assert found.agrees


def test_a_shift_and_a_value_are_measured() -> None:
    other = turned(scan())
    other.affine_ras[:3, 3] += (0, 0.3, 0.4)
    other.data[0, 0, 0] += 0.25
    found = compare(scan(), other)
    assert found is not None
    assert found.mm == pytest.approx(0.5)
    assert found.value == pytest.approx(0.25)
    assert not found.agrees


def test_flipped_values_on_the_same_grid_differ() -> None:
    found = compare(scan(), Volume(scan().data[::-1], scan().affine_ras))
    assert found is not None
    assert not found.agrees


def test_other_grids_are_not_compared() -> None:
    assert compare(scan(), Volume(scan().data[:2], scan().affine_ras)) is None
    oblique = scan()
    oblique.affine_ras[:3, :3] *= 2
    assert compare(scan(), oblique) is None
