"""The benchmark's noise: the level it says, the same bits every time, the shape it says; its scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _noise
from benchmarks._cases import Case
from benchmarks._methods import Answer, peer_method
from benchmarks._noise import Noisy, corrupt, reference, smooth_field, unit_coloured
from benchmarks._scores import score_ct, tissues
from benchmarks._store import fetch, keep, place
from medidiff.volume import Volume


def ramp(name: str = "toy_1", low: float = -1000, high: float = 1000) -> Case:
    clean = np.linspace(low, high, 40**3).reshape(40, 40, 40)
    return Case("toy", name, Volume.from_array(clean))


def test_gaussian_noise_has_its_level_and_is_the_same_every_time() -> None:
    case = ramp()
    assert case.data_range == pytest.approx(0.99 * 2000)
    noisy = corrupt(case, "gaussian", 9.0)
    noise = noisy.volume.data - case.clean.data
    assert noisy.std == pytest.approx(0.09 * case.data_range)
    assert noise.std() == pytest.approx(noisy.std, rel=0.012)  # 4 standard errors: 4 / sqrt(2 * 64 000)
    np.testing.assert_array_equal(noisy.volume.data, case.noisy(9.0).data)  # outputs cached for these bits stay good
    assert not np.array_equal(noisy.volume.data, corrupt(ramp("toy_2"), "gaussian", 9.0).volume.data)


def test_a_reference_of_rician_noise_has_no_negative_values_and_its_background_is_rayleigh() -> None:
    case = reference(ramp(), "rician")
    assert case.clean.data.min() == 0
    assert case.clean.shape == (40, 40, 24)
    empty = replace(case, clean=case.clean.with_data(np.where(case.clean.data > 500, case.clean.data, 0)))
    noisy = corrupt(empty, "rician", 9.0)
    dark = noisy.volume.data[empty.clean.data == 0]
    assert dark.mean() == pytest.approx(noisy.std * np.sqrt(np.pi / 2), rel=0.02)  # the mean of a Rayleigh variable


@pytest.mark.parametrize("width", [0.6, 1.0])
def test_coloured_noise_has_unit_variance_and_the_correlation_it_says(width: float) -> None:
    noise, power, known = unit_coloured((64, 64, 40), width, np.random.default_rng(0))
    assert noise.shape == (64, 64, 40)
    assert noise.std() == pytest.approx(1, rel=0.02)
    assert power.mean() == pytest.approx(1, rel=1e-5)  # of all frequencies: the variance
    # White noise blurred by a Gaussian of that width: exp(-lag^2 / (4 width^2)), a little off on the grid.
    assert known[0] == pytest.approx(np.exp(-1 / (4 * width**2)), abs=0.02)
    assert known[4] == pytest.approx(0, abs=1e-5)
    measured = np.mean(noise[1:] * noise[:-1]) / np.mean(noise**2)
    assert measured == pytest.approx(known[0], abs=0.02)
    # Not periodic: the first and the last plane are strangers.
    assert abs(np.mean(noise[0] * noise[-1])) < 0.1


def test_varying_noise_goes_from_once_to_three_times() -> None:
    field = smooth_field((40, 40, 24), np.random.default_rng(3))
    assert (field.min(), field.max()) == (0, 1)
    assert np.abs(np.diff(field, axis=0)).max() < 0.2
    case = reference(ramp(), "varying")
    noisy = corrupt(case, "varying", 4.0)
    assert noisy.std_map is not None
    assert noisy.std_map.min() == pytest.approx(0.04 * case.data_range)
    assert noisy.std_map.max() == pytest.approx(0.12 * case.data_range)
    standard = (noisy.volume.data - case.clean.data) / noisy.std_map
    assert standard.std() == pytest.approx(1, rel=0.015)
    assert noisy.std == pytest.approx(np.sqrt(np.mean(noisy.std_map.astype(float) ** 2)))


def test_the_typical_level_is_that_of_voxels_above_the_floor() -> None:
    data = np.full((4, 4, 4), -1024.0, dtype=np.float32)
    std_map = np.full((4, 4, 4), 2.0, dtype=np.float32)
    data[:1], std_map[:1] = 40.0, 20.0
    noisy = Noisy("ct", 0.25, Volume.from_array(data), 10.0, -1024.0, 1000.0, std_map=std_map)
    assert noisy.typical == 20
    assert replace(noisy, std_map=None).typical == 10


def test_every_kind_has_a_maker_and_sets() -> None:
    assert set(_noise.LEVELS) == set(_noise.SETS) == set(_noise.KINDS)


def test_the_cache_never_takes_other_noise_for_this(tmp_path: Path) -> None:
    case = ramp()
    noisy, method = corrupt(case, "gaussian", 9.0), peer_method("bm4d")
    path = place(tmp_path, method, case, noisy)
    assert path.parent == tmp_path  # where outputs of earlier versions lie
    assert fetch(path) is None
    keep(path, Answer(noisy.volume.data, 1.0, 2.0, 3.0))
    found = fetch(path)
    assert found is not None
    assert (found.seconds, found.cpu_seconds, found.extra_mib) == (1.0, 2.0, 3.0)
    np.testing.assert_array_equal(found.data, noisy.volume.data)
    other = replace(noisy, volume=noisy.volume.with_data(noisy.volume.data + 1))
    assert place(tmp_path, method, case, other) != path
    assert place(tmp_path, peer_method("bm4d informed"), case, noisy) != path


def test_informed_peers_run_only_where_there_is_something_to_tell() -> None:
    noisy = Noisy("gaussian", 9.0, ramp().clean, 1.0, 0.0, 1.0)
    assert peer_method("bm4d").applies(noisy)
    assert not peer_method("bm4d informed").applies(noisy)
    assert peer_method("bm4d informed").applies(replace(noisy, std_map=np.ones((40, 40, 40))))


def test_ct_bias_is_the_mean_error_of_each_uniform_tissue() -> None:
    clean = np.full((40, 40, 20), 50.0, dtype=np.float32)
    clean[:10], clean[10:20] = -1024, -100
    case = Case("body", "toy", Volume.from_array(clean), "ct")
    where = tissues(clean)
    assert not where["fat"][10].any()  # beside the edge is not uniform
    shifted = clean + np.where(clean == 50, 2.0, -1.0)
    bias = score_ct(case, shifted)["bias_hu"]
    assert bias["soft"] == pytest.approx(2)
    assert bias["fat"] == pytest.approx(-1)
    assert np.isnan(bias["lung"])
    # A scan with noise of its own is not uniform to the eye; its tissues are known far from all edges.
    own = np.random.default_rng(0).normal(0, 40, clean.shape).astype(np.float32)
    assert not tissues(clean + own)["soft"].any()
    soft = tissues(clean + own, 40.0)["soft"]
    assert soft[28:36, 8:32, 5:15].mean() > 0.9
    assert not soft[:22].any()
