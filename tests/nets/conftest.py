"""A small network with random weights: a new one is zero at its heads, and zero would pass every test."""

from collections.abc import Callable

import pytest
import torch

from medidiff.diffusion import Preconditioned
from medidiff.nets import CategoricalSlot, ConditionSlots, ContinuousSlot, HaarUNet, NetConfig

SLOTS = ConditionSlots(
    categorical={"kind": CategoricalSlot(values=("t1", "t2"))},
    continuous={"age": ContinuousSlot(unit="years", low=20, high=80)},
    images=("mask",),
)


def randomised(config: NetConfig, sigma_max: float = 20.0) -> Preconditioned:
    """Every layer that starts at zero is drawn instead, at the scale of a trained one."""
    torch.manual_seed(0)
    network = HaarUNet(config)
    for name, parameter in network.named_parameters():
        if float(parameter.detach().abs().max()) == 0 or "modulation" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return Preconditioned(network, torch.full((config.channels,), 0.5), 0.02, sigma_max).eval()


@pytest.fixture
def denoiser() -> Preconditioned:
    """One channel, no conditions."""
    return randomised(NetConfig(widths=(8, 12), blocks=(1, 1), embedding=16))


@pytest.fixture
def conditioned() -> Preconditioned:
    """One channel, a slot of each kind."""
    return randomised(NetConfig(widths=(8, 12), blocks=(1, 1), embedding=16, slots=SLOTS))


@pytest.fixture
def build() -> Callable[..., Preconditioned]:
    """`build(config)`: a network with random weights."""
    return randomised
