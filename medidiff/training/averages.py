"""Moving averages of the weights with power-function profiles, several widths at once.

After t steps the average of width sigma_rel weighs the weights of step k with (k^g - (k-1)^g) / t^g, g = gamma + 1: a
bump that ends at t, always the same share of the run however long it is. Two of them, kept sparsely, are enough to
rebuild any other width afterwards (`medidiff.training.posthoc`).

Source: Karras et al. 2024 (EDM2, arXiv 2312.02696), section 3.1 and appendix C.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medidiff.errors import ConfigError


def gamma_of(sigma_rel: float) -> float:
    """Exponent of the profile whose standard deviation is `sigma_rel` of the run.

    The root of sigma_rel^2 (gamma + 2)^2 (gamma + 3) = gamma + 1 (Karras et al. 2024, appendix C).

    Raises:
        ConfigError: `sigma_rel` is not above 0 and below 0.28, where gamma reaches 0 (a plain mean: 0.289).
    """
    if not 0 < sigma_rel < 0.28:
        raise ConfigError(
            f"optimiser.ema {sigma_rel}: a width must be above 0 and below 0.28 of the run (0.05 to 0.15)."
        )
    inverse = sigma_rel**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def profile(step: Tensor | np.ndarray, last: int, sigma_rel: float) -> Any:
    """Weights of the steps `step` (1, 2, ...) in the average of that width after `last` steps; they sum to 1.

    It is what the recursion theta^ <- beta theta^ + (1 - beta) theta, beta = (1 - 1/t)^(gamma + 1), unrolls to.
    """
    g = gamma_of(sigma_rel) + 1
    weights = (step / last) ** g - ((step - 1) / last) ** g
    return weights * (step <= last)


class WeightAverages:
    """Averages of those parameters of a network that train.

    Not a module: the averages neither train, nor are they sent between processes (every process computes the same).

    Args:
        network: The network; what has `requires_grad` false is not averaged (a fine-tune's frozen weights).
        widths: sigma_rel of each average.
    """

    def __init__(self, network: nn.Module, widths: tuple[float, ...]) -> None:
        self.network, self.widths = network, tuple(widths)
        self.exponents = [gamma_of(width) + 1 for width in self.widths]
        self.steps = 0
        self.tensors: list[dict[str, Tensor]] = [{} for _ in self.widths]
        self._shown: nn.Module | None = None
        self._shown_state: Any = None

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's weights of a finished step into every average."""
        self.steps += 1
        current = trained(self.network)
        for average, exponent in zip(self.tensors, self.exponents, strict=True):
            beta = (1 - 1 / self.steps) ** exponent
            for name, tensor in current.items():
                if name not in average:
                    average[name] = tensor.detach().clone()
                elif average[name].device != tensor.device:  # a checkpoint is read before the network moves
                    average[name] = average[name].to(tensor.device)
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]  torch's own optimisers use it
                [average[name] for name in current], list(current.values()), 1 - beta
            )

    @property
    def module(self) -> Any:
        """The network with the first average's weights, or those of `show`; they are not to be changed."""
        if self._shown is None:
            # a fine-tune's frozen weights are shared, not copied
            frozen = {id(p): p for p in self.network.parameters() if not p.requires_grad}
            self._shown = copy.deepcopy(self.network, frozen).requires_grad_(False).eval()
        if self._shown_state != self.steps:
            _put_into(self._shown, self.tensors[0] or trained(self.network))
            self._shown_state = self.steps
        return self._shown

    def show(self, weights: Mapping[str, Tensor]) -> Any:
        """`module` with those weights where it trains, until the next update."""
        _put_into(self.module, weights)
        return self._shown

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"widths": list(self.widths), "steps": self.steps, "tensors": self.tensors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, on the network's device."""
        self.steps = int(state["steps"])
        self.tensors = [dict(average) for average in state["tensors"]]
        self._shown_state = None


@torch.no_grad()
def _put_into(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    parameters = dict(network.named_parameters())
    for name, tensor in weights.items():
        parameters[name].copy_(tensor)


def trained(network: nn.Module) -> dict[str, Tensor]:
    """Parameters that train, by name."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


__all__ = ["WeightAverages", "gamma_of", "profile", "trained"]
