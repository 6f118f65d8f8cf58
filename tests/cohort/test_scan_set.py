"""Sets of scans on one window: stores, synthetic sets and folders say the same of the same scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medidiff.cohort.scan_set import find_scan_set, read_scan_set, read_scan_sets, to_window
from medidiff.errors import GeometryError, InputError, UsageError
from medidiff.io import write_nifti
from medidiff.volume import Volume

RNG = np.random.default_rng(3)


def write(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4) if affine is None else affine
    write_nifti(Volume(data.astype(np.float32), affine, None, path.name), path)


def folder(root: Path, count: int = 4, shape: tuple[int, int, int] = (10, 12, 8)) -> Path:
    for i in range(count):
        write(root / f"scan{i}.nii.gz", RNG.normal(size=shape))
    return root


def test_every_scan_has_mean_0_and_standard_deviation_1(tmp_path: Path) -> None:
    found = read_scan_set(folder(tmp_path))
    assert found.images.shape == (4, 10, 12, 8)
    np.testing.assert_allclose(found.images.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(found.images.std(axis=(1, 2, 3)), 1, atol=1e-5)
    assert found.patients == ("scan0", "scan1", "scan2", "scan3")
    assert any("no table says" in text for text in found.warnings)


def test_axes_are_turned_to_right_anterior_superior(tmp_path: Path) -> None:
    data = RNG.normal(size=(6, 9, 8))
    write(tmp_path / "a" / "scan.nii.gz", data)
    turned = np.diag([-1.0, 1, 1, 1])
    turned[0, 3] = 5
    write(tmp_path / "b" / "scan.nii.gz", data[::-1], turned)
    swapped = np.array([[0, 1.0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write(tmp_path / "c" / "scan.nii.gz", data.transpose(1, 0, 2), swapped)
    one, two, three = (read_scan_set(tmp_path / name).images for name in "abc")
    np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_allclose(one, three, atol=1e-6)


def test_the_window_is_filled_by_nearly_every_scan_of_every_set(tmp_path: Path) -> None:
    large, small = folder(tmp_path / "l", 3, (12, 12, 12)), folder(tmp_path / "s", 3, (10, 16, 12))
    sets = read_scan_sets([find_scan_set(large), find_scan_set(small)])
    assert sets[0].images.shape[1:] == sets[1].images.shape[1:] == (10, 12, 12)


def test_the_middle_is_cut_and_what_lacks_is_mirrored() -> None:
    data = np.arange(6.0)[:, None, None] * np.ones((1, 4, 4))
    assert to_window("a", data, (4, 4, 4))[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert to_window("a", data, (8, 4, 4))[:, 0, 0].tolist() == [0, 0, 1, 2, 3, 4, 5, 5]
    assert to_window("a", data, (8, 4, 4), mirrored=False)[:, 0, 0].tolist() == [0, 0, 1, 2, 3, 4, 5, 0]
    with pytest.raises(GeometryError, match="prepare"):
        to_window("a", data, (9, 4, 4))


def test_a_table_says_patients_splits_and_attributes(tmp_path: Path) -> None:
    root = folder(tmp_path)
    rows = ["case\tpatient\tsplit\tage", "scan0\tA\ttrain\t70", "scan1\tA\ttrain\t70", "scan2\tB\tholdout\tn/a"]
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")
    found = read_scan_set(root)
    assert found.patients == ("A", "A", "B", "scan3")
    assert found.attributes[0] == {"age": 70.0}
    assert found.attributes[2] == {"age": None}
    assert any("1 scans are not in participants.tsv" in text for text in found.warnings)
    assert read_scan_set(root, "holdout").names == ("scan2.nii.gz",)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "a")
    with pytest.raises(UsageError, match="--table"):
        find_scan_set(root, "train")
    with pytest.raises(InputError, match="no such folder"):
        find_scan_set(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no scan"):
        find_scan_set(tmp_path / "empty")
    write(tmp_path / "b" / "coarse.nii.gz", RNG.normal(size=(10, 12, 8)), np.diag([2.0, 1, 1, 1]))
    with pytest.raises(GeometryError, match="one spacing"):
        read_scan_sets([find_scan_set(root), find_scan_set(tmp_path / "b")])
    write(tmp_path / "c" / "flat.nii.gz", np.full((10, 12, 8), 7.0))
    with pytest.raises(InputError, match="constant"):
        read_scan_set(tmp_path / "c")
    bad = RNG.normal(size=(10, 12, 8))
    bad[1, 1, 1] = np.nan
    write(tmp_path / "d" / "nan.nii.gz", bad)
    with pytest.raises(InputError, match="finite"):
        read_scan_set(tmp_path / "d")


def test_masks_lie_beside_their_scans(tmp_path: Path) -> None:
    root = folder(tmp_path, 2)
    write(root / "scan1_mask.nii.gz", np.ones((10, 12, 8)))
    found = read_scan_set(root)
    assert found.masks is not None
    assert found.masks.reshape(2, -1).mean(axis=1).tolist() == [0, 1]


def test_a_split_of_real_scans_is_what_the_table_says(real_data: Callable[[str], Path]) -> None:
    root = real_data("hippocampus")
    found = find_scan_set(root / "images", "val", root / "participants.tsv")
    assert len(found) == 9
    assert len(found.patients) == 6


def test_some_of_a_set_by_numbers_by_a_mask_or_none(tmp_path: Path) -> None:
    found = read_scan_set(folder(tmp_path, 4))
    assert found.take([2, 0]).names == ("scan2.nii.gz", "scan0.nii.gz")
    assert found.take(np.array([False, True, False, True])).names == ("scan1.nii.gz", "scan3.nii.gz")
    assert len(found.take([])) == 0
