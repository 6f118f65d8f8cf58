"""More channels: at first the image is denoised as the prior denoises it, whatever stands in the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import ConfigError
from medidiff.nets.embedding import ConditionSlots
from medidiff.nets.unet import HaarUNet, NetConfig
from medidiff.prior import Prior
from medidiff.training import grow
from medidiff.training.grow import with_more_channels
from medidiff.training.start import start_from

SLOTS = ConditionSlots(images=("t2",))


def _denoiser(channels: int, slots: ConditionSlots = SLOTS) -> Preconditioned:
    torch.manual_seed(0)
    network = HaarUNet(NetConfig(channels=channels, widths=(8, 12), blocks=(1, 1), embedding=8, slots=slots))
    for parameter in network.parameters():  # heads begin at zero, and zero hides mistakes
        torch.nn.init.normal_(parameter, std=0.2)
    return Preconditioned(network, torch.tensor([0.5, 1.0, 1.0][:channels]), 0.01, 10.0).eval()


def test_the_image_is_denoised_as_before() -> None:
    prior, grown = _denoiser(1), _denoiser(3)
    weights = with_more_channels(prior.network.state_dict(), 1, 3)
    weights["embedding.level_in.weight"][:, 1:] = 0  # the level features do not hear of the others
    grown.network.load_state_dict(weights)
    g = torch.Generator().manual_seed(1)
    x, level = torch.randn(2, 3, 8, 8, 8, generator=g), torch.rand(2, 3, 8, 8, 8, generator=g) + 0.1
    cond = {"t2": torch.randn(2, 1, 8, 8, 8, generator=g)}
    with torch.no_grad():
        for sigma in (level, level[:, :, :1, :1, :1], torch.tensor(0.3)):
            out = grown(x, sigma, None, cond)
            alone = prior(x[:, :1], sigma if sigma.ndim == 0 else sigma[:, :1], None, cond)
            torch.testing.assert_close(out.mean[:, :1], alone.mean)
            torch.testing.assert_close(out.log_variance[:, :1], alone.log_variance)
            assert not torch.equal(out.mean[:, 1], out.mean[:, 0])


def test_level_features_hear_a_little_of_the_others() -> None:
    weights = with_more_channels(_denoiser(1, ConditionSlots()).network.state_dict(), 1, 3)
    heard = weights["embedding.level_in.weight"]
    assert heard.shape == (8, 3, 1, 1, 1)
    assert 0.5 * grow.LEVEL_SPREAD < float(heard[:, 1:].std()) < 2 * grow.LEVEL_SPREAD


def test_nothing_to_add() -> None:
    weights = _denoiser(2).network.state_dict()
    assert with_more_channels(weights, 2, 2) is weights


def test_a_low_rank_change_adds_no_channels(tiny_prior: Prior, tmp_path: Path) -> None:
    """Told before the run: at its end the change would not fit the prior that it is kept beside."""
    card, path = tiny_prior.card, tmp_path / "tiny.safetensors"
    tiny_prior.save(path)
    network = HaarUNet(card.network.model_copy(update={"channels": 2}))
    denoiser = Preconditioned(network, torch.tensor([0.5, 1.0]), 0.01, 10.0, torch.tensor([0.0, -0.9]))
    with pytest.raises(ConfigError, match=r"method lora: the run has 2 channels, .* 1"):
        start_from(denoiser, path, grow=False)
    start_from(denoiser, path)
    assert denoiser.sigma_data.flatten().tolist() == pytest.approx([card.sigma_data[0], 1.0])
    assert denoiser.mean_data.flatten().tolist() == pytest.approx([0, -0.9])
