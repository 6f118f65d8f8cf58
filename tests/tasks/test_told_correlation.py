"""How the noise is correlated reaches the network, in every pass, where its card says that it knows."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medidiff.diffusion.preconditioning import Denoised
from medidiff.nets.embedding import NOISE_CORRELATION
from medidiff.nets.unet import HaarUNet
from medidiff.prior import Prior
from medidiff.tasks.draw_sample import draw_sample
from medidiff.tasks.session import Session
from medidiff.tasks.shifts import shifted_mean

CORRELATION = (0.5, 0.1, 0.25, 0.0, -0.1, 0.0)
SETTINGS: dict[str, Any] = dict(device="cpu", precision="float32", threads=None, max_gb=None, seed=0)


class Listener:
    """Remembers what a denoiser is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Tensor]] = []
        self.denoiser = SimpleNamespace(alignment=8)

    def __call__(self, x: Tensor, sigma: Tensor, spacing_mm: Any = None, cond: Any = None, **where: Any) -> Denoised:
        self.told.append(cond)
        return Denoised(x, torch.zeros_like(x))


@pytest.fixture(scope="module")
def knowing(tiny_prior: Prior) -> Prior:
    network = tiny_prior.card.network.model_copy(update={"noise_correlation": True})
    return Prior(tiny_prior.card.model_copy(update={"network": network}), HaarUNet(network).state_dict())


def listened(prior: Prior) -> tuple[Session, Listener]:
    session, listener = Session(prior, (1.0, 1.0, 1.0), **SETTINGS), Listener()
    session.tiled = listener  # type: ignore[assignment]
    return session, listener


def test_every_pass_is_told_the_correlation(knowing: Prior) -> None:
    session, listener = listened(knowing)
    y = torch.zeros(1, 1, 8, 8, 8)
    session.evaluate(y, torch.tensor(0.1))
    assert torch.equal(listener.told[0][NOISE_CORRELATION], torch.zeros(1, 6))  # white until somebody knows better
    session.know_correlation(CORRELATION)
    shifted_mean(session, y, torch.tensor(0.1), shifts=8)
    draw_sample(session, y, torch.tensor(0.1), index=0, n_steps=2)
    assert len(listener.told) == 1 + 8 + 3
    for cond in listener.told[1:]:
        np.testing.assert_allclose(cond[NOISE_CORRELATION].numpy(), [CORRELATION], atol=1e-7)
    assert not any("cannot be told" in text for text in session.warnings)


def test_a_prior_that_does_not_know_it_is_told_nothing_and_says_so(tiny_prior: Prior) -> None:
    session, listener = listened(tiny_prior)
    session.know_correlation(CORRELATION)
    session.evaluate(torch.zeros(1, 1, 8, 8, 8), torch.tensor(0.1))
    assert not listener.told[0]
    assert any("noise will remain" in text for text in session.warnings)
