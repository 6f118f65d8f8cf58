"""Generated DICOM of every kind that a reader gets wrong, with the truth about each voxel."""

from benchmarks._dicom_corpus import (  # noqa: F401  each registers its cases
    codec_cases,
    damage_cases,
    enhanced_cases,
    file_cases,
    geometry_cases,
    header_cases,
    htj2k_cases,
    kind_cases,
    pixel_cases,
    split_cases,
)
from benchmarks._dicom_corpus.case import CASES, Case
from benchmarks._dicom_corpus.truth import VolumeTruth, match

__all__ = ["CASES", "Case", "VolumeTruth", "match"]
