import pytest
import torch

from medidiff.diffusion import karras_sigmas


def test_levels_by_hand() -> None:
    # rho = 1 is a straight line; rho = 2 is a straight line in the square root.
    assert karras_sigmas(4, 1, 4, rho=1).tolist() == [4, 3, 2, 1, 0]
    torch.testing.assert_close(karras_sigmas(4, 1, 16, rho=2), torch.tensor([16.0, 9.0, 4.0, 1.0, 0.0]))


@pytest.mark.parametrize("n", [2, 20, 320])
def test_decreasing_with_exact_ends(n: int) -> None:
    sigmas = karras_sigmas(n, 0.002, 80, dtype=torch.float64)
    assert sigmas.shape == (n + 1,)
    assert sigmas[0] == 80
    assert sigmas[-1] == 0
    # (0.002^(1/7))^7: seven multiplications, a few units in the last place of float64.
    assert float(sigmas[-2]) == pytest.approx(0.002, rel=1e-13)
    assert bool((sigmas.diff() < 0).all())


def test_computed_in_float64() -> None:
    exact = karras_sigmas(40, 0.002, 80, dtype=torch.float64)
    assert torch.equal(karras_sigmas(40, 0.002, 80), exact.float())


def test_one_step() -> None:
    assert karras_sigmas(1, 0.1, 5).tolist() == [5, 0]


@pytest.mark.parametrize(("n", "low", "high"), [(0, 0.1, 1), (5, 0, 1), (5, -1, 1), (5, 2, 1), (5, 0.1, float("inf"))])
def test_refuses(n: int, low: float, high: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        karras_sigmas(n, low, high)
