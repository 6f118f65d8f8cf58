"""Volumes that only the instance number tells apart: believed where it says one thing, else not."""

import pytest

from medidiff.io.dicom.blocks import blocks_of


def test_volume_after_volume() -> None:
    assert blocks_of([1, 2, 3, 42, 43, 44], [0, 1, 2, 0, 1, 2]) == [0, 0, 0, 1, 1, 1]


def test_the_files_may_come_in_any_order() -> None:
    assert blocks_of([44, 1, 43, 2, 42, 3], [2, 0, 1, 1, 0, 2]) == [1, 0, 1, 0, 1, 0]


def test_slices_interleaved_alike_in_every_volume() -> None:
    assert blocks_of([1, 2, 3, 4, 5, 6], [0, 2, 1, 0, 2, 1]) == [0, 0, 0, 1, 1, 1]


def test_position_after_position() -> None:
    assert blocks_of([10, 11, 12, 20, 21, 22], [1, 1, 1, 0, 0, 0]) == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("numbers", "places"),
    [
        ([1, 2, 3, 1, 2, 3], [0, 1, 2, 0, 1, 2]),  # a number twice: two series in one
        ([1, 2, 3, None, 5, 6], [0, 1, 2, 0, 1, 2]),
        ([1, 2, 3, 4, 5], [0, 1, 2, 0, 1]),  # an image is missing
        ([1, 2, 3, 4, 5, 6], [0, 1, 2, 0, 2, 1]),  # the second volume in another order
        ([1, 2, 3, 4, 5, 6], [0, 1, 0, 2, 1, 2]),
        ([1, 2, 3], [0, 1, 2]),  # nothing repeats
        ([1, 2, 3], [0, 0, 0]),  # one position only
        ([], []),
    ],
)
def test_a_doubt_is_left_standing(numbers: list[int | None], places: list[int]) -> None:
    assert blocks_of(numbers, places) is None
