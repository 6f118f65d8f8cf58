"""Conditions: what a prior knows is encoded, everything else is refused with what exists."""

import pytest
import torch

from medidiff.errors import UsageError
from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.tasks.conditions import encode_conditions

SLOTS = ConditionSlots(
    categorical={"kind": CategoricalSlot(values=("head", "knee"))},
    continuous={"age_years": ContinuousSlot(unit="years", low=20, high=80)},
)


def test_encodes_names_and_numbers() -> None:
    encoded = encode_conditions(SLOTS, {"kind": "knee", "age_years": "41.5"})
    assert torch.equal(encoded["kind"], torch.tensor([2]))  # 0 is the null token
    assert torch.equal(encoded["age_years"], torch.tensor([41.5]))
    assert encode_conditions(SLOTS, {}) == {}


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"kind": "liver"}, "head, knee"),
        ({"site": "a"}, "kind, age_years"),
        ({"age_years": 90}, "20 to 80 years"),
        ({"age_years": "old"}, "20 to 80 years"),
        ({"age_years": float("nan")}, "20 to 80 years"),
    ],
)
def test_refuses_what_was_not_trained(conditions: dict[str, str | float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        encode_conditions(SLOTS, conditions)
