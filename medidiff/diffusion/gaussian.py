"""What is known exactly: denoiser, posterior and ODE solution of a Gaussian. For tests and benchmarks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class GaussianDenoiser:
    """The analytic denoiser of x0 ~ N(mu, C), in float64; call it as D(x, sigma).

    Args:
        mu: Mean (c, x, y, z).
        covariance: C, symmetric and positive semi-definite, over the flattened mean (n, n).
        noise_correlation: R = L L^T, that of the noise (n, n), positive definite; None: white. With it levels must be
            finite.
    """

    def __init__(
        self,
        mu: Float[Tensor, "c x y z"],
        covariance: Float[Tensor, "n n"],
        noise_correlation: Float[Tensor, "n n"] | None = None,
    ) -> None:
        self.mu, self.covariance = mu.double(), covariance.double()
        white = torch.eye(len(covariance), dtype=torch.float64)
        self.noise_correlation = white if noise_correlation is None else noise_correlation.double()

    def __call__(self, x: Float[Tensor, "b c x y z"], sigma: Tensor) -> Float[Tensor, "b c x y z"]:
        """E[x0 | x = x0 + sigma n] = mu + C (C + S)^-1 (x - mu), S = diag(sigma) R diag(sigma).

        Args:
            x: Noisy scan; ignored where sigma is infinite.
            sigma: Positive, 0-dim or broadcastable to `x`; may hold inf.
        """
        p, B = self._scaled(sigma, x)
        deviation = torch.where(p > 0, x.double().flatten(1) - self.mu.flatten(), 0)
        solved = torch.linalg.solve(B, (p * deviation)[..., None])[..., 0]
        denoised = self.mu.flatten() + (p * solved) @ self.covariance
        return denoised.reshape(x.shape).to(x.dtype)

    def posterior(self, y: Float[Tensor, "1 c x y z"], noise_map: Tensor) -> GaussianDenoiser:
        """p(x0 | y), again a Gaussian: mean D(y; m), covariance C - C (C + S)^-1 C."""
        p, B = self._scaled(noise_map, y)
        half = p[0, :, None] * self.covariance
        covariance = self.covariance - half.T @ torch.linalg.solve(B[0], half)
        mean = self(y.double(), noise_map)[0]
        return GaussianDenoiser(mean, (covariance + covariance.T) / 2, self.noise_correlation)

    def ode_solution(self, x: Float[Tensor, "b c x y z"], t: float, t_next: float) -> Float[Tensor, "b c x y z"]:
        """Exact solution of the probability-flow ODE from t to t_next.

        Along an eigenvector of C with eigenvalue lambda it is (x - mu) sqrt((lambda + t_next^2) / (lambda + t^2)).
        """
        eigenvalues, U = torch.linalg.eigh(self.covariance)
        eigenvalues = eigenvalues.clamp_min(0)
        gain = torch.sqrt((eigenvalues + t_next**2) / (eigenvalues + t**2))
        deviation = (x.double() - self.mu).flatten(1) @ U
        return self.mu + ((deviation * gain) @ U.T).reshape(x.shape)

    def _scaled(self, sigma: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """p = 1 / sigma (b, n), 0 where not observed, and B = R + p C p (b, n, n): (C + S)^-1 = p B^-1 p."""
        p = (1 / sigma.double()).expand(x.shape).flatten(1)
        return p, self.noise_correlation + p[:, :, None] * self.covariance * p[:, None, :]


def wiener_denoise(
    x: Float[Tensor, "b c x y z"], power: Float[Tensor, "x y z"], sigma: float
) -> Float[Tensor, "b c x y z"]:
    """E[x0 | x] of a zero-mean, stationary, periodic Gaussian field in white noise.

    Args:
        x: Noisy field.
        power: Variance of each coefficient of the orthonormal Fourier transform.
        sigma: Noise standard deviation.
    """
    spectrum = torch.fft.fftn(x, dim=(-3, -2, -1), norm="ortho")
    return torch.fft.ifftn(power / (power + sigma**2) * spectrum, dim=(-3, -2, -1), norm="ortho").real


def wiener_error(power: Float[Tensor, "x y z"], sigma: float) -> float:
    """Mean squared error per voxel of `wiener_denoise`: nothing can do better."""
    return float((power * sigma**2 / (power + sigma**2)).mean())
