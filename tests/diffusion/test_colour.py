"""Coloured noise: its variance and correlations follow from the spectrum exactly, with nothing random."""

import math
import sys

import pytest
import torch
from torch import Generator, Tensor

from medidiff.diffusion import colour, correlations, draw_power, gaussian_power
from medidiff.diffusion.colour import frequencies, normalised

SHAPES = [(8, 6, 4), (7, 9, 5), (16, 5, 6)]
MODULE = sys.modules["medidiff.diffusion.colour"]  # the function of the same name hides it
FAMILIES = ("_gaussian", "_window", "_interpolation", "_ct")


def filter_matrix(power: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """L (n, n): every basis vector through `colour`."""
    basis = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    return colour(basis, power.double()).reshape(len(basis), -1).T


def spectrum(family: str, shape: tuple[int, int, int], seed: int = 3) -> Tensor:
    draw = getattr(MODULE, family)(list(frequencies(shape)), Generator().manual_seed(seed))
    return normalised(draw.expand(*shape[:2], shape[2] // 2 + 1), shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_unit_variance_and_the_stated_correlations(family: str, shape: tuple[int, int, int]) -> None:
    """Cov = L L^T: its diagonal is 1 in every voxel, its entries one and two voxels apart are `correlations`."""
    power = spectrum(family, shape)
    L = filter_matrix(power, shape)
    covariance = (L @ L.T).reshape(*shape, *shape)
    variance = (L @ L.T).diagonal()
    # The spectrum is float32: 1e-7 relative, summed over hundreds of frequencies.
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=0, atol=1e-5)
    told = correlations(power, shape)
    for axis in range(3):
        for lag in (1, 2):
            place = [1, 2, 3]
            place[axis] = (place[axis] + lag) % shape[axis]
            found = float(covariance[(1, 2, 3, *place)])
            assert float(told[2 * axis + lag - 1]) == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("width", [0.5, 0.8, 1.2])
def test_a_gaussian_kernel_has_the_closed_form(width: float) -> None:
    """A Gaussian of width s blurs noise to the correlation exp(-d^2 / (4 s^2)); 0 along z is white there."""
    shape = (32, 24, 16)
    told = correlations(gaussian_power(shape, (width, width, 0.0)), shape).tolist()
    # The spectrum is cut off at half a cycle a voxel, where the amplitude squared has fallen to exp(-(pi s)^2): 8% of
    # its top for s = 0.5, 2e-3 for 0.8, 1e-6 for 1.2. What lies beyond it is missing.
    beyond = math.erfc(math.pi * width)
    for axis in range(2):
        for lag in (1, 2):
            assert told[2 * axis + lag - 1] == pytest.approx(
                math.exp(-(lag**2) / (4 * width**2)), abs=2 * beyond + 1e-5
            )
    assert told[4:] == pytest.approx([0, 0], abs=1e-6)


def test_white_is_the_identity() -> None:
    shape = (6, 5, 4)
    white = torch.randn(2, 1, *shape, generator=Generator().manual_seed(0))
    power = gaussian_power(shape, (0.0, 0.0, 0.0)).expand(6, 5, 3)
    torch.testing.assert_close(colour(white, power), white, rtol=0, atol=1e-6)
    torch.testing.assert_close(correlations(power, shape), torch.zeros(6), rtol=0, atol=1e-6)


def test_volumes_of_a_batch_stay_apart() -> None:
    power = gaussian_power((8, 8, 8), (1.0, 1.0, 1.0))
    white = torch.randn(3, 1, 8, 8, 8, generator=Generator().manual_seed(0))
    torch.testing.assert_close(colour(white, power)[1], colour(white[1], power), rtol=0, atol=1e-6)


def test_interpolation_halfway_is_the_mean_of_two() -> None:
    """A share of 1/2 averages two neighbours: correlation 1/2 at one voxel, 0 at two. Each axis on its own."""
    f = frequencies((16, 16, 16))
    for axis in range(3):
        power = (1 + torch.cos(2 * math.pi * f[axis])) / 2  # = 1 - 2 a (1 - a) (1 - cos) at a = 1/2
        told = correlations(normalised(power.expand(16, 16, 9), (16, 16, 16)), (16, 16, 16))
        wanted = torch.zeros(6)
        wanted[2 * axis] = 0.5
        torch.testing.assert_close(told, wanted, rtol=0, atol=1e-5)
    a = 0.3
    share = 1 - 2 * a * (1 - a) * (1 - torch.cos(2 * math.pi * f[0]))
    told = correlations(normalised(share.expand(16, 16, 9), (16, 16, 16)), (16, 16, 16))
    assert float(told[0]) == pytest.approx(a * (1 - a) / (a**2 + (1 - a) ** 2), abs=1e-5)


def test_drawn_spectra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean 1, finite, nowhere negative, whatever the family; every family is met; the same state draws the same."""
    met: set[str] = set()

    def watched(name: str) -> object:
        original = getattr(MODULE, name)

        def draw(f: list[Tensor], generator: Generator) -> Tensor:
            met.add(name)
            return original(f, generator)

        return draw

    for name in FAMILIES:
        monkeypatch.setattr(MODULE, name, watched(name))
    shape, generator = (12, 10, 9), Generator().manual_seed(0)
    told = []
    for _ in range(80):
        power = draw_power(shape, generator)
        assert power.shape == (12, 10, 5)
        assert bool(power.isfinite().all())
        assert float(power.min()) >= 0
        mean = torch.fft.irfftn(power.to(torch.complex64), s=shape)[0, 0, 0]
        assert float(mean) == pytest.approx(1, abs=1e-4)
        told.append(correlations(power, shape))
    assert met == set(FAMILIES)
    each = torch.stack(told)
    assert float(each.max()) <= 1
    assert float(each.min()) < -0.05, "CT kernels and windows have negative correlations"
    assert bool((each.amax(dim=0) > 0.5).all()), "every axis is met"
    torch.testing.assert_close(
        draw_power(shape, Generator().manual_seed(5)), draw_power(shape, Generator().manual_seed(5))
    )


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 2, 1)])
def test_thin_volumes(shape: tuple[int, int, int]) -> None:
    """An axis of one voxel has no neighbours: what lies a voxel on is the voxel itself."""
    for seed in range(12):
        power = draw_power(shape, Generator().manual_seed(seed))
        assert bool(power.isfinite().all())
        assert float(correlations(power, shape)[2 * shape.index(1)]) == pytest.approx(1, abs=1e-5)
