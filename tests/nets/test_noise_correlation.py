"""What the network is told of the noise's correlation: nothing at first, then it matters, scan by scan."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from medidiff.diffusion import Preconditioned
from medidiff.nets import HaarUNet, NetConfig
from medidiff.nets.embedding import NOISE_CORRELATION

SIZE: dict[str, Any] = {"widths": (8, 12), "blocks": (1, 1), "embedding": 16}
TOLD = torch.tensor([[0.7, 0.2, 0.7, 0.2, 0.0, 0.0], [-0.3, 0.1, -0.3, 0.1, 0.0, 0.0]])


def scan() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 1, 8, 8, 8, generator=Generator().manual_seed(0)), torch.tensor(0.3)


@pytest.fixture
def told(build: Callable[..., Preconditioned]) -> Preconditioned:
    """A network with the condition, every layer drawn."""
    return build(NetConfig(**SIZE, noise_correlation=True))


@torch.no_grad()
def test_new_weights_change_nothing(build: Callable[..., Preconditioned]) -> None:
    """A prior without the condition, put into a network with it, answers bit by bit as before, told or not."""
    old = build(NetConfig(**SIZE))
    network = HaarUNet(NetConfig(**SIZE, noise_correlation=True))
    missing, unknown = network.load_state_dict(old.network.state_dict(), strict=False)
    assert not unknown
    assert all(name.startswith("embedding.colour.") for name in missing)
    new = Preconditioned(network, torch.tensor([0.5]), 0.02, 20.0).eval()
    x, sigma = scan()
    for cond in (None, {}, {NOISE_CORRELATION: TOLD}, {NOISE_CORRELATION: torch.full((2, 6), torch.nan)}):
        assert torch.equal(new(x, sigma, None, cond).mean, old(x, sigma).mean)
        assert torch.equal(new(x, sigma, None, cond).log_variance, old(x, sigma).log_variance)


@torch.no_grad()
def test_it_matters_and_stays_with_its_scan(told: Preconditioned) -> None:
    x, sigma = scan()
    untold = told(x, sigma).mean
    both = told(x, sigma, None, {NOISE_CORRELATION: TOLD}).mean
    white = told(x, sigma, None, {NOISE_CORRELATION: torch.zeros(2, 6)}).mean
    # Rounding is 1e-6 (test_unet); drawn weights of 0.1 make little of six numbers below 1.
    assert float((both - untold).abs().max()) > 1e-4
    assert float((both - white).abs().max()) > 1e-4
    assert float((white - untold).abs().max()) > 1e-4, "known to be white is not unknown"
    one = told(x, sigma, None, {NOISE_CORRELATION: torch.stack([TOLD[0], torch.full((6,), torch.nan)])}).mean
    torch.testing.assert_close(one[0], both[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(one[1], untold[1], rtol=0, atol=1e-5)
    alone = told(x[1:], sigma, None, {NOISE_CORRELATION: TOLD[1:]}).mean
    torch.testing.assert_close(alone, both[1:], rtol=0, atol=1e-5)  # as in test_unet: other blocking of the sums


@torch.no_grad()
def test_nan_is_untold(told: Preconditioned) -> None:
    x, sigma = scan()
    untold = told(x, sigma).mean
    part = TOLD.clone()
    part[:, 3] = torch.nan  # one of six unknown: then nothing is said
    for values in (torch.full((2, 6), torch.nan), part):
        assert torch.equal(told(x, sigma, None, {NOISE_CORRELATION: values}).mean, untold)


def test_a_network_without_it_ignores_it(build: Callable[..., Preconditioned]) -> None:
    plain = build(NetConfig(**SIZE))
    x, sigma = scan()
    with torch.no_grad():
        assert torch.equal(plain(x, sigma, None, {NOISE_CORRELATION: TOLD}).mean, plain(x, sigma).mean)
