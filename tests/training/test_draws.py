"""What is random about a patch depends on its number alone; what a network is told is left out as often as it says."""

from typing import Any

import pytest
import torch
from torch import Tensor

from medidiff.diffusion.maps import LevelRange, MapDistribution
from medidiff.training.draws import Drawn, corrupt_patches, draw_batch, told_conditions

MAPS = MapDistribution((LevelRange(0.01, 0.7, 1.0),), 0.002, 80.0, p_constant=0.5)
TARGET = torch.zeros(4, 1, 8, 8, 8)


def draw(numbers: list[int], step: int = 3, seed: int = 5) -> Drawn:
    return draw_batch(MAPS, TARGET[: len(numbers)], numbers, seed, step)


@pytest.mark.parametrize("step", range(6))
def test_a_patch_is_drawn_alike_in_any_company(step: int) -> None:
    whole = draw([8, 9, 10, 11], step)
    for parts in ([[8, 9], [10, 11]], [[11], [8], [10, 9]]):
        for numbers in parts:
            part = draw(numbers, step)
            for i, number in enumerate(numbers):
                for name in ("level", "noise", "keep"):
                    assert torch.equal(getattr(part, name)[i], getattr(whole, name)[number - 8])


def test_everything_else_differs() -> None:
    first = draw([8])
    for other in (draw([9]), draw([8], seed=6)):
        assert not torch.equal(first.noise, other.noise)
        assert not torch.equal(first.level.mean(), other.level.mean())
    assert abs(float((first.noise * draw([9]).noise).mean())) < 5 / 512**0.5


def test_a_step_has_maps_or_constant_levels() -> None:
    constant = [draw([0, 1], step).level.shape == (2, 1, 1, 1, 1) for step in range(400)]
    assert abs(sum(constant) / 400 - 0.5) < 4 * 0.5 / 20  # binomial, four deviations


def test_micro_batches_are_corrupted_as_the_whole_batch_is() -> None:
    target = torch.randn(4, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    tau = torch.tensor([0.0, 0.1, 0.0, 0.1]).reshape(4, 1, 1, 1, 1)

    def corrupted(part: slice) -> tuple[Tensor, Tensor]:
        drawn = draw_batch(MAPS, target[part], list(range(4))[part], 5, 1)
        pairs, told = corrupt_patches(target[part], tau[part], drawn, 0.5)
        return torch.cat([pair.y for pair in pairs]), told

    whole, told = corrupted(slice(0, 4))
    halves = [corrupted(slice(0, 2)), corrupted(slice(2, 4))]
    assert torch.equal(whole, torch.cat([y for y, _ in halves]))
    assert torch.equal(told, torch.cat([t for _, t in halves]))


def test_conditions_are_left_out_together_and_one_by_one() -> None:
    n, dropout = 4000, 0.1
    target = torch.zeros(n, 1, 8, 8, 8)[:, :, :1, :1, :1]
    drawn = draw_batch(MAPS, target, list(range(n)), 5, 0)
    batch: dict[str, Any] = {
        "kind": torch.ones(n, dtype=torch.int64),
        "cond": {"sex": torch.full((n,), 2), "age": torch.full((n,), 50.0)},
        "position": torch.zeros(n, 3, 4),
    }
    told = told_conditions(batch, drawn, dropout)
    no_sex, no_age = told["sex"] == 0, torch.isnan(told["age"])
    deviation = 0.5 / n**0.5
    assert abs(float(no_sex.float().mean()) - (1 - 0.9**2)) < 4 * deviation
    assert abs(float((no_sex & no_age).float().mean()) - (0.1 + 0.9 * 0.01)) < 4 * deviation
    assert abs(float((told["kind"] == 0).float().mean()) - 0.7) < 4 * deviation
    unplaced = torch.isnan(told["position"]).all(dim=2).all(dim=1)
    assert abs(float(unplaced.float().mean()) - 0.1) < 4 * deviation
    assert torch.equal(told["position"][~unplaced], batch["position"][~unplaced])
    assert set(told_conditions({"kind": batch["kind"]}, drawn, dropout)) == {"kind"}
    kept = told_conditions(batch, drawn, 0.0)
    assert torch.equal(kept["age"], batch["cond"]["age"])
