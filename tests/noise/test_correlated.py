"""Correlated noise has its level at every voxel and exactly the correlations that are told."""

import numpy as np
import pytest

from medidiff.errors import NoiseError
from medidiff.noise import (
    CtKernel,
    GaussianKernel,
    Kernel,
    KSpaceWindow,
    LinearInterpolation,
    add_correlated,
    add_correlated_rician,
    full_spectrum,
    kernel_correlations,
    power_spectrum,
)
from medidiff.noise.correlated import measured_correlations, unit_noise

KERNELS = [
    GaussianKernel((0.8, 0.8, 0)),
    KSpaceWindow((0.6, 1, 0.8)),
    KSpaceWindow((0.8, 0.8, 1), taper="hann"),
    LinearInterpolation((0.5, 0.25, 0)),
    CtKernel(0.2, width_z=0.5),
]


def test_correlations_in_closed_form() -> None:
    # A Gaussian kernel of width s: its autocorrelation has the width sqrt(2) s (sampled: to 1e-3 from s = 0.8 on).
    gauss = kernel_correlations(GaussianKernel((0.8, 1.0, 0)))
    expected = [np.exp(-(d**2) / (4 * s**2)) for s in (0.8, 1.0) for d in (1, 2)]
    np.testing.assert_allclose(gauss, [*expected, 0, 0], atol=2e-3)
    # Two neighbours mixed by a and 1-a.
    a = 0.25
    one = a * (1 - a) / (a**2 + (1 - a) ** 2)
    np.testing.assert_allclose(kernel_correlations(LinearInterpolation((a, 0.5, 0))), [one, 0, 0.5, 0, 0, 0], atol=1e-9)
    # A window that holds 33 of 64 frequencies: the sum of 33 waves (Dirichlet's kernel).
    window = kernel_correlations(KSpaceWindow((0.5, 1, 1)))
    dirichlet = [np.sin(33 * np.pi * d / 64) / (33 * np.sin(np.pi * d / 64)) for d in (1, 2)]
    np.testing.assert_allclose(window, [*dirichlet, 0, 0, 0, 0], atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_noise_has_its_level_and_its_correlations(kernel: Kernel) -> None:
    shape = (48, 47, 46)
    power = power_spectrum(kernel, shape)
    np.testing.assert_allclose(full_spectrum(kernel, shape)[:, :, : power.shape[2]], power, rtol=1e-9, atol=1e-12)
    assert full_spectrum(kernel, shape).mean() == pytest.approx(1, rel=1e-12)
    rng = np.random.default_rng(3)
    draws = [unit_noise(shape, kernel, rng) for _ in range(3)]
    assert draws[0].dtype == np.float32
    # 3 x 104 000 voxels, of which some 10 000 are as good as independent: standard error 0.7% of the deviation.
    assert np.std(draws) == pytest.approx(1, abs=0.02)
    measured = np.mean([measured_correlations(n) for n in draws], axis=0)
    np.testing.assert_allclose(measured, kernel_correlations(kernel, shape), atol=0.02)


def test_the_same_spectra_as_the_denoisers() -> None:
    import torch

    from medidiff.diffusion.colour import correlations, gaussian_power

    shape, widths = (20, 15, 12), (0.9, 0.5, 0.0)
    theirs = gaussian_power(shape, widths).numpy()
    np.testing.assert_allclose(power_spectrum(GaussianKernel(widths), shape), theirs, rtol=2e-5)
    told = correlations(torch.from_numpy(theirs), shape).numpy()
    np.testing.assert_allclose(kernel_correlations(GaussianKernel(widths), shape), told, atol=1e-5)


def test_a_map_is_the_deviation_of_every_voxel() -> None:
    rng, shape = np.random.default_rng(0), (12, 10, 8)
    level = rng.uniform(1, 9, shape)
    clean = np.full(shape, 50, np.float32)
    noise = np.stack([add_correlated(clean, level, rng, KERNELS[0]) - clean for _ in range(400)])
    assert noise.dtype == np.float32
    # 400 draws: standard error 3.5% at each of 960 voxels; 4.5 of them.
    np.testing.assert_allclose(noise.std(axis=0) / level, 1, atol=0.16)
    assert np.sqrt(np.mean(noise.var(axis=0) / level**2)) == pytest.approx(1, abs=0.01)


def test_correlated_rician() -> None:
    rng, kernel = np.random.default_rng(0), GaussianKernel((0.8, 0.8, 0))
    clean = np.zeros((64, 64, 40), np.float32)
    clean[32:] = 1000
    noisy = add_correlated_rician(clean, 10.0, rng, kernel)
    assert noisy.min() >= 0
    background, signal = noisy[:30], noisy[34:] - 1000
    assert background.mean() == pytest.approx(10 * np.sqrt(np.pi / 2), rel=0.02)
    assert signal.std() == pytest.approx(10, rel=0.03)
    told = np.array(kernel_correlations(kernel))
    np.testing.assert_allclose(measured_correlations(signal - signal.mean()), told, atol=0.03)
    np.testing.assert_allclose(measured_correlations(background - background.mean()), told**2, atol=0.05)


def test_a_seed_decides_and_whole_numbers_are_rounded() -> None:
    clean = np.full((30, 30, 30), -3, np.int16)
    one, two = (add_correlated(clean, 2.5, np.random.default_rng(5), KERNELS[3]) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.dtype == np.int16
    assert one.mean() == pytest.approx(-3, abs=0.15)
    assert add_correlated(np.full((9, 9, 9), 250, np.uint8), 40.0, np.random.default_rng(0), KERNELS[0]).max() == 255


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(NoiseError, match=r"widths -1: must be from 0 to 50 voxels"):
        GaussianKernel((0, -1, 0))
    with pytest.raises(NoiseError, match=r"kept 0: must be from 0.05 to 1"):
        KSpaceWindow((0, 1, 1))
    with pytest.raises(NoiseError, match="shift 2"):
        LinearInterpolation((0, 0, 2))
    with pytest.raises(NoiseError, match="roll_off nan"):
        CtKernel(float("nan"))
    for add in (add_correlated, add_correlated_rician):
        with pytest.raises(NoiseError, match="zero or more"):
            add(np.ones((2, 2, 2)), -1.0, np.random.default_rng(0), KERNELS[0])
