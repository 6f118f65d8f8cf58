"""Low-dose CT: path lengths in cm, the noise of counts, exactly how it adds up, and what is left alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medidiff.errors import NoiseError, UsageError
from medidiff.noise import CtScanner, add_low_dose, low_dose_std, photons_for
from medidiff.noise.correlated import measured_correlations
from medidiff.noise.low_dose_ct import _each_path, _expected
from medidiff.noise.parallel_beam import ParallelBeam
from medidiff.phantoms import body_phantom

SPACING = (5.0, 5.0, 5.0)


def water_cylinder(slices: int = 2, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A cylinder of water 20 cm wide in air (HU), and the distance from its axis in cm."""
    x = (np.arange(n) - (n - 1) / 2) * SPACING[0] / 10
    r = np.hypot(x[:, None], x[None, :])
    hu = np.where(r <= 10, 0.0, -1000.0).astype(np.float32)
    return np.repeat(hu[:, :, None], slices, axis=2), r


def test_a_water_cylinder_weakens_as_its_diameter_in_cm_says() -> None:
    hu, _ = water_cylinder(1)
    middle = [p[len(p) // 2, 0] for *_, p in _each_path(hu, SPACING, CtScanner(mu_water_per_cm=0.2))]
    assert np.mean(middle) == pytest.approx(0.2 * 20, rel=0.01)
    # Given as millimetres it would be 40; a view near the diagonal has up to 7% of ripple.
    assert np.ptp(middle) < 0.15 * 4


def test_filtered_back_projection_gives_the_attenuation_back() -> None:
    hu, r = water_cylinder(1)
    mu = np.maximum(0.2 * (1 + hu / 1000), 0).reshape(-1, 1)
    beam = ParallelBeam((48, 48), 0.5, 180)
    image = sum(beam.back(view, beam.filter(beam.project(view, mu))) for view in beam.each_view())
    image = np.asarray(image).reshape(48, 48)
    assert image[r < 8].mean() == pytest.approx(0.2, rel=0.01)
    assert abs(image[r > 11.5].mean()) < 0.004


def test_the_variance_of_the_image_is_exact() -> None:
    # By its definition: one reading at a time, with variance 1, through the filter and back; squares add up.
    beam = ParallelBeam((5, 4), 0.3, 3, "hamming", 0.8)
    variance = np.random.default_rng(0).uniform(1, 2, beam.detectors).astype(np.float32)
    for view in beam.each_view():
        each = beam.back(view, beam.filter(np.eye(beam.detectors, dtype=np.float32)))
        expected = (each**2) @ variance
        np.testing.assert_allclose(beam.back_variance(view, variance[:, None])[:, 0], expected, rtol=2e-4)


@pytest.mark.parametrize(("window", "within"), [("ramp", 1e-6), ("hann", 0.0085)])
def test_filtered_back_projection_is_that_of_scikit_image(window: str, within: float) -> None:
    from skimage.transform import iradon

    beam = ParallelBeam((31, 31), 1.0, 12, window)
    sinogram = np.random.default_rng(0).standard_normal((beam.detectors, 12)).astype(np.float32)
    ours = sum(beam.back(view, beam.filter(sinogram[:, [k]])) for k, view in enumerate(beam.each_view()))
    angles = (np.arange(12) + 0.5) * 15
    theirs = iradon(sinogram.astype(np.float64), angles, beam.detectors, window, circle=False)
    around = slice(beam.detectors // 2 - 15, beam.detectors // 2 + 16)
    expected = theirs[around, around][::-1].T  # its rows run against y, its columns along x
    # Its Hann window has a zero at either end of the spectrum's 256 samples, which makes it 1/255 narrower: by the
    # derivative of the window, weighted by the ramp, that changes noise by 2.17 / 255 of its standard deviation.
    error = (np.asarray(ours).reshape(31, 31) - expected) / expected.std()
    assert np.sqrt(np.mean(error**2)) < within
    assert np.abs(error).max() < 4 * within  # of 961 values


def test_what_a_scan_has_and_what_is_added_make_the_low_dose() -> None:
    # (1-a)/(a I) + 1/I = 1/(a I), and the same for the electronic part: exact, voxel by voxel.
    hu, _ = water_cylinder(1)
    scanner = CtScanner(photons=2e3, electronic_std=20)
    added = low_dose_std(hu, SPACING, 0.25, scanner)
    own = low_dose_std(hu, SPACING, 1.0, scanner, own_noise=False)
    low = low_dose_std(hu, SPACING, 0.25, scanner, own_noise=False)
    np.testing.assert_allclose(np.hypot(added, own), low, rtol=1e-4)


def test_noise_is_as_foretold_correlated_unbiased_and_highest_in_the_middle() -> None:
    hu, r = water_cylinder(40)
    noise = add_low_dose(hu, SPACING, 0.25, np.random.default_rng(0), own_noise=False) - hu
    std = low_dose_std(hu[:, :, :1], SPACING, 0.25, own_noise=False)[:, :, 0]
    inside, middle, ring = r < 9, r < 4, (r > 7) & (r < 9)
    assert np.sqrt(np.mean(noise[inside].var(axis=1) / std[inside] ** 2)) == pytest.approx(1, abs=0.03)
    assert std[middle].mean() > 1.15 * std[ring].mean()
    assert noise[middle].std() > 1.1 * noise[ring].std()
    assert abs(noise[inside].mean()) < 0.2
    x1, _, y1, _, z1, _ = measured_correlations(noise, np.repeat(inside[:, :, None], 40, axis=2))
    assert 0.4 < x1 < 0.8
    assert 0.4 < y1 < 0.8
    assert abs(z1) < 0.05


@pytest.mark.parametrize("own_noise", [False, True])
def test_few_counts_shift_nothing(own_noise: bool) -> None:
    """Through 20 cm of water a quarter of 6000 photons leaves 34, whose logarithm alone would shift the middle."""
    hu, r = water_cylinder(20)
    noise = add_low_dose(hu, SPACING, 0.25, np.random.default_rng(0), CtScanner(6e3), own_noise=own_noise) - hu
    middle = noise[r < 9].mean(axis=0)
    error = float(middle.std()) / 20**0.5
    assert abs(float(middle.mean())) < 4 * error
    assert error < 0.2


@pytest.mark.parametrize("mean", [1e-9, 1e-5, 0.03, 2.0, 40.0])
def test_the_expected_logarithm_of_few_counts(mean: float) -> None:
    """Behind metal as well, where all counts are noise of the electronics."""
    counts = mean + np.sqrt(mean + 25) * np.random.default_rng(0).standard_normal(200_000)
    exact = float(np.log(mean / np.maximum(counts, 1)).mean())
    # the logarithm's deviation is below 0.9; another 0.02 for the quadrature across the kink at one count
    assert _expected(np.array([mean, 1e5]), 1.0, 5.0)[0] == pytest.approx(exact, abs=4 * 0.9 / 200_000**0.5 + 0.02)


def test_noise_goes_as_one_over_the_root_of_the_dose() -> None:
    body = body_phantom((48, 48, 16), (8.0, 8.0, 8.0)).data[:, :, 5:11]
    rng = np.random.default_rng(0)
    tissue = (body > -200) & (body < 200)
    # Enough photons that no ray is starved: where counts run out, noise rises faster than the dose falls.
    stds = [
        (add_low_dose(body, (8.0, 8.0, 8.0), dose, rng, CtScanner(1e7), own_noise=False) - body)[tissue].std()
        for dose in (1.0, 0.25, 0.0625)
    ]
    assert stds[1] / stds[0] == pytest.approx(2, rel=0.1)
    assert stds[2] / stds[1] == pytest.approx(2, rel=0.1)


def test_clipped_air_stays_and_nothing_falls_below_the_floor() -> None:
    body = body_phantom((48, 48, 16), (8.0, 8.0, 8.0)).data[:, :, 6:10].astype(np.int16)
    low = add_low_dose(body, (8.0, 8.0, 8.0), 0.25, np.random.default_rng(0), own_noise=False)
    assert low.dtype == np.int16
    assert low.min() == -1024
    assert np.all(low[body == -1024] == -1024)
    assert np.all(low_dose_std(body, (8.0, 8.0, 8.0), 0.25)[body == -1024] == 0)
    again = add_low_dose(body, (8.0, 8.0, 8.0), 0.25, np.random.default_rng(0), own_noise=False)
    np.testing.assert_array_equal(again, low)


def test_a_field_that_cuts_the_body_gets_the_missing_water() -> None:
    hu, r = water_cylinder(1)
    # 7 cm of the 20. As many detectors as before but for an even number: a voxel in the middle is read by as many of
    # them with the same weights. (With an odd difference, its standard deviation differs by 6.5%.)
    whole = low_dose_std(hu, SPACING, 0.25, own_noise=False)[17:31, 17:31]
    cut = hu[17:31, 17:31]
    treated = low_dose_std(cut, SPACING, 0.25, CtScanner(body_cm=20), own_noise=False)
    # Fewer views, each with more photons, and a margin of 16 detectors: the same noise.
    np.testing.assert_allclose(treated, whole, rtol=0.01)
    alone = low_dose_std(cut, SPACING, 0.25, CtScanner(body_cm=0), own_noise=False)
    assert alone.mean() < 0.6 * whole.mean()
    by_itself = low_dose_std(cut, SPACING, 0.25, own_noise=False)
    assert by_itself.mean() > whole.mean()  # 30 cm are taken where nothing is told
    assert r.shape == (48, 48)


def test_photons_from_the_noise_of_a_scan() -> None:
    hu, _ = water_cylinder(3)
    scanner = photons_for(hu, SPACING, 7.0, CtScanner(electronic_std=10))
    std = low_dose_std(hu, SPACING, 1.0, scanner, own_noise=False)
    assert np.median(std[hu > -200]) == pytest.approx(7, rel=0.006)  # it stops at 0.5%
    with pytest.raises(NoiseError, match="soft tissue"):
        photons_for(np.full((8, 8, 2), 1500.0), SPACING, 7.0)
    with pytest.raises(NoiseError, match="noise_std_hu 0"):
        photons_for(hu, SPACING, 0.0)


def test_quarter_dose_of_a_real_scan(real_data: Callable[[str], Path]) -> None:
    image: Any = nib.load(real_data("sarcoma") / "STS_002" / "CT_image.nii.gz")  # type: ignore[attr-defined]
    data = np.asarray(image.dataobj, dtype=np.float32)[40:104, 40:104, 20:24]
    x, y, z = (float(s) for s in image.header.get_zooms()[:3])
    spacing = (x, y, z)
    scanner = photons_for(data, spacing, 7.0)
    noise = add_low_dose(data, spacing, 0.25, np.random.default_rng(0), scanner) - data
    tissue = (data > -200) & (data < 300)
    # A quarter of the dose doubles 7 HU: sqrt(14^2 - 7^2) = 12.1 are added.
    assert noise[tissue].std() == pytest.approx(12.1, rel=0.1)
    assert abs(noise[tissue].mean()) < 1


def test_arguments_that_make_no_sense() -> None:
    hu, rng = np.zeros((8, 8, 2)), np.random.default_rng(0)
    for dose in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(NoiseError, match="must be a fraction over 0 and below 1"):
            add_low_dose(hu, SPACING, dose, rng)
    with pytest.raises(UsageError, match="must be square"):
        add_low_dose(hu, (1.0, 2.0, 3.0), 0.5, rng)
    with pytest.raises(NoiseError, match="window soft: must be one of ramp"):
        CtScanner(window="soft")
    with pytest.raises(NoiseError, match="photons 0"):
        CtScanner(photons=0)
