"""Head and body phantoms: known anatomy, known lesions, the same on every grid, free of noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.errors import UsageError
from medidiff.phantoms.body import AIR_HU, BODY_LABELS, body_phantom
from medidiff.phantoms.head import HEAD_LABELS, head_phantom
from medidiff.phantoms.lesions import Lesion, insert_lesion
from medidiff.phantoms.solids import LESION_LABEL, Phantom, centred_affine

SMALL_HEAD = {"shape": (48, 48, 48), "spacing_mm": (4.0, 4.0, 4.0)}
SMALL_BODY = {"shape": (48, 48, 48), "spacing_mm": (8.0, 8.0, 8.0)}


@pytest.fixture(scope="module")
def head() -> Phantom:
    return head_phantom()


@pytest.fixture(scope="module")
def body() -> Phantom:
    return body_phantom()


def test_head_has_every_structure_at_its_intensity(head: Phantom) -> None:
    assert set(np.unique(head.labels)) == set(HEAD_LABELS)
    means = {name: head.data[head.labels == number].mean() for number, name in HEAD_LABELS.items()}
    assert means["skull"] < means["cortical grey matter"] < means["white matter"]
    assert means["ventricles"] < 0.6 * means["cortical grey matter"]
    assert means["white matter"] == pytest.approx(700, rel=0.1)
    brain = np.isin(head.labels, [4, 5, 7]).sum() * np.prod(head.spacing_mm) / 1000
    assert 900 < brain < 1500  # millilitres: an adult cerebrum
    assert head.data.dtype == np.float32
    assert head.labels.dtype == np.int16
    assert head.data.min() == 0
    assert 800 < head.data.max() < 1200


def test_air_around_head_and_body_is_exactly_constant(head: Phantom, body: Phantom) -> None:
    assert (head.data[:3] == 0).all()
    assert (body.data[:, :6] == AIR_HU).all()
    assert np.mean(body.data == AIR_HU) > 0.3


def test_body_has_every_structure_in_hounsfield_units(body: Phantom) -> None:
    assert set(BODY_LABELS) <= set(np.unique(body.labels))
    medians = {name: np.median(body.data[body.labels == number]) for number, name in BODY_LABELS.items()}
    assert medians["lungs"] == pytest.approx(-850, abs=30)
    assert medians["liver"] == pytest.approx(60, abs=10)
    assert medians["muscle"] == pytest.approx(50, abs=15)
    assert medians["skin and fat"] == pytest.approx(-100, abs=30)
    assert medians["ribs and sternum"] > 120
    assert len(body.lesions) == 3


@pytest.mark.parametrize("make", [head_phantom, body_phantom])
def test_seeds(make: type) -> None:
    size = SMALL_HEAD if make is head_phantom else SMALL_BODY
    first, again, other = make(**size, seed=3), make(**size, seed=3), make(**size, seed=4)
    assert np.array_equal(first.data, again.data)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.data, other.data)


def test_anatomy_does_not_depend_on_the_grid() -> None:
    """A 2 mm head averaged to 4 mm is the 4 mm head, up to partial volume at edges (mean error below 6% of white)."""
    fine = head_phantom((96, 96, 96), (2, 2, 2), seed=5).data
    coarse = head_phantom((48, 48, 48), (4, 4, 4), seed=5).data
    mean = fine.reshape(48, 2, 48, 2, 48, 2).mean(axis=(1, 3, 5))
    assert np.abs(mean - coarse).mean() < 0.06 * 700
    assert np.corrcoef(mean.ravel(), coarse.ravel())[0, 1] > 0.95


def test_phantoms_are_free_of_noise(head: Phantom, body: Phantom) -> None:
    for phantom, label, limit in ((head, 5, 1.5), (body, 5, 0.5)):  # white matter near 700, liver in HU
        data, labels = phantom.data, phantom.labels
        third = np.abs(np.diff(data, n=3, axis=0)) / np.sqrt(20)
        same = (labels[:-3] == label) & (labels[1:-2] == label) & (labels[2:-1] == label) & (labels[3:] == label)
        assert np.median(third[same]) < limit


@settings(max_examples=20, deadline=None)
@given(
    centre=st.tuples(st.floats(-25, 25), st.floats(-25, 25), st.floats(-25, 25)),
    radius=st.floats(6, 20),
    spacing=st.tuples(st.floats(1, 2), st.floats(1, 2), st.floats(1, 4)),
)
def test_lesion_is_where_and_as_large_as_recorded(
    centre: tuple[float, float, float], radius: float, spacing: tuple[float, float, float]
) -> None:
    shape = tuple(int(np.ceil(110 / s)) for s in spacing)
    affine = centred_affine(shape, spacing)
    data = np.full(shape, 100, np.float32)
    share = insert_lesion(data, affine, Lesion("solid", centre, radius, 40))
    index = np.array(
        [np.average(np.arange(n), weights=share.sum(axis=tuple({0, 1, 2} - {a}))) for a, n in enumerate(shape)]
    )
    found = affine[:3, :3] @ index + affine[:3, 3]
    assert np.abs(found - centre).max() < 0.25 * max(spacing)
    size = (share.sum(dtype=np.float64) * np.prod(spacing) * 3 / (4 * np.pi)) ** (1 / 3)
    assert abs(size - radius) < 0.35 * max(spacing)
    np.testing.assert_allclose(data, 100 + 40 * share, atol=1e-3)


def test_lesions_are_recorded_in_the_phantom_and_its_labels() -> None:
    lesions = [Lesion("solid", (30, 10, 40), 8, 250), Lesion("ring", (-30, -20, 40), 12, 200)]
    plain, ill = head_phantom(lesion=None), head_phantom(lesion=lesions)
    assert plain.lesions == []
    assert ill.lesions == lesions
    changed = np.abs(ill.data - plain.data) > 1e-3
    for number, lesion in enumerate(lesions):
        mask = ill.labels == LESION_LABEL + number
        where = np.argwhere(mask).mean(axis=0) @ ill.affine_ras[:3, :3].T + ill.affine_ras[:3, 3]
        assert np.abs(where - lesion.centre_mm).max() < 2  # one voxel
        radius = (mask.sum() * 8 * 3 / (4 * np.pi)) ** (1 / 3)
        assert abs(radius - lesion.radius_mm) < 2
    near = [
        np.linalg.norm(np.argwhere(changed) @ ill.affine_ras[:3, :3].T + ill.affine_ras[:3, 3] - e.centre_mm, axis=1)
        - e.radius_mm
        for e in lesions
    ]
    assert np.minimum(*near).max() < 2 * np.sqrt(3)  # nothing else moved
    assert head_phantom(**SMALL_HEAD, lesion=lesions[1]).lesions == [lesions[1]]
    assert body_phantom(**SMALL_BODY, lesion=[]).lesions == []


def test_ring_and_cyst_have_rim_and_core() -> None:
    affine = centred_affine((41, 41, 41), (1, 1, 1))
    ring, cyst = np.zeros((41, 41, 41), np.float32), np.zeros((41, 41, 41), np.float32)
    insert_lesion(ring, affine, Lesion("ring", (0, 0, 0), 12, 100))
    insert_lesion(cyst, affine, Lesion("cyst", (0, 0, 0), 14, -100))
    assert (ring[20, 20, 20], ring[30, 20, 20]) == pytest.approx((-50, 100))
    assert (cyst[20, 20, 20], cyst[33, 20, 20]) == pytest.approx((-100, 50))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("blob", (0, 0, 0), 5, 1), "must be one of"),
        (("solid", (0, 0, 0), 0, 1), "positive"),
        (("solid", (0, np.nan, 0), 5, 1), "finite"),
    ],
)
def test_bad_lesions_are_refused(values: tuple, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Lesion(*values)


def test_lesion_outside_and_bad_spacing_are_refused() -> None:
    with pytest.raises(UsageError, match="holds no voxel"):
        head_phantom(**SMALL_HEAD, lesion=Lesion("solid", (500, 0, 0), 5, 1))
    with pytest.raises(UsageError, match="spacing_mm"):
        head_phantom((48, 48, 48), (2, 0, 2))
