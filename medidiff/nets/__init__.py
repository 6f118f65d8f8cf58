from medidiff.nets.embedding import NOISE_CORRELATION, CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.nets.haar import haar3d, inverse_haar3d
from medidiff.nets.unet import HaarUNet, NetConfig

__all__ = [
    "NOISE_CORRELATION",
    "CategoricalSlot",
    "ConditionSlots",
    "ContinuousSlot",
    "HaarUNet",
    "NetConfig",
    "haar3d",
    "inverse_haar3d",
]
