from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.nets.haar import haar3d, inverse_haar3d
from medidiff.nets.unet import HaarUNet, NetConfig

__all__ = [
    "CategoricalSlot",
    "ConditionSlots",
    "ContinuousSlot",
    "HaarUNet",
    "NetConfig",
    "haar3d",
    "inverse_haar3d",
]
