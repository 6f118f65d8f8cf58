from __future__ import annotations

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.privacy.gallery import (
    FLOOR,
    Gallery,
    by_patient,
    distance,
    nearest,
    nearest_patients,
    strangers,
    strongest_by_patient,
)
from tests.privacy.worlds import world

TWO = np.array([True, True, False, False])


def test_nearest_of_a_hand_made_row() -> None:
    # patient 0 has two scans; his better one counts, and the second is of ANOTHER patient
    gallery = Gallery(np.array([0, 1, 0, 2, 3]), TWO)
    found = nearest(by_patient(np.array([[0.5, 0.2, 0.92, 0.68, -1.0]]), gallery))
    assert (found.patient[0], found.first[0], found.second[0]) == (0, 0.92, 0.68)
    assert found.gap[0] == pytest.approx(np.log(np.sqrt(2 * 0.32) / np.sqrt(2 * 0.08)))  # ln 2


def test_an_exact_copy_is_finite_and_a_tie_has_no_gap() -> None:
    gallery = Gallery(np.arange(4), TWO)
    found = nearest(by_patient(np.array([[1.0, 0.5, 0.0, 0.0], [0.7, 0.1, 0.7, 0.0]]), gallery))
    assert found.gap[0] == pytest.approx(np.log(1 / FLOOR))
    assert found.gap[1] == 0


def test_by_patient_is_the_largest_of_his_scans() -> None:
    w = world(0, 5, 5, 7, scans=3, transforms=())
    best = by_patient(w.sim, w.gallery)
    for patient in range(10):
        np.testing.assert_array_equal(best[:, patient], w.sim[:, w.gallery.patients == patient].max(axis=1))


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world(3, 5, 5, 7, scans=2, transforms=())
    whole = nearest(by_patient(w.sim, w.gallery))
    monkeypatch.setattr("medidiff.privacy.gallery._BLOCK", 45)
    blocks = nearest_patients(w.sim, w.gallery)
    for name in ("patient", "first", "second", "gap"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))


def test_a_stranger_is_never_of_the_same_patient() -> None:
    w = world(1, 5, 5, 7, scans=2, transforms=())
    found = strangers(w.real, w.gallery)
    assert (found.patient != w.gallery.patients).all()
    assert (found.first < 1).all()


def test_repeated_scans_are_one_vote() -> None:
    np.testing.assert_array_equal(strongest_by_patient(np.array([1.0, 3.0, 2.0]), np.array([1, 1, 0]), 3), [2, 3, 0])


def test_distance_is_that_of_unit_vectors() -> None:
    a, b = np.array([0.6, 0.8]), np.array([1.0, 0.0])
    assert distance(np.array(a @ b)) == pytest.approx(np.linalg.norm(a - b))


@pytest.mark.parametrize(
    ("patients", "is_train"),
    [([0, 1, 2, 4], TWO), ([0, 1, 2], TWO), ([0, 1, 2], np.array([True, False, False])), ([0, 1, 2, 3], [1, 1, 0, 0])],
    ids=["no such patient", "a patient without a scan", "one train patient", "labels are no truth values"],
)
def test_bad_galleries_are_refused(patients: list[int], is_train: np.ndarray) -> None:
    with pytest.raises(InputError, match="gallery"):
        Gallery(np.array(patients), np.asarray(is_train))


@pytest.mark.parametrize("sim", [np.zeros((0, 4)), np.zeros((2, 3)), np.full((1, 4), np.nan), np.full((1, 4), 1.1)])
def test_bad_similarities_are_refused(sim: np.ndarray) -> None:
    with pytest.raises(InputError, match="similarities"):
        by_patient(sim, Gallery(np.arange(4), TWO))
