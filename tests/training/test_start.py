"""A run that goes on from a prior: new conditions change nothing at first, old ones mean what they meant."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import ConfigError
from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.nets.unet import HaarUNet
from medidiff.prior import Prior
from medidiff.training.start import merged_conditions, start_from

HAD = ConditionSlots(
    categorical={"kind": CategoricalSlot(values=("head",))},
    continuous={"age": ContinuousSlot(unit="years", low=20, high=60)},
)


def fresh(prior: Prior, slots: ConditionSlots) -> Preconditioned:
    network = prior.card.network.model_copy(update={"slots": slots})
    return Preconditioned(HaarUNet(network), torch.tensor([0.7]), 0.002, 80.0)


@pytest.fixture
def conditioned(tiny_prior: Prior, tmp_path: Path) -> Path:
    """A prior with random weights that knows heads and ages."""
    config = tiny_prior.card.network.model_copy(update={"slots": HAD})
    generator = Generator().manual_seed(4)
    state = HaarUNet(config).state_dict()
    weights = {name: t + 0.1 * torch.randn(t.shape, generator=generator) for name, t in state.items()}
    path = tmp_path / "conditioned.safetensors"
    Prior(tiny_prior.card.model_copy(update={"network": config}), weights).save(path)
    return path


def denoised(network: Any, **cond: torch.Tensor) -> torch.Tensor:
    x = torch.randn(1, 1, 8, 8, 8, generator=Generator().manual_seed(0))
    with torch.no_grad():
        return network(x, torch.tensor(0.3), None, cond).mean


def test_what_is_new_changes_nothing(conditioned: Path) -> None:
    prior = Prior.load(conditioned)
    slots = ConditionSlots(
        categorical={"kind": CategoricalSlot(values=("head", "knee")), "sex": CategoricalSlot(values=("F", "M"))},
        continuous={**HAD.continuous, "field": ContinuousSlot(unit="T", low=1.5, high=3)},
    )
    network = fresh(prior, slots)
    start_from(network, conditioned)
    age, head = torch.tensor([33.0]), torch.tensor([1])
    told = denoised(network, kind=head, age=age, sex=torch.tensor([2]), field=torch.tensor([3.0]))
    assert torch.equal(told, denoised(prior.build(), kind=head, age=age))
    assert torch.equal(denoised(network, kind=torch.tensor([2])), denoised(prior.build())), "a new kind starts unknown"
    assert not torch.equal(told, denoised(prior.build()))


def test_a_wider_range_means_the_same(conditioned: Path) -> None:
    prior = Prior.load(conditioned)
    wider = {"age": ContinuousSlot(unit="years", low=5, high=95)}
    network = fresh(prior, ConditionSlots(categorical=HAD.categorical, continuous=wider))
    start_from(network, conditioned)
    for years in (20.0, 41.0, 60.0):
        age = torch.tensor([years])
        torch.testing.assert_close(denoised(network, age=age), denoised(prior.build(), age=age), atol=1e-5, rtol=0)
    assert torch.equal(denoised(network), denoised(prior.build()))


@pytest.mark.parametrize(
    "slots",
    [
        ConditionSlots(categorical={"kind": CategoricalSlot(values=("knee", "head"))}, continuous=HAD.continuous),
        ConditionSlots(categorical=HAD.categorical),
        ConditionSlots(continuous=HAD.continuous),
    ],
)
def test_conditions_that_the_run_lacks_are_refused(conditioned: Path, slots: ConditionSlots) -> None:
    with pytest.raises(ConfigError, match="conditions"):
        start_from(fresh(Prior.load(conditioned), slots), conditioned)


def test_conditions_are_united_with_the_prior_s_first() -> None:
    has = {
        "categorical": {"kind": {"values": ["knee", "head"]}, "sex": {"values": ["F"]}},
        "continuous": {"age": {"unit": "years", "low": 5, "high": 50}},
    }
    merged = ConditionSlots.model_validate(merged_conditions(HAD.model_dump(), has))
    assert merged.categorical["kind"].values == ("head", "knee")
    assert merged.categorical["sex"].values == ("F",)
    assert (merged.continuous["age"].low, merged.continuous["age"].high) == (5, 60)
