"""Muon for convolutions: momentum, made orthogonal."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration (Jordan et al. 2024)."""


def orthogonalise(gradient: Tensor, steps: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """Nearest semi-orthogonal matrix (roughly: singular values between 0.7 and 1.2).

    Args:
        gradient: (out, in), out <= in or not.
        steps: Newton-Schulz iterations.
        dtype: Type of the products and the result; bfloat16 is enough and a third of the time where it is fast.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    a, b, c = NEWTON_SCHULZ
    x = gradient.to(dtype)
    x = x / (gradient.float().norm() + 1e-7).to(dtype)
    flipped = x.shape[0] > x.shape[1]
    x = x.T if flipped else x
    for _ in range(steps):
        gram = x @ x.T
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        x = factor @ x  # (a + b g + c g^2) x
    return x.T if flipped else x


class ConvMuon(torch.optim.Optimizer):
    """Muon over convolution kernels, each flattened to (out, kernel voxels * in), which is how channels-last lies.

    torch.optim.Muon takes matrices only; the rule is the same.

    Args:
        params: Kernels (out, in, kx, ky, kz).
        lr: Step, as the root mean square change of a weight relative to AdamW's (the update is scaled to 0.2 RMS).
        momentum: Nesterov momentum.
        weight_decay: Decoupled weight decay.
        dtype: Type of the products, see `orthogonalise`.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if not state:
                    state["momentum"] = torch.zeros_like(kernel)
                momentum = state["momentum"].lerp_(kernel.grad, 1 - group["momentum"])
                rows = kernel.grad.lerp(momentum, group["momentum"]).permute(0, 2, 3, 4, 1)  # Nesterov
                update = orthogonalise(rows.flatten(1), dtype=self.dtype).reshape(rows.shape).permute(0, 4, 1, 2, 3)
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                # root mean square 0.2, as AdamW's (Liu et al. 2025)
                kernel.add_(update, alpha=-0.2 * group["lr"] * max(rows.shape[0], rows[0].numel()) ** 0.5)
