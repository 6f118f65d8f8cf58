"""Training of several channels: what is not observed teaches nothing, and every channel has its own level."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from medidiff.diffusion.losses import class_balancing_error, loss_weight
from medidiff.diffusion.maps import LevelRange, MapDistribution
from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.training.config import TrainingConfig
from medidiff.training.draws import balanced_conditions, draw_batch
from medidiff.training.module import DenoiserTraining, LevelWeight
from medidiff.training.validation import validation_figures

SLOTS = ConditionSlots(
    categorical={"sex": CategoricalSlot(values=("F", "M"))},
    continuous={"volume_ml": ContinuousSlot(unit="ml", low=2.0, high=4.0)},
)


def _module(**more: Any) -> DenoiserTraining:
    config = TrainingConfig.model_validate(
        {
            "name": "tiny",
            "output": "nowhere",
            "data": {"sources": [{"type": "procedural", "volumes": 1}], "patch": [8, 8, 8]},
            "network": {"widths": [8, 8], "blocks": [1, 1], "embedding": 8, "channels": 3, "slots": SLOTS.model_dump()},
            "noise": {"p_constant": 1.0},
            **more,
        }
    )
    torch.manual_seed(0)
    module = DenoiserTraining(config, ("a",), (0.5, 0.3, 0.4))
    for parameter in module.parameters():  # heads begin at zero, and zero hides mistakes
        torch.nn.init.normal_(parameter, std=0.2)
    return module


def _batch(known: bool = False) -> dict[str, Any]:
    g = torch.Generator().manual_seed(1)
    observed = torch.ones(2, 3, 8, 8, 8)
    observed[0, 1:] = float(known)
    observed[1, :, :2] = 0  # mirrored
    return {
        "target": torch.randn(2, 3, 8, 8, 8, generator=g),
        "tau": torch.tensor([[0.05, 0, 0], [0.0, 0, 0]]).reshape(2, 3, 1, 1, 1),
        "observed": observed,
        "spacing_mm": torch.ones(2, 3),
        "kind": torch.ones(2, dtype=torch.long),
        "number": torch.arange(2),
        "cond": {"sex": torch.tensor([1, 2]), "volume_ml": torch.tensor([2.5, float("nan")])},
    }


def _gradient(module: DenoiserTraining, batch: dict[str, Any]) -> Tensor:
    module.zero_grad()
    module.training_step(batch, 0).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def test_sigma_data_is_that_of_each_channel() -> None:
    assert _module().denoiser.sigma_data.flatten().tolist() == pytest.approx([0.5, 0.3, 0.4])


def test_a_target_that_is_not_known_teaches_nothing() -> None:
    """Patch 0 has no masks: whatever stands there, at sigma_max = 80 it moves the input by a hundredth of its noise."""
    module, batch = _module(), _batch()
    first = _gradient(module, batch)
    other = {**batch, "target": batch["target"].clone()}
    other["target"][0, 1:] = torch.randn(2, 8, 8, 8) * 0.5
    near = _gradient(module, other)
    far = _gradient(module, {**other, "observed": torch.ones_like(batch["observed"])})
    assert (near - first).norm() < 0.03 * first.norm() < (far - first).norm()


def test_a_channel_that_is_not_known_is_at_the_highest_level() -> None:
    maps = MapDistribution((LevelRange(0.01, 0.7, 1.0),), 0.002, 80.0, p_constant=0.5)
    batch = _batch()
    for step in range(8):
        level = draw_batch(maps, batch["target"], [0, 1], 5, step, batch["observed"]).level
        assert (level[0, 1:] == 80).all()
        assert (level[0, 0] <= 80).all()
        assert level[1].min() < 1


def test_a_bent_patch_teaches_its_masks_alone() -> None:
    """Its image gives no gradient (its masks, not known, neither), and is what its masks are read off."""
    module, batch = _module(), _batch()
    nothing = {**batch, "observed": batch["observed"] * torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1, 1)}
    assert _gradient(module, nothing).norm() > 0
    image_apart = torch.tensor([0.0, 1, 1]).reshape(1, 3, 1, 1, 1).repeat(2, 1, 1, 1, 1)
    assert _gradient(module, {**nothing, "taught": image_apart}).norm() == 0
    assert torch.equal(_gradient(module, {**batch, "taught": torch.ones_like(image_apart)}), _gradient(module, batch))
    maps = MapDistribution((LevelRange(0.01, 0.7, 1.0),), 0.002, 80.0, p_constant=0.5)
    image_apart[0] = 1
    for step in range(8):
        options = (maps, batch["target"], [0, 1], 5, step)
        plain = draw_batch(*options).level
        level = draw_batch(*options, taught=image_apart).level
        assert (level[1, 1:] == 80).all()
        assert torch.equal(level[0], plain[0])
        assert torch.equal(level[1, 0], plain[1, 0])


def test_levels_of_several_channels() -> None:
    """Together, the masks known, the image known, the masks unknown, each its own: as often as is said."""
    maps = MapDistribution((LevelRange(0.5, 0.7, 1.0),), 0.002, 80.0)
    counts = {"together": 0, "masks": 0, "image": 0, "hidden": 0, "own": 0}
    for seed in range(2000):
        level = maps.draw_patch((3, 4, 4, 4), True, torch.Generator().manual_seed(seed))
        image, mask, other = level.flatten().tolist()
        assert mask == other
        which = "together" if image == mask else "image" if image < 0.3 else "own"
        counts[{0.002: "masks", 80.0: "hidden"}.get(round(mask, 6), which)] += 1
    for name, share in {"together": 0.45, "masks": 0.15, "image": 0.15, "hidden": 0.15, "own": 0.1}.items():
        assert counts[name] / 2000 == pytest.approx(share, abs=4 * (share * (1 - share) / 2000) ** 0.5)


def test_maps_of_several_channels() -> None:
    maps = MapDistribution((LevelRange(0.01, 0.7, 1.0),), 0.002, 80.0)
    for seed in range(50):
        level = maps.draw_patch((3, 8, 8, 8), False, torch.Generator().manual_seed(seed))
        assert level.shape == (3, 8, 8, 8)
        assert torch.equal(level[1], level[2])
        assert float(level.min()) >= 0.002 - 1e-9
        assert float(level.max()) <= 80


def test_level_weights_are_the_channels_own() -> None:
    weight = LevelWeight(0.002, 80.0, channels=2)
    torch.nn.init.normal_(weight.last.weight)
    sigma = torch.tensor([0.1, 0.1, 3.0, 0.5]).reshape(2, 2, 1, 1, 1)
    found = weight(sigma)
    alone = weight(sigma.flip(1))
    assert found[0, 0] != found[0, 1]
    assert found.shape == sigma.shape
    assert torch.equal(found[0], alone[0])  # both channels at one level
    assert not torch.equal(found[1], alone[1].flip(0))


def test_validation_reads_masks_off_the_image_and_hides_them_else() -> None:
    batch = _batch(known=True)
    batch["target"][:, 1:] = batch["target"][:, 1:].sign()
    seen: list[Tensor] = []

    def denoise(x: Tensor, sigma: Tensor, spacing_mm: Any, cond: Any) -> Any:
        seen.append(sigma)
        return type("D", (), {"mean": batch["target"], "__iter__": lambda self: iter((self.mean, self.mean))})()

    figures = validation_figures(denoise, batch, 0, "train")
    assert float(figures["train/dice"]) == 1
    unknown = {**batch, "observed": batch["observed"] * torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1, 1)}
    assert "train/dice" not in validation_figures(denoise, unknown, 0, "train")
    assert all(torch.isinf(sigma[:, 1:]).all() and torch.isfinite(sigma[:, :1]).all() for sigma in seen)
    assert float(figures["train/psnr_9pct"]) > 60  # the image is right


def test_class_balancing_error() -> None:
    """Value, and a gradient of 2 for the own and 1/2 for the drawn condition, times the place of the level."""
    a, b = torch.tensor([3.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    level, sigma_data = torch.tensor([1.0]), torch.tensor([0.5])
    error = class_balancing_error(a, b, level, sigma_data, (0.01, 100.0))
    weight = 0.5 * float(loss_weight(level, sigma_data))
    assert error.item() == pytest.approx(weight * 4 * 1.25)
    error.backward()
    assert (float(a.grad), float(b.grad)) == pytest.approx((weight * 4, -weight))  # type: ignore[arg-type]


def test_balanced_conditions_are_even() -> None:
    maps = MapDistribution((LevelRange(0.01, 0.7, 1.0),), 0.002, 80.0)
    n = 2000
    drawn = draw_batch(maps, torch.zeros(n, 1, 1, 1, 1), list(range(n)), 0, 0)
    told = {"kind": torch.ones(n), "sex": torch.ones(n, dtype=torch.long), "volume_ml": torch.full((n,), 2.0)}
    even = balanced_conditions(told, SLOTS, drawn)
    assert torch.equal(even["kind"], told["kind"])
    assert set(even["sex"].tolist()) == {1, 2}
    assert float((even["sex"] == 2).float().mean()) == pytest.approx(0.5, abs=4 * 0.5 / n**0.5)
    assert float(even["volume_ml"].mean()) == pytest.approx(3, abs=4 * 0.58 / n**0.5)
    assert float(even["volume_ml"].min()) >= 2
    assert float(even["volume_ml"].max()) <= 4


def test_class_balance_changes_the_loss_and_not_the_draws() -> None:
    plain, balanced = _module(), _module(class_balance=0.5)
    loss, more = plain.training_step(_batch(), 0), balanced.training_step(_batch(), 0)
    assert more > loss
    for a, b in zip(plain.parameters(), balanced.parameters(), strict=True):
        assert torch.equal(a, b)
    same = _module(class_balance=0.5)
    batch = _batch()
    batch.pop("cond")  # nothing to balance: both passes are one
    expected = _module().training_step(batch, 0).item()
    assert same.training_step(batch, 0).item() == pytest.approx(expected, rel=1e-6)


def test_what_stands_in_a_hidden_channel_does_not_reach_the_network() -> None:
    module, batch = _module(), _batch()
    seen: list[Tensor] = []
    module.denoiser.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module.training_step(batch, 0)
    assert (seen[0][0, 1:] == 0).all()
    assert (seen[0][1, 1:] != 0).any()
