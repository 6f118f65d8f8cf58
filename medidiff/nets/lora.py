"""Low-rank adaptation: a trained network learns a small change of each kernel, and nothing else.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

A, B = ".lora_a", ".lora_b"
"""Endings of the names of a kernel's two factors."""
TRAINED_WHOLE = ("embedding.tables.", "embedding.scalars.")
"""Beginnings of the names of small parameters that are trained whole: what a cohort's conditions mean."""


class LowRank(nn.Module):
    """W + B A, with W frozen; B starts at zero, so that the network starts as it was.

    Args:
        shape: Shape of the kernel; its first axis are the rows of B, all others together the columns of A.
        rank: Rank of the change.
        generator: Source of randomness of A.
    """

    def __init__(self, shape: torch.Size, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        columns = shape[1:].numel()
        self.a = nn.Parameter(torch.randn(rank, columns, generator=generator) / columns**0.5)
        self.b = nn.Parameter(torch.zeros(shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The kernel in use."""
        return weight + low_rank_change(self.a, self.b, weight.shape)


def low_rank_change(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    """B A as a kernel.

    Args:
        a: (rank, columns); the columns run over the kernel's axes 2, 3, ... and then 1, as channels-last kernels lie.
        b: (rows, rank).
        shape: Of the kernel.

    Returns:
        The change, of that shape, channels last.
    """
    product = b.float() @ a.float()
    if len(shape) < 3:
        return product.reshape(shape)
    rows, inner, *kernel = shape
    moved = product.reshape(rows, *kernel, inner)
    return moved.permute(0, moved.ndim - 1, *range(1, moved.ndim - 1))


def add_low_rank(network: nn.Module, rank: int, seed: int) -> int:
    """Freeze a network and give each of its larger kernels a low-rank change, in place.

    Biases, norms and kernels that a change of this rank would not make smaller stay as they are.

    Args:
        network: A `HaarUNet`.
        rank: Rank of each change.
        seed: Seed of the factors A.

    Returns:
        Number of parameters that train.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINED_WHOLE))
    for name, module in list(network.named_modules()):
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.ndim < 2 or f"{name}.".startswith(TRAINED_WHOLE):
            continue
        rows, columns = weight.shape[0], weight.shape[1:].numel()
        if rank * (rows + columns) < rows * columns:
            parametrize.register_parametrization(module, "weight", LowRank(weight.shape, rank, generator))
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def has_low_rank(network: nn.Module) -> bool:
    """Whether `add_low_rank` was called on it."""
    return any(isinstance(module, LowRank) for module in network.modules())


def low_rank_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What training changed, from the state of a network with low-rank changes: small enough to keep beside the prior.

    Args:
        state: `network.state_dict()`, or the same names with averaged values.

    Returns:
        For each changed kernel `NAME.weight.lora_a` and `.lora_b`; parameters trained whole by their own name.
    """
    kept = {}
    for name, tensor in state.items():
        kernel, found, factor = name.partition(".parametrizations.weight.0.")
        if found:
            kept[f"{kernel}.weight{A if factor == 'a' else B}"] = tensor
        elif name.startswith(TRAINED_WHOLE):
            kept[name] = tensor
    return kept


def merge_low_rank(weights: Mapping[str, Tensor], change: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's weights with the change of `low_rank_state` put in, float32.

    Raises:
        ValueError: The change is for another network.
    """
    merged = {name: tensor.float() for name, tensor in weights.items()}
    for name, tensor in change.items():
        if name.endswith(B):
            continue
        if not name.endswith(A):
            merged[name] = tensor.float()
            continue
        kernel = name.removesuffix(A)
        b = change.get(kernel + B)
        if kernel not in merged or b is None or (b.shape[0], tensor.shape[1]) != _matrix(merged[kernel]):
            raise ValueError(f"the low-rank change of {kernel} does not fit the network it is for")
        merged[kernel] = merged[kernel] + low_rank_change(tensor, b, merged[kernel].shape)
    return merged


def _matrix(kernel: Tensor) -> tuple[int, int]:
    return kernel.shape[0], kernel.shape[1:].numel()
