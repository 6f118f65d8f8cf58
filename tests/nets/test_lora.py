"""Low-rank changes: nothing at first, exact when merged, small when kept."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.nets.embedding import CategoricalSlot, ConditionSlots
from medidiff.nets.lora import LowRank, add_low_rank, has_low_rank, low_rank_change, low_rank_state, merge_low_rank
from medidiff.nets.unet import HaarUNet, NetConfig

CONFIG = NetConfig(
    widths=(16, 24), blocks=(1, 1), embedding=16,
    slots=ConditionSlots(categorical={"kind": CategoricalSlot(values=("a", "b"))}),
)  # fmt: skip


def network(seed: int = 0) -> HaarUNet:
    generator = torch.Generator().manual_seed(seed)
    net = HaarUNet(CONFIG)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net


def output(net: HaarUNet) -> torch.Tensor:
    x = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(9))
    return net(x, torch.full((1, 1, 1, 1, 1), -0.5))[0]


def test_at_first_nothing_changes_and_little_trains() -> None:
    plain, adapted = network(), network()
    trained = add_low_rank(adapted, rank=2, seed=0)
    assert torch.equal(output(plain), output(adapted))
    assert has_low_rank(adapted)
    assert not has_low_rank(plain)
    assert 0 < trained < 0.15 * sum(p.numel() for p in plain.parameters())


def test_the_merged_network_is_the_adapted_one() -> None:
    adapted = network()
    add_low_rank(adapted, rank=3, seed=0)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    merged = HaarUNet(CONFIG)
    merged.load_state_dict(merge_low_rank(network().state_dict(), low_rank_state(adapted.state_dict())))
    assert not torch.allclose(output(merged), output(network()), atol=1e-3)
    torch.testing.assert_close(output(merged), output(adapted), atol=1e-5, rtol=1e-5)


def test_only_what_changes_has_a_gradient() -> None:
    adapted = network()
    add_low_rank(adapted, rank=2, seed=0)
    output(adapted).square().mean().backward()
    names = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert names
    assert all("parametrizations.weight.0" in name or name.startswith("embedding.tables") for name in names)


def test_a_change_for_another_network_is_refused() -> None:
    state = {"stem.weight.lora_a": torch.zeros(2, 5), "stem.weight.lora_b": torch.zeros(3, 2)}
    with pytest.raises(ValueError, match=r"stem\.weight"):
        merge_low_rank(network().state_dict(), state)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 9), inner=st.integers(1, 7), edge=st.integers(1, 3), rank=st.integers(1, 4))
def test_the_change_has_its_rank_and_its_layout(rows: int, inner: int, edge: int, rank: int) -> None:
    shape = torch.Size((rows, inner, edge, edge, edge))
    generator = torch.Generator().manual_seed(rows * 1000 + inner)
    low = LowRank(shape, rank, generator)
    b = torch.randn(rows, rank, generator=generator)
    change = low_rank_change(low.a.detach(), b, shape)
    assert change.shape == shape
    assert torch.linalg.matrix_rank(change.flatten(1)) <= min(rank, rows, shape[1:].numel())
    one = low.a.detach().T @ b[0]  # row 0, columns over kernel voxels and then input channels
    torch.testing.assert_close(change[0].permute(1, 2, 3, 0).flatten(), one)
