"""A prior of several channels with conditions, random weights: it runs in milliseconds and shows nothing."""

import numpy as np
import torch

from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.nets.unet import HaarUNet, NetConfig
from medidiff.prior import Prior

VOLUMES = tuple(float(v) for v in np.linspace(1.5, 4.0, 21) ** 1.1)
SLOTS = ConditionSlots(
    categorical={"kind": CategoricalSlot(values=("head", "knee"), counts=(30, 12))},
    continuous={
        "volume_ml": ContinuousSlot(unit="ml", low=VOLUMES[0], high=VOLUMES[-1], quantiles=VOLUMES, known=40, missing=2)
    },
)


def random_prior(
    like: Prior, channels: tuple[str, ...], position: bool = False, seed: int = 0, **more: object
) -> Prior:
    """A prior of these channels with the conditions `SLOTS`; every weight does something."""
    network = NetConfig(
        channels=len(channels), widths=(8, 12), blocks=(1, 1), embedding=8, slots=SLOTS, position=position
    )
    generator = torch.Generator().manual_seed(seed)
    state = HaarUNet(network).state_dict()
    weights = {
        name: torch.where(t.abs().max() > 0, t, 0) + 0.2 * torch.randn(t.shape, generator=generator)
        for name, t in state.items()
    }
    update = {"network": network, "channels": channels, "sigma_data": (0.5,) * len(channels)}
    update |= {"mean_data": (0.0,) * len(channels), **more}
    return Prior(like.card.model_copy(update=update), weights)
