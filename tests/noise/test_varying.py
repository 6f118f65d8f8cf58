"""Maps of levels that vary: their range, where they are high, and what they refuse."""

import numpy as np
import pytest

from medidiff.errors import NoiseError
from medidiff.noise import add_gaussian, g_factor_map, radial_level_map, smooth_level_map
from medidiff.noise.varying import _sensitivities


@pytest.mark.parametrize("acceleration", [2, 3, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_g_factor_is_high_where_the_body_folds_onto_itself(acceleration: int, axis: int) -> None:
    g = g_factor_map((48, 36, 3), acceleration, peak=3.0, axis=axis)
    assert g.shape == (48, 36, 3)
    assert g.dtype == np.float32
    assert g.min() == 1
    assert g.max() == pytest.approx(3)
    assert np.ptp(g, axis=2).max() == 0
    x, y = (2 * np.arange(48) - 47)[:, None] / 48, (2 * np.arange(36) - 35)[None, :] / 36
    body = x**2 + y**2 <= 0.85**2
    step = g.shape[axis] // acceleration  # voxels between places that fold onto each other
    folds = sum(np.roll(body, k * step, axis=axis) for k in range(1, acceleration)) > 0
    np.testing.assert_array_equal(g[..., 0] > 1, body & folds)
    middle = x**2 + y**2 < 0.2**2
    assert (g[middle].mean() > g[body].mean()) == (acceleration > 2)  # for 2, the middle folds onto the outside


def test_coils_have_the_field_of_a_loop_on_its_axis() -> None:
    for coils in (8, 12):
        a = 1.25 * np.sin(np.pi / coils)
        field = _sensitivities(np.zeros(1), np.zeros(1), coils)[0]
        np.testing.assert_allclose(np.abs(field), 12 * a**2 / (a**2 + 1.25**2) ** 1.5, rtol=1e-9)
        np.testing.assert_allclose(field / field[0], np.exp(-2j * np.pi * np.arange(coils) / coils), atol=1e-9)


def test_smooth_map_has_its_range_and_its_seed() -> None:
    one, two = (smooth_level_map((30, 25, 20), np.random.default_rng(4), peak=2.5) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.min() == pytest.approx(1, rel=1e-5)
    assert one.max() == pytest.approx(2.5, rel=1e-5)
    assert max(abs(np.diff(np.log(one), axis=axis)).max() for axis in range(3)) < 0.2
    assert smooth_level_map((1, 1, 1), np.random.default_rng(0)).item() == 1


def test_radial_map_is_highest_in_the_middle_of_the_body() -> None:
    level = radial_level_map((41, 41, 2), peak=3.0)
    assert level[20, 20, 0] == pytest.approx(3)
    assert level[0, 0, 0] == 1
    assert np.all(np.diff(level[20:, 20, 0]) <= 0)


def test_noise_of_a_map() -> None:
    level = 4 * radial_level_map((40, 40, 40))
    noise = add_gaussian(np.zeros(level.shape, np.float32), level, np.random.default_rng(0))
    assert np.std(noise / level) == pytest.approx(1, abs=0.015)


def test_arguments_that_make_no_sense() -> None:
    shape = (8, 8, 8)
    with pytest.raises(NoiseError, match="acceleration 5: must be 2, 3 or 4"):
        g_factor_map(shape, 5)
    with pytest.raises(NoiseError, match="coils 4: must be from 8"):
        g_factor_map(shape, 4, coils=4)
    with pytest.raises(NoiseError, match="axis 2"):
        g_factor_map(shape, axis=2)
    with pytest.raises(NoiseError, match="scale 0"):
        smooth_level_map(shape, np.random.default_rng(0), scale=0.0)
    for make in (g_factor_map, radial_level_map):
        with pytest.raises(NoiseError, match=r"body 0: must be from 0.1"):
            make(shape, body=0.0)
    for make in (g_factor_map, radial_level_map):
        with pytest.raises(NoiseError, match=r"peak 0.5: must be from 1"):
            make(shape, peak=0.5)
