"""The exact index against a full sort."""

import numpy as np
import pytest

from medidiff.errors import InputError, UsageError
from medidiff.privacy import index
from medidiff.privacy.index import nearest


def unit(rng: np.random.Generator, n: int, d: int = 8) -> np.ndarray:
    rows = rng.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_against_a_full_sort(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    monkeypatch.setattr(index, "_ROWS", 5)
    monkeypatch.setattr(index, "_COLUMNS", 6)
    rng = np.random.default_rng(0)
    queries, gallery = unit(rng, 13), unit(rng, 22)
    found = nearest(queries, gallery, k)
    sim = queries @ gallery.T
    np.testing.assert_array_equal(found.scan, np.argsort(-sim, axis=1)[:, :k])
    # a float32 product of 8 terms below 1, summed in another order: 8 roundings of 2^-24 at most
    np.testing.assert_allclose(found.similarity, -np.sort(-sim, axis=1)[:, :k], atol=8 * 2**-24)


def test_of_equal_scans_the_first_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_COLUMNS", 3)
    queries = np.eye(2, dtype=np.float32)
    gallery = np.eye(2, dtype=np.float32)[[1, 0, 1, 0, 1, 0, 0]]
    found = nearest(queries, gallery, 4)
    np.testing.assert_array_equal(found.scan, [[1, 3, 5, 6], [0, 2, 4, 1]])


def test_own_patient_is_left_out() -> None:
    rng = np.random.default_rng(1)
    gallery, patients = unit(rng, 9), np.array([0, 0, 1, 1, 2, 2, 3, 3, 3])
    found = nearest(gallery, gallery, 3, left_out=(patients, patients))
    assert (patients[found.scan] != patients[:, None]).all()
    alone = nearest(gallery[:1], gallery[:3], 2, left_out=(patients[:1], patients[:3]))
    assert alone.scan[0, 0] == 2
    assert alone.similarity[0, 1] == -np.inf


def test_neighbours_do_not_depend_on_the_order_of_the_gallery() -> None:
    rng = np.random.default_rng(2)
    queries, gallery = unit(rng, 6), unit(rng, 20)
    order = rng.permutation(20)
    np.testing.assert_array_equal(order[nearest(queries, gallery[order], 3).scan], nearest(queries, gallery, 3).scan)


def test_bad_input_is_refused() -> None:
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(UsageError, match="k 4"):
        nearest(rows, rows, 4)
    with pytest.raises(InputError, match="must be"):
        nearest(rows, rows[:, :2])
    with pytest.raises(InputError, match="finite"):
        nearest(rows * np.nan, rows)
    with pytest.raises(InputError, match="left_out"):
        nearest(rows, rows, left_out=(np.arange(2), np.arange(3)))
