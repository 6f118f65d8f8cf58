"""The unbiased MMD against closed forms of Gaussians, and what it must be blind to."""

import numpy as np
import pytest

from medidiff.errors import InputError, UsageError
from medidiff.evaluate.mmd import Kernel, median_bandwidth, mmd2, mmd2_of, squared_distances

RNG = np.random.default_rng(0)


def _rbf_mean(mean_gap: np.ndarray, variance: float, bandwidth: float) -> float:
    """E exp(-|x - y|^2 / 2h^2) where x - y is Gaussian with this mean and `variance` along each axis."""
    total = bandwidth**2 + variance
    return float((bandwidth**2 / total) ** (len(mean_gap) / 2) * np.exp(-(mean_gap @ mean_gap) / (2 * total)))


def test_rbf_between_two_gaussians_is_the_closed_form() -> None:
    gap, s, t, h = np.array([0.8, -0.5, 0.3]), 1.0, 1.5, 2.0
    zero = np.zeros(3)
    exact = _rbf_mean(zero, 2 * s**2, h) + _rbf_mean(zero, 2 * t**2, h) - 2 * _rbf_mean(gap, s**2 + t**2, h)
    kernel = Kernel("rbf", bandwidth=h)
    values = [
        mmd2(s * RNG.standard_normal((60, 3)), gap + t * RNG.standard_normal((60, 3)), kernel) for _ in range(400)
    ]
    assert np.mean(values) == pytest.approx(exact, abs=4 * np.std(values) / np.sqrt(len(values)))
    assert exact > 20 * np.std(values) / np.sqrt(len(values))  # so the test can fail


def test_polynomial_between_two_gaussians_is_the_closed_form() -> None:
    # One feature: E (xy + 1)^3 = m3 m3' + 3 m2 m2' + 3 m1 m1' + 1 with the raw moments of x and y.
    def moments(mean: float, std: float) -> np.ndarray:
        return np.array([mean**3 + 3 * mean * std**2, mean**2 + std**2, mean])

    p, q, factor = moments(0.0, 1.0), moments(0.5, 0.8), np.array([1.0, 3.0, 3.0])
    exact = float((factor * (p - q) ** 2).sum())
    values = [mmd2(RNG.standard_normal((50, 1)), 0.5 + 0.8 * RNG.standard_normal((50, 1))) for _ in range(2000)]
    assert np.mean(values) == pytest.approx(exact, abs=4 * np.std(values) / np.sqrt(len(values)))
    assert exact > 8 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("kernel", [Kernel(), Kernel("rbf", bandwidth=2.0)])
def test_it_is_unbiased_at_five_scans(kernel: Kernel) -> None:
    values = [mmd2(RNG.standard_normal((5, 4)), RNG.standard_normal((5, 4)), kernel) for _ in range(3000)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    biased = np.mean([kernel(a, a).mean() for a in RNG.standard_normal((200, 5, 4))])  # with the diagonal
    assert 2 * biased - 2 * kernel(RNG.standard_normal((999, 4)), RNG.standard_normal((999, 4))).mean() > 10 * error


def test_order_and_sides_do_not_matter() -> None:
    a, b = RNG.standard_normal((12, 5)), RNG.standard_normal((12, 5)) + 1
    turned = RNG.permutation(12)
    assert mmd2(a[turned], b) == pytest.approx(mmd2(a, b), rel=1e-12)
    assert mmd2(b, a) == pytest.approx(mmd2(a, b), rel=1e-12)


def test_from_matrices_is_the_same() -> None:
    a, b, kernel = RNG.standard_normal((7, 3)), RNG.standard_normal((7, 3)), Kernel("rbf", bandwidth=1.0)
    assert mmd2_of(kernel(a, a), kernel(b, b), kernel(a, b)) == mmd2(a, b, kernel)
    written_out = sum(kernel(a, a)[i, j] + kernel(b, b)[i, j] for i in range(7) for j in range(7) if i != j) / 42
    assert mmd2(a, b, kernel) == pytest.approx(written_out - 2 * kernel(a, b).mean(), rel=1e-12)


def test_median_bandwidth_of_three_points() -> None:
    assert median_bandwidth(np.array([[0.0], [1.0], [4.0]])) == 3.0  # distances 1, 3, 4
    assert squared_distances(np.array([[0.1, 0.2]]), np.array([[0.1, 0.2]]))[0, 0] == 0.0


def test_bad_input_is_refused() -> None:
    a = RNG.standard_normal((6, 3))
    with pytest.raises(InputError, match="6 against 5 scans: equal numbers"):
        mmd2(a, a[:5])
    with pytest.raises(InputError, match="at least 2"):
        mmd2(a[:1], a[:1])
    with pytest.raises(InputError, match="both sets need the same"):
        mmd2(a, a[:, :2])
    with pytest.raises(InputError, match="NaN"):
        mmd2(a, np.full_like(a, np.nan))
    with pytest.raises(InputError, match="must be \\(scans, features\\)"):
        mmd2(a[0], a[0])
    with pytest.raises(InputError, match="no bandwidth"):
        median_bandwidth(np.zeros((4, 2)))
    with pytest.raises(UsageError, match="bandwidth"):
        Kernel("rbf", bandwidth=0)
    with pytest.raises(UsageError, match="polynomial or rbf"):
        Kernel("cubic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="degree"):
        Kernel(degree=0)
