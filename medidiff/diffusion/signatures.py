"""The functions that are passed around: denoisers, samplers and their callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""D(x, t): estimate of the clean scan from x at one level; t is 0-dim."""

DenoiseMap = Callable[[Tensor, Tensor], Tensor]
"""D(x, sigma): the same with a noise map; sigma is 0-dim or broadcasts to x and may hold inf (not observed)."""

Fuse = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(x_t, y, t, noise_map) -> one observation of x0 and its map."""

Colour = Callable[[Tensor], Tensor]
"""White noise of unit variance (b, c, x, y, z) -> unit noise with the shape of the scan's."""

Callback = Callable[[int, Tensor, Tensor], None]
"""Called as callback(i, t, denoised) at step i, before the state moves on."""


@runtime_checkable
class Sampler(Protocol):
    """A solver of the probability-flow ODE from sigmas[0] down to sigmas[-1]."""

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
        """Bring `x` from sigmas[0] to sigmas[-1]."""
        ...
