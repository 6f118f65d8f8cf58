"""Procedural volumes and phantoms: noise-free, seeded, made from numpy and scipy alone."""

from medidiff.phantoms.body import body_phantom
from medidiff.phantoms.head import head_phantom
from medidiff.phantoms.lesions import Lesion, insert_lesion
from medidiff.phantoms.procedural import procedural_volume
from medidiff.phantoms.solids import Phantom

__all__ = [
    "Lesion",
    "Phantom",
    "body_phantom",
    "head_phantom",
    "insert_lesion",
    "procedural_volume",
]
