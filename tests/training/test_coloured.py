"""Training on correlated noise, and from another prior's weights."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from medidiff.cohort.sources import Case
from medidiff.diffusion import Preconditioned, colour, correlations, draw_power
from medidiff.errors import ConfigError, PriorError
from medidiff.nets import CategoricalSlot, ConditionSlots, HaarUNet, NetConfig
from medidiff.prior import Prior
from medidiff.training import draws
from medidiff.training.config import TrainingConfig
from medidiff.training.export import make_card
from medidiff.training.start import start_from

ARCHITECTURE: dict[str, Any] = {"widths": (16, 16, 24), "blocks": (1, 1, 1), "embedding": 16}
"""That of `tiny_prior`."""


def config(folder: Path, **parts: Any) -> TrainingConfig:
    tree = {
        "name": "tiny",
        "output": folder / "out",
        "data": {"patch": [16, 16, 16], "sources": [{"type": "procedural", "volumes": 2, "size": 16, "seed": 1}]},
        "network": {**ARCHITECTURE, "noise_correlation": True},
    }
    return TrainingConfig.model_validate(tree | parts)


def fresh(**changes: Any) -> Preconditioned:
    return Preconditioned(HaarUNet(NetConfig(**(ARCHITECTURE | changes))), torch.tensor([0.7]), 0.002, 80.0)


@torch.no_grad()
def test_start_from_takes_weights_and_sigma_data(tiny_prior: Prior, tmp_path: Path) -> None:
    tiny_prior.save(tmp_path / "tiny.safetensors")
    network = fresh(noise_correlation=True)
    start_from(network, tmp_path / "tiny.safetensors")
    assert float(network.sigma_data) == tiny_prior.card.sigma_data[0] == 0.5
    x = torch.randn(1, 1, 16, 16, 16, generator=Generator().manual_seed(0))
    told = {"noise_correlation": torch.tensor([[0.5, 0.2, 0.5, 0.2, 0.0, 0.0]])}
    for sigma in (torch.tensor(0.1), torch.tensor(2.0)):
        assert torch.equal(network(x, sigma, None, told).mean, tiny_prior.build()(x, sigma).mean)


@torch.no_grad()
def test_a_grown_network_begins_as_the_prior(tiny_prior: Prior, tmp_path: Path) -> None:
    tiny_prior.save(tmp_path / "tiny.safetensors")
    grown = fresh(blocks=(2, 3, 2), noise_correlation=True)
    start_from(grown, tmp_path / "tiny.safetensors")
    x = torch.randn(1, 1, 16, 16, 16, generator=Generator().manual_seed(0))
    now, before = grown(x, torch.tensor(0.3)), tiny_prior.build()(x, torch.tensor(0.3))
    assert torch.equal(now.mean, before.mean)
    assert torch.equal(now.log_variance, before.log_variance)
    card = tiny_prior.card.model_copy(update={"network": grown.network.config})
    Prior(card, grown.network.state_dict()).save(tmp_path / "grown.safetensors")
    with pytest.raises(ConfigError, match="another architecture"):  # a smaller one would leave weights out
        start_from(fresh(noise_correlation=True), tmp_path / "grown.safetensors")


def test_start_from_refuses_what_does_not_fit(tiny_prior: Prior, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_prior.save(path)
    for other in ({"widths": (16, 16, 32)}, {"widths": (16, 16), "blocks": (1, 1)}, {"embedding": 24}):
        with pytest.raises(ConfigError, match="another architecture"):
            start_from(fresh(**other), path)
    with pytest.raises(PriorError):
        start_from(fresh(), tmp_path / "none.safetensors")


def test_start_from_refuses_other_kinds(tiny_prior: Prior, tmp_path: Path) -> None:
    """As many kinds with other names: the weights fit, their meaning does not."""
    ours, theirs = (
        ConditionSlots(categorical={"kind": CategoricalSlot(values=(name,))}) for name in ("head_t1", "body_ct")
    )
    network = HaarUNet(NetConfig(**ARCHITECTURE, slots=ours))
    card = tiny_prior.card.model_copy(update={"network": network.config})
    Prior(card, network.state_dict()).save(tmp_path / "kinds.safetensors")
    start_from(fresh(slots=ours, noise_correlation=True), tmp_path / "kinds.safetensors")
    with pytest.raises(ConfigError, match="conditions"):
        start_from(fresh(slots=theirs), tmp_path / "kinds.safetensors")


@pytest.fixture
def patches() -> tuple[Tensor, Tensor, Tensor]:
    """Three patches, the last from a noisy scan, with their own noise and white noise to add."""
    target, noise = torch.randn(2, 3, 1, 16, 16, 16, generator=Generator().manual_seed(0))
    return target, torch.tensor([0.0, 0.0, 0.2]).reshape(3, 1, 1, 1, 1), noise


def corrupted(p_coloured: float, patches: tuple[Tensor, Tensor, Tensor], level: Tensor) -> tuple[list[Any], Tensor]:
    target, tau, noise = patches
    generators = [Generator().manual_seed(7 + i) for i in range(len(target))]
    return draws.corrupt_patches(target, tau, draws.Drawn(level, noise, torch.zeros(3, 3), generators), p_coloured)


def test_coloured_patches_are_told(patches: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Level and marginal variance as wanted, the correlation that of the spectrum times the added share."""
    monkeypatch.setattr(draws, "COLOUR_JITTER", 0.0)
    drawn: list[Tensor] = []

    def draw(shape: tuple[int, int, int], generator: Generator) -> Tensor:
        drawn.append(draw_power(shape, generator))
        return drawn[-1]

    monkeypatch.setattr(draws, "draw_power", draw)
    level = torch.full((3, 1, 1, 1, 1), 0.5)
    pairs, told = corrupted(1.0, patches, level)
    assert len(drawn) == 3
    share = torch.tensor([1.0, 1.0, (0.25 - 0.04) / 0.25])
    for i, pair in enumerate(pairs):
        torch.testing.assert_close(told[i], share[i] * correlations(drawn[i], (16, 16, 16)), rtol=0, atol=1e-5)
        torch.testing.assert_close(pair.level, level[:1])
        added = (0.25 - patches[1][i] ** 2).sqrt() * colour(patches[2][i : i + 1], drawn[i])
        torch.testing.assert_close(pair.y, patches[0][i : i + 1] + added)
        assert (pair.kept is None) == (i < 2), "only the noisy target needs the split"


def test_white_where_it_must_be(patches: tuple[Tensor, Tensor, Tensor]) -> None:
    """Off; or at levels that stand for "not observed"; or a map over a noisy target, which has no exact split."""
    constant, high = torch.full((3, 1, 1, 1, 1), 0.5), torch.full((3, 1, 1, 1, 1), 40.0)
    for p, level in ((0.0, constant), (1.0, high)):
        pairs, told = corrupted(p, patches, level)
        assert float(told.abs().max()) == 0
        assert all(pair.kept is None for pair in pairs)
        added = (level**2 - patches[1] ** 2).sqrt() * patches[2]
        torch.testing.assert_close(torch.cat([pair.y for pair in pairs]), patches[0] + added)
    _, told = corrupted(1.0, patches, torch.full((3, 1, 16, 16, 16), 0.5))
    assert float(told[2].abs().max()) == 0
    assert bool((told[:2].abs().amax(dim=1) > 0).all())


def test_the_card_has_the_run_s_version(tmp_path: Path) -> None:
    case = Case("a", np.zeros((16, 16, 16), np.float16), (1.0, 1.0, 1.0), 0.0, "procedural")
    data: Any = SimpleNamespace(loaded={"train": [(1.0, [case])]}, kinds=("procedural",), sources=(), masks=())
    assert make_card(config(tmp_path), data, (0.5,), 1, 0.1).version == "0"
    card = make_card(config(tmp_path, card={"version": "7"}), data, (0.5,), 1, 0.1)
    assert card.version == "7"
    assert card.network.noise_correlation
