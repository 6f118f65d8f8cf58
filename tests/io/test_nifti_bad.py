"""Files that are damaged, absurd or not scans, folders that cannot be written: a clear error, nothing left behind."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medidiff.errors import GeometryError, InputError, MedidiffError, MemoryLimitError, OutputError
from medidiff.io import nifti
from medidiff.io.nifti import read_nifti, write_nifti
from medidiff.volume import Volume


def content(data: np.ndarray, kind: type = nib.Nifti1Header, **fields: Any) -> bytes:
    """A single-file NIfTI as bytes, with header fields overwritten at will."""
    header = kind()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 352 if kind is nib.Nifti1Header else 544
    for key, value in fields.items():
        header[key] = value
    return header.binaryblock + bytes(4) + data.tobytes(order="F")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, shape or (16, 16, 16)).astype(np.int16)


def refused(path: Path, kind: type[MedidiffError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        read_nifti(path)
    assert str(path.with_suffix("").with_suffix("")) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("keep", [5, 20, 200, 3000, -9, -1])
def test_truncated_gz(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content(noise()))[:keep])
    assert "truncated" in refused(path)


@pytest.mark.parametrize("keep", [3, 100, 347, 352, 1000, -1])
def test_truncated_plain(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(content(noise())[:keep])
    message = refused(path)
    assert "truncated" in message or keep < 4


def test_whole_gz_around_too_few_voxels(tmp_path: Path) -> None:
    """Nothing is wrong with the compression, and the size is within what it could hold: only counting tells."""
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content(noise())[:3000]))
    assert "before its last voxel" in refused(path)


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    """Stored blocks (level 0) decompress whatever their bytes are: only the checksum behind the voxels can tell."""
    path = tmp_path / "a.nii.gz"
    damaged = bytearray(gzip.compress(content(noise()), compresslevel=0))
    damaged[5000] ^= 1
    path.write_bytes(damaged)
    assert "CRC" in refused(path)


def test_text_empty_folder_missing_and_uncompressed(tmp_path: Path) -> None:
    text = tmp_path / "text.nii.gz"
    text.write_text("version https://git-lfs.github.com/spec/v1\n" * 20)
    assert "not a gzip file" in refused(text)
    text = tmp_path / "text.nii"
    text.write_text("version https://git-lfs.github.com/spec/v1\n" * 20)
    assert "not a NIfTI file" in refused(text)
    text = tmp_path / "zipped.nii.gz"
    text.write_bytes(gzip.compress(b"hello " * 100))
    assert "not a NIfTI file" in refused(text)
    (tmp_path / "empty.nii.gz").touch()
    assert "empty" in refused(tmp_path / "empty.nii.gz")
    (tmp_path / "folder.nii.gz").mkdir()
    assert "folder" in refused(tmp_path / "folder.nii.gz")
    assert "no such file" in refused(tmp_path / "none.nii.gz")
    (tmp_path / "bare.nii.gz").write_bytes(content(noise()))
    assert "rename" in refused(tmp_path / "bare.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("kind", "dim"),
    [
        (nib.Nifti1Header, [3, 32767, 32767, 32767, 1, 1, 1, 1]),
        (nib.Nifti1Header, [7, 32767, 32767, 32767, 32767, 32767, 32767, 32767]),
        (nib.Nifti2Header, [3, 2**31, 2**31, 4, 1, 1, 1, 1]),  # 2^64 voxels: 0 in 64-bit arithmetic
        (nib.Nifti2Header, [3, 2**62, 2**62, 2**62, 1, 1, 1, 1]),
        (nib.Nifti2Header, [3, 2**32 + 1, 2**32, 2**31 - 1, 1, 1, 1, 1]),
    ],
)
def test_absurd_dimensions_are_refused_without_taking_memory(
    tmp_path: Path, ending: str, kind: type, dim: list[int]
) -> None:
    path = tmp_path / f"a{ending}"
    block = content(noise(), kind, dim=dim)
    path.write_bytes(gzip.compress(block) if ending.endswith(".gz") else block)
    tracemalloc.start()
    try:
        message = refused(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    assert "D, shape" in message or "declares shape" in message


@pytest.mark.parametrize(
    "dim", [[3, -5, 5, 5, 1, 1, 1, 1], [0, 5, 5, 5, 1, 1, 1, 1], [9, 5, 5, 5, 1, 1, 1, 1], [3, 0, 5, 5, 1, 1, 1, 1]]
)
def test_impossible_dimensions(tmp_path: Path, dim: list[int]) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(content(noise(), dim=dim))
    assert "dimensions" in refused(path)


def test_a_bomb_that_really_holds_its_zeros_meets_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "MAX_VOXELS", 4095)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content(noise())))
    assert "at most 4095" in refused(path, MemoryLimitError)


def test_data_that_is_not_one_real_3d_volume(tmp_path: Path) -> None:
    rgb = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with_alpha = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
    cases = [
        (noise(8, 8), "2D"),
        (noise(8, 8, 1), "2D"),
        (noise(8, 8, 8, 3), r"4D, shape (8, 8, 8, 3): holds 3 volumes"),
        (noise(8, 8, 8, 1, 3), "5D"),
        (noise().astype(np.complex64), "complex"),
        (noise().astype(np.complex128), "complex"),
        (rgb, "RGB"),
        (with_alpha, "RGB"),
    ]
    for i, (data, reason) in enumerate(cases):
        path = tmp_path / f"{i}.nii"
        path.write_bytes(content(data))
        assert reason in refused(path)


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    for bad in (np.nan, np.inf, 1e300):  # the last one is beyond float32
        data = np.zeros((4, 4, 4))
        data[1, 2, 3] = bad
        path.write_bytes(content(data))
        assert "1 of 64 voxels" in refused(path)
        assert "(1, 2, 3)" in refused(path)


def test_a_constant_volume_reads_but_does_not_pass_as_a_scan(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(content(np.full((4, 4, 4), 3.0)))
    with pytest.raises(InputError, match="every voxel is 3"):
        read_nifti(path).check()
    read_nifti(path).check(allow_constant=True)


@pytest.mark.parametrize(
    ("fields", "kind", "reason"),
    [
        ({"datatype": 999}, InputError, "unknown number type 999"),
        ({"datatype": 1}, InputError, "one-bit"),
        ({"vox_offset": np.nan}, InputError, "cannot start"),
        ({"vox_offset": -5}, InputError, "cannot start"),
        ({"vox_offset": 3e38}, InputError, "truncated"),
        ({"magic": b"abc"}, InputError, "not its mark"),
        ({"magic": b"ni1"}, InputError, "not its mark"),
        ({"scl_slope": 2.0, "scl_inter": np.nan}, InputError, "intercept"),
        ({"srow_x": [np.nan, 0, 0, 0]}, GeometryError, "finite"),
        ({"srow_x": [0, 0, 0, 0]}, GeometryError, "spacing"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 5.0}, GeometryError, "orientation"),
        ({"sform_code": 0, "qform_code": 0, "pixdim": 0}, GeometryError, "spacing"),
    ],
)
def test_damaged_header_fields(tmp_path: Path, fields: dict[str, Any], kind: type[MedidiffError], reason: str) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(content(noise(), **fields))
    assert reason in refused(path, kind)


def test_random_damage_never_gives_another_exception(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    clean = content(noise())
    path = tmp_path / "a.nii"
    for _ in range(500):
        damaged = bytearray(clean)
        for position in rng.integers(4, 348, 3):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_nifti(path)
        except MedidiffError:
            continue


def test_half_a_pair(tmp_path: Path) -> None:
    write_nifti(Volume.from_array(noise()), tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    assert "a.img" in refused(tmp_path / "a.hdr")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where the tests may mount one."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not (sys.platform == "linux" and os.geteuid() == 0 and mount and umount):
        pytest.skip("mounting a small disk needs root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no permission to mount: {done.stderr.strip()}")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_a_full_disk(tmpfs: Path, name: str) -> None:
    volume = Volume.from_array(np.random.default_rng(0).standard_normal((64, 32, 32)).astype(np.float32))
    with pytest.raises(OutputError, match="disk is full"):
        write_nifti(volume, tmpfs / name)
    assert list(tmpfs.iterdir()) == []


def test_a_read_only_disk(tmpfs: Path) -> None:
    write_nifti(Volume.from_array(noise(4, 4, 4)), tmpfs / "old.nii")
    subprocess.run(["mount", "-o", "remount,ro", str(tmpfs)], check=True)
    with pytest.raises(OutputError, match="read-only"):
        write_nifti(Volume.from_array(noise()), tmpfs / "old.nii")
    assert [p.name for p in tmpfs.iterdir()] == ["old.nii"]


def test_a_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere (root)")
    with pytest.raises(OutputError, match="no permission"):
        write_nifti(Volume.from_array(noise()), folder / "a.nii")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs Linux's /sys")
def test_a_folder_where_nobody_may_write() -> None:
    with pytest.raises(OutputError, match=r"Choose another folder|cannot be written"):
        write_nifti(Volume.from_array(noise()), "/sys/kernel/medidiff.nii")
