"""What untrained features see and what they do not, on made and on real scans; and the comparison of whole sets."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medidiff.errors import InputError
from medidiff.evaluate.distribution import compare_sets
from medidiff.evaluate.features import BANDS, intensity_texture_features, random_features, standardised

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((5, 16, 18, 14))
EXTRACTORS = [intensity_texture_features, random_features]


def _field(n: int, seed: int, smooth: float = 1.5) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal((n, 12, 12, 12))
    field = gaussian_filter(white, (0, smooth, smooth, smooth))
    return (field / field.std()).astype(np.float32)


def test_known_values_of_a_ramp() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 11)[:, None, None], (11, 8, 8))[None]
    found = intensity_texture_features(ramp)[0]
    assert found.shape == (41,)
    np.testing.assert_allclose(found[:7], [0, 0, 0.2, 0.5, 0.8, 1, 1])  # 64 voxels a value
    np.testing.assert_allclose(found[7:9], [0.5, float(np.std(np.linspace(0, 1, 11)))])
    assert found[9] == pytest.approx(0, abs=1e-9)  # symmetric
    np.testing.assert_allclose(found[11], np.log(0.1), atol=1e-6)  # step along x; none along y and z
    np.testing.assert_allclose(found[14:19], [0.1, 0, 0.1, 0.1, 0.1], atol=1e-9)


def test_white_noise_has_a_flat_spectrum_of_its_variance() -> None:
    noise = 0.7 * np.random.default_rng(1).standard_normal((8, 24, 24, 24))
    bands = intensity_texture_features(noise)[:, 19 : 19 + BANDS]
    # The lowest band holds about 40 independent frequencies, 8 scans: spread of the mean 6%; the window mixes the mean
    # of each scan (taken away) into it, so it is left out.
    np.testing.assert_allclose(np.exp(bands[:, 1:]).mean(axis=0), 0.49, rtol=0.1)


@pytest.mark.parametrize("extract", EXTRACTORS)
def test_a_scan_has_the_same_features_in_any_company(extract: Callable[[np.ndarray], np.ndarray]) -> None:
    together = extract(NOISE)
    np.testing.assert_allclose(extract(NOISE[2:3])[0], together[2], rtol=1e-9, atol=1e-12)  # sums in another order
    np.testing.assert_allclose(extract(NOISE[::-1])[::-1], together, rtol=1e-9, atol=1e-12)


def test_random_features_depend_on_the_seed_and_see_where() -> None:
    assert not np.allclose(random_features(NOISE), random_features(NOISE, seed=1))
    bright = np.zeros((2, 16, 16, 16))
    bright[0, 2:6, 2:6, 2:6] = bright[1, 10:14, 10:14, 10:14] = 1
    here, there = random_features(bright)
    assert np.abs(here - there).max() > 0.1 * np.abs(here).max()
    same = intensity_texture_features(bright)  # which has no idea of place
    np.testing.assert_allclose(same[0][:11], same[1][:11])


def test_standardised_by_the_reference_alone() -> None:
    reference = np.stack([RNG.normal(5, 2, 30), np.full(30, 7.0), RNG.normal(-1, 0.1, 30)], axis=1)
    own = standardised(reference, reference)
    assert own.shape == (30, 2)  # the constant one is left out
    np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(own.std(axis=0), 1)
    np.testing.assert_allclose(standardised(reference[:3], reference), own[:3])
    with pytest.raises(InputError, match="constant"):
        standardised(reference, np.ones((4, 3)))


@pytest.mark.parametrize("extract", EXTRACTORS)
def test_bad_scans_are_refused(extract: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(InputError, match="sides of 8"):
        extract(np.zeros((2, 7, 9, 9)))
    with pytest.raises(InputError, match="must be"):
        extract(np.zeros((9, 9, 9)))
    with pytest.raises(InputError, match="NaN"):
        extract(np.full((1, 8, 8, 8), np.nan))


@pytest.mark.parametrize("extract", EXTRACTORS)
def test_smoother_scans_are_outside_the_band(extract: Callable[[np.ndarray], np.ndarray]) -> None:
    real, others = extract(_field(20, 1)), extract(_field(60, 2))
    patients = [f"r{i // 2}" for i in range(20)], [f"o{i // 2}" for i in range(60)]
    same = compare_sets(extract(_field(40, 3)), real, others, *patients, draws=200)
    smooth = compare_sets(extract(_field(40, 4, 3.0)), real, others, *patients, draws=200)
    assert same.parts == 2
    assert same.size == same.rbf.band.size == 20
    assert same.rbf.inside
    assert not smooth.rbf.inside
    assert not smooth.polynomial.inside
    stored = json.loads(json.dumps(smooth.to_dict()))
    assert stored["rbf"]["verdict"].startswith("outside")
    assert stored["rbf"]["value"] == smooth.rbf.value


def test_sets_that_cannot_be_compared_are_refused() -> None:
    a = RNG.standard_normal((10, 3))
    names = [str(i) for i in range(10)]
    with pytest.raises(InputError, match="at least 10 of each"):
        compare_sets(a[:9], a, a, names, [f"o{n}" for n in names])
    with pytest.raises(InputError, match="split by patient"):
        compare_sets(a, a, a, names, names)


def test_real_scans_are_told_from_smoothed_ones(real_data: Callable[[str], Path]) -> None:
    folder = real_data("hippocampus")
    rows = [line.split("\t") for line in (folder / "participants.tsv").read_text().splitlines()[1:]]
    chosen = [row for row in rows if row[2] == "train"][:60]
    scans = []
    for case, *_ in chosen:
        data = np.asarray(nib.load(folder / "images" / f"{case}.nii.gz").dataobj, dtype=np.float32)  # type: ignore[attr-defined]
        corner = [(n - 24) // 2 for n in data.shape]
        crop = data[tuple(slice(c, c + 24) for c in corner)]
        low, high = np.percentile(crop, (0.5, 99.5))
        scans.append(2 * (crop - low) / (high - low) - 1)
    images, patients = np.stack(scans), [row[1] for row in chosen]
    split = next(i for i in range(14, 60) if patients[i] != patients[i - 1])  # between two patients
    smoothed = gaussian_filter(images[split : 2 * split], (0, 0.6, 0.6, 0.6))
    real, other = images[:split], images[split:]
    for extract in EXTRACTORS:
        found = compare_sets(
            extract(smoothed), extract(real), extract(other), patients[:split], patients[split:], draws=200
        )
        assert not found.rbf.inside, extract.__name__


def test_blocks_of_scans_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(7).normal(size=(5, 16, 12, 10)).astype(np.float32)
    whole = intensity_texture_features(images)
    monkeypatch.setattr("medidiff.evaluate.features._BLOCK", 2 * images[0].size)
    np.testing.assert_allclose(intensity_texture_features(images), whole, rtol=1e-9)
