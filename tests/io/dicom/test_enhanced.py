from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from medidiff.geometry import ras_to_lps
from medidiff.io.dicom.header import Header, read_header
from medidiff.io.dicom.model import FileRef
from medidiff.io.dicom.scan import scan_dicom


@pytest.mark.parametrize("name", ["6_1.dcm", "6_4.dcm"])
def test_geometry_as_highdicom_finds_it(name: str, real_data: Callable[[str], Path]) -> None:
    path = real_data("dicom") / "enhanced_mr" / "Siemens" / "XA10" / name
    (candidate,) = scan_dicom(path).candidates
    assert candidate.stacking is not None
    image = highdicom.imread(path)
    geometry = image.get_volume_geometry()
    assert geometry is not None
    ours, theirs = ras_to_lps(candidate.stacking.affine_ras), geometry.affine
    # highdicom's axes are slice, row, column; its slices may run the other way.
    ends = [ours @ [0, 0, k, 1] for k in (0, candidate.stacking.shape[2] - 1)]
    others = [theirs @ [k, 0, 0, 1] for k in (0, geometry.spatial_shape[0] - 1)]
    np.testing.assert_allclose(sorted(map(tuple, ends)), sorted(map(tuple, others)), atol=1e-3)
    np.testing.assert_allclose(ours[:3, 0], theirs[:3, 2], atol=1e-6)
    np.testing.assert_allclose(ours[:3, 1], theirs[:3, 1], atol=1e-6)


def test_frames_from_groups_and_never_from_the_top(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = pydicom.dcmread(real_data("dicom") / "enhanced_mr" / "Philips" / "IM_0027_fMAP.dcm")
    dataset.ImagePositionPatient, dataset.PixelSpacing, dataset.RescaleSlope = [9, 9, 9], [9, 9], 9
    dataset.save_as(tmp_path / "a")
    header = read_header(FileRef(tmp_path / "a"))
    assert isinstance(header, Header)
    assert header.trouble is None
    assert len(header.planes) == 64
    assert {p.spacing_mm for p in header.planes} == {(4.0, 4.0)}
    assert 9 not in {p.slope for p in header.planes}
    assert len({p.position_lps_mm for p in header.planes}) == 32
    offsets = [p.data_offset or 0 for p in header.planes]
    assert set(np.diff(offsets)) == {64 * 64 * 2}


def test_fewer_groups_than_frames_are_damaged(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = pydicom.dcmread(real_data("dicom") / "enhanced_mr" / "Siemens" / "XA10" / "6_1.dcm")
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    dataset.save_as(tmp_path / "a")
    (candidate,) = scan_dicom(tmp_path).candidates
    assert candidate.refusal is not None
    assert candidate.refusal.code == "damaged"
