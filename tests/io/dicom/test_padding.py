"""Which voxels were not measured: pixel padding in the files, and what no slice reaches of a straightened stack."""

from pathlib import Path

import numpy as np

from benchmarks._dicom_corpus import CASES
from medidiff.io.dicom.read import read_dicom
from medidiff.io.dicom.tilt import straighten
from medidiff.volume import Volume


def write(name: str, folder: Path) -> None:
    next(case for case in CASES if case.name == name).write(folder)


def test_voxels_of_the_padding_value_are_marked(tmp_path: Path) -> None:
    write("padding_value", tmp_path)
    volume = read_dicom(tmp_path)
    assert volume.unmeasured is not None
    assert 0 < np.count_nonzero(volume.unmeasured) < volume.data.size
    assert len(np.unique(volume.data[volume.unmeasured])) == 1
    assert not np.isin(volume.data[~volume.unmeasured], volume.data[volume.unmeasured]).any()


def test_no_padding_no_mask(tmp_path: Path) -> None:
    write("plain_ct", tmp_path)
    assert read_dicom(tmp_path).unmeasured is None


def test_what_no_slice_reaches_is_marked() -> None:
    affine = np.eye(4)
    affine[1, 2] = 0.5  # half a pixel a slice
    data = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3) + 1
    padding = np.zeros(data.shape, dtype=bool)
    padding[2, 2, 1] = True
    straight = straighten(Volume(data, affine, unmeasured=padding), -1.0)
    assert straight.unmeasured is not None
    np.testing.assert_array_equal(straight.unmeasured, straight.data == -1.0)
    # The second slice lies half a pixel on: nothing at both ends, nor where half of the padded pixel would go in.
    np.testing.assert_array_equal(np.flatnonzero(straight.unmeasured[2, :, 1]), [0, 2, 3, 5])
