"""Where a voxel lies in the body, as the network is told: exact features, unknown, nothing at first."""

import pytest
import torch
from torch import Tensor

from medidiff.nets import HaarUNet, NetConfig
from medidiff.nets.embedding import POSITION, PositionEmbedding

CONFIG = NetConfig(widths=(8, 12), blocks=(1, 1), embedding=16, position=True)


def frames(batch: int) -> Tensor:
    return torch.randn(batch, 3, 4, generator=torch.Generator().manual_seed(2)) * torch.tensor([0.02] * 3 + [1.0])


def awake(config: NetConfig) -> HaarUNet:
    """A network in which every weight does something."""
    torch.manual_seed(0)
    network = HaarUNet(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn(weight.shape)
    return network.eval()


@pytest.mark.parametrize("autocast", [False, True])
def test_features_are_the_coordinates_of_the_haar_voxels(autocast: bool) -> None:
    embed, frame = PositionEmbedding(4), frames(2)
    torch.nn.init.eye_(embed.linear.weight)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = embed(torch.zeros(2, 4, 3, 4, 5), frame)
    j = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (3, 4, 5)), indexing="ij"), dim=-1)
    centres = 2.0 * j + 0.5  # between voxels 2j and 2j + 1
    for b in range(2):
        wanted = centres @ frame[b, :, :3].T + frame[b, :, 3]
        torch.testing.assert_close(out[b, :3].permute(1, 2, 3, 0), wanted, rtol=0, atol=2e-6)
    assert (out[:, 3] == 1).all()


def test_unknown_is_nothing_and_so_is_a_fresh_network() -> None:
    x, level = torch.randn(2, 1, 8, 8, 12), torch.zeros(2, 1, 1, 1, 1)
    network, frame = awake(CONFIG), frames(2)
    with torch.no_grad():
        none = network(x, level)[0]
        nan = network(x, level, None, {POSITION: torch.full((2, 3, 4), float("nan"))})[0]
        half = network(
            x, level, None, {POSITION: torch.where(torch.tensor([True, False])[:, None, None], frame, torch.nan)}
        )[0]
        both = network(x, level, None, {POSITION: frame})[0]
    assert torch.equal(none, nan)
    torch.testing.assert_close(half[0], both[0], rtol=0, atol=1e-6)
    assert torch.equal(half[1], none[1])
    assert float((both - none).abs().max()) > 1e-3
    # a network that was not told before goes on as it was
    torch.manual_seed(0)
    plain = HaarUNet(CONFIG.model_copy(update={"position": False}))
    told = HaarUNet(CONFIG)
    missing, unknown = told.load_state_dict(plain.state_dict(), strict=False)
    assert (missing, unknown) == (["position.linear.weight"], [])
    with torch.no_grad():
        assert torch.equal(told(x, level, None, {POSITION: frame})[0], plain(x, level)[0])


def test_one_position_serves_the_batch_and_learns() -> None:
    x, level, network, frame = torch.randn(2, 1, 8, 8, 8), torch.zeros(2, 1, 1, 1, 1), awake(CONFIG), frames(1)
    one = network(x, level, None, {POSITION: frame})[0]
    torch.testing.assert_close(one, network(x, level, None, {POSITION: frame.expand(2, 3, 4)})[0], rtol=0, atol=1e-6)
    one.square().mean().backward()
    assert network.position is not None
    assert network.position.linear.weight.grad is not None
    assert (network.position.linear.weight.grad != 0).any(dim=0).all()
