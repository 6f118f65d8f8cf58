"""What corrupts a scan: simulate it, estimate it, stabilise it."""

from medidiff.noise.background import Background, find_background
from medidiff.noise.estimate import NoiseEstimate, estimate_noise
from medidiff.noise.gaussian import add_gaussian
from medidiff.noise.rician import add_rician, stabilise, unstabilise

__all__ = [
    "Background",
    "NoiseEstimate",
    "add_gaussian",
    "add_rician",
    "estimate_noise",
    "find_background",
    "stabilise",
    "unstabilise",
]
