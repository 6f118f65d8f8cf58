"""Files at the edge: NIfTI, atomic writing, hashes."""

from medidiff.io.atomic import atomic_open, atomic_write_text
from medidiff.io.hashing import hash_array, hash_file
from medidiff.io.nifti import NIFTI_SUFFIXES, read_nifti, write_nifti

__all__ = [
    "NIFTI_SUFFIXES",
    "atomic_open",
    "atomic_write_text",
    "hash_array",
    "hash_file",
    "read_nifti",
    "write_nifti",
]
