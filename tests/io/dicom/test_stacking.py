import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medidiff.geometry import ras_to_lps
from medidiff.io.dicom.model import Plane, Refusal, Stacking
from medidiff.io.dicom.stacking import sort_planes, stack_planes

_SPEC = importlib.util.spec_from_file_location("planes", Path(__file__).with_name("planes.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
planes = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(planes)


def stack(members: list[Plane]) -> tuple[Stacking | None, Refusal | None]:
    return stack_planes(sort_planes(members))


def code(members: list[Plane]) -> str | None:
    refusal = stack(members)[1]
    return None if refusal is None else refusal.code


def test_the_affine_of_an_axial_stack() -> None:
    stacking, refusal = stack(planes.column([7, 1, 4]))
    assert refusal is None
    assert stacking is not None
    assert stacking.shape == (8, 6, 3)
    assert stacking.slots == (0, 1, 2)
    expected = [[0.75, 0, 0, -3], [0, 0.5, 0, 4], [0, 0, 3, 1], [0, 0, 0, 1]]
    np.testing.assert_allclose(ras_to_lps(stacking.affine_ras), expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 30),
    step_mm=st.floats(0.3, 10),
    jitter=st.floats(0, 0.004),
)
def test_any_orientation_and_order(seed: int, count: int, step_mm: float, jitter: float) -> None:
    rng = np.random.default_rng(seed)
    axes = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    origin = rng.uniform(-200, 200, 3)
    # Displacements of at most 0.4% each: no slice lies further than 0.8% of a step off the line from first to last.
    offsets = np.arange(count) * step_mm + rng.uniform(-jitter, jitter, count) * step_mm
    offsets[[0, -1]] = 0, (count - 1) * step_mm
    members = [
        planes.make_plane(origin + s * axes[2], [*axes[0], *axes[1]], label=f"{i}") for i, s in enumerate(offsets)
    ]
    stacking, refusal = stack([members[i] for i in rng.permutation(count)])
    assert refusal is None
    assert stacking is not None
    columns = np.stack([axes[0] * 0.75, axes[1] * 0.5, axes[2] * step_mm, origin], axis=1)
    np.testing.assert_allclose(ras_to_lps(stacking.affine_ras)[:3], columns, atol=1e-9)


def test_gaps_are_listed_in_mm() -> None:
    stacking, refusal = stack(planes.column([0, 2.5, 5, 10, 12.5, 20]))
    assert refusal is not None
    assert stacking is not None
    assert refusal.code == "gap"
    assert "7.50, 15.00, 17.50 mm" in refusal.message
    assert stacking.shape[2] == 9
    assert stacking.missing == (3, 6, 7)
    assert stacking.slots == (0, 1, 2, 4, 5, 8)


def test_duplicates_are_listed_in_mm() -> None:
    refusal = stack([*planes.column([0, 2, 4]), planes.make_plane((-3, 4, 2), label="again")])[1]
    assert refusal is not None
    assert refusal.code == "duplicate"
    assert "at 2.00 mm" in refusal.message


@pytest.mark.parametrize(
    ("heights_mm", "expected"),
    [
        ([0.0, 1, 2.02, 3], "uneven"),  # 2% of a step
        ([0.0, 1, 2.009, 3], None),  # 0.9%
        ([0.0, 1, 2.5, 3.1], "uneven"),
        ([0.0, 0.3, 0.605, 0.9], None),  # 1.7%, but less than what rounding to 0.01 mm does
        ([0.0, 1, 60], "uneven"),  # more is missing than is there
        ([5.0], "one-slice"),
        ([0.0, 3], None),
    ],
)
def test_tolerances_along_the_normal(heights_mm: list[float], expected: str | None) -> None:
    assert code(planes.column(heights_mm)) == expected


def test_a_slow_drift_is_uneven() -> None:
    """Each distance is within 1% of the mean, the slices in the middle are not where the grid has them."""
    heights = np.cumsum([0.0, *[1.004] * 20, *[0.996] * 20])
    assert code(planes.column(heights.tolist())) == "uneven"


def test_tilt() -> None:
    angle = np.radians(16.5)
    members = [planes.make_plane((0, 2.5 * k * np.sin(angle), 2.5 * k * np.cos(angle))) for k in range(6)]
    stacking, refusal = stack(members)
    assert refusal is not None
    assert stacking is not None
    assert refusal.code == "tilt"
    assert "16.50 degrees" in refusal.message
    assert stacking.tilt_deg == pytest.approx(16.5)
    np.testing.assert_allclose(ras_to_lps(stacking.affine_ras)[:3, 2], [0, 2.5 * np.sin(angle), 2.5 * np.cos(angle)])
    straight = [planes.make_plane((0, 0.0009 * k, k)) for k in range(6)]
    assert code(straight) is None
    assert code([planes.make_plane((0, 0.0011 * k, k)) for k in range(6)]) == "tilt"


def test_slices_shifted_in_their_plane() -> None:
    members = planes.column([0, 1, 3])
    assert code([*members, planes.make_plane((-2, 4, 2))]) == "uneven"
    assert code([*planes.column([0, 1, 2]), planes.make_plane((30, 4, 2))]) == "uneven"
