"""Real series against dcm2niix: the same voxels at the same places, or a refusal that the documentation names."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks._dcm2niix import find_dcm2niix
from benchmarks._dicom_compare import compare_folder
from benchmarks.dicom_readers import REMARKS

pytestmark = pytest.mark.skipif(find_dcm2niix() is None, reason="dcm2niix is not installed")

AGREE = [
    "brain_tumor/11-T1post-18670",
    "brain_tumor/11_HCropVolume",
    "dicom2nifti/failing/slicecount/001",
    "dicom2nifti/failing/sliceorientation/001",
    "dicom2nifti/ge/anatomical/001",
    "dicom2nifti/ge/anatomical/001_implicit",
    "dicom2nifti/ge/dti/001",
    "dicom2nifti/ge/dti/002",
    "dicom2nifti/ge/fmri/001",
    "dicom2nifti/generic/anatomical/001",
    "dicom2nifti/generic/anatomical/002_non_isotropic",
    "dicom2nifti/generic/compressed/001",
    "dicom2nifti/generic/compressed_jpeg/001",
    "dicom2nifti/generic/compressed_jpegls/001",
    "dicom2nifti/generic/compressed_rle/001",
    "dicom2nifti/hitachi/anatomical/001",
    "dicom2nifti/hyperfine/anatomical/001",
    "enhanced_mr/Philips",
    "enhanced_mr/Siemens/XA10",
]
REFUSED = {
    "dicom2nifti/failing/gantrytilting/001": "tilt",
    "dicom2nifti/failing/sliceincrement/001": "gap",
    "dicom2nifti/failing/sliceincrement/002": "gap",
    "dicom2nifti/failing/notavolume/001": "one-slice",
    "dicom2nifti/generic/rgb/001": "colour",
    "dicom2nifti/ge/anatomical/001_single_slice": "one-slice",
    "gantry_tilt_ct/S1000": "localizer",
    "gantry_tilt_ct/S3010": "tilt",
}


@pytest.mark.parametrize("name", AGREE)
def test_the_same_voxels(name: str, real_data: Callable[[str], Path]) -> None:
    root = real_data("dicom")
    for row in compare_folder(root / name, root):
        assert row.verdict == "agree", row


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_documented(name: str, real_data: Callable[[str], Path]) -> None:
    root = real_data("dicom")
    codes = {code for row in compare_folder(root / name, root) for code in row.codes}
    assert REFUSED[name] in codes


def test_remarks_are_about_series_that_are_there(real_data: Callable[[str], Path]) -> None:
    root = real_data("dicom")
    assert [name for name in REMARKS if not (root / name).is_dir()] == []
