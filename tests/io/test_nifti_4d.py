"""4D files: each volume as it lies in the file, one encoding for all, and what the header says kept."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medidiff.errors import GeometryError, InputError, MemoryLimitError, OutputError, UsageError
from medidiff.io import nifti
from medidiff.io.nifti import read_nifti, write_nifti
from medidiff.io.nifti_4d import frames_of, read_frames, write_nifti_4d
from medidiff.volume import Volume

load: Any = nib.load  # nibabel's own types do not say what an image has

KINDS = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
KEPT = (
    *("qform_code", "sform_code", "xyzt_units", "pixdim", "dim_info", "dim", "magic", "vox_offset", "sizeof_hdr"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
    *("slice_start", "slice_end", "slice_code", "slice_duration", "toffset"),
)
ENDINGS = [".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"]
in_one_folder = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def headers(draw: st.DrawFn) -> nib.Nifti1Header:
    """What scanners and their converters write for a series of volumes."""
    header = draw(st.sampled_from([nib.Nifti1Header, nib.Nifti2Header]))(endianness=draw(st.sampled_from("<>")))
    angle = draw(st.floats(-3.1, 3.1))
    affine = np.diag([draw(st.floats(0.2, 5)), draw(st.floats(0.2, 5)), draw(st.floats(0.5, 8)), 1.0])
    affine[:2, :2] = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ affine[:2, :2]
    affine[:3, 3] = [draw(st.floats(-200, 200)) for _ in range(3)]
    header.set_qform(affine, code=draw(st.integers(0, 4)))
    header.set_sform(affine, code=draw(st.integers(0, 4)))
    header.set_xyzt_units(
        draw(st.sampled_from([None, "mm", "meter", "micron"])), draw(st.sampled_from([None, "sec", "msec", "usec"]))
    )
    header["pixdim"][4] = draw(st.sampled_from([0.5, 2, 2000]))
    header.set_dim_info(*draw(st.sampled_from([(None, None, None), (0, 1, 2)])))
    header["slice_code"], header["slice_end"], header["slice_duration"] = draw(
        st.sampled_from([(0, 0, 0), (3, 4, 0.1)])
    )
    header["toffset"] = draw(st.sampled_from([0, 12.5]))
    return header


def save(
    path: Path, stored: np.ndarray, header: nib.Nifti1Header | None = None, slope: float = 1.0, inter: float = 0.0
) -> Path:
    """A file made byte by byte, so that nothing but the standard decides what is in it."""
    if header is None:
        header = nib.Nifti1Header()
        header.set_sform(np.diag([2.0, 2, 2, 1]), code=1)
    header = header.copy()
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["vox_offset"] = 352 if header["sizeof_hdr"] == 348 else 544
    content = header.binaryblock + bytes(4)
    content += stored.astype(stored.dtype.newbyteorder(header.endianness)).tobytes(order="F")
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def ramp(*shape: int, dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@in_one_folder
@given(headers(), st.sampled_from(KINDS), st.sampled_from([(1.0, 0.0), (0.0, 5.0), (np.nan, 0.0), (0.375, -4.25)]))
def test_frames_that_were_not_changed_come_back_in_full(
    tmp_path: Path, header: nib.Nifti1Header, dtype: str, scale: tuple[float, float]
) -> None:
    """Values to the bit, geometry and header to the field; slope 0 and NaN are the standard's 'not scaled'."""
    stored = np.random.default_rng(0).integers(0, 127, (4, 3, 5, 3)).astype(dtype)
    source = save(tmp_path / "in.nii.gz", stored, header, *scale)
    slope, inter = (np.float32(s) for s in scale) if scale[0] == 0.375 else (1.0, 0.0)
    expected = (stored.astype(np.float64) * float(slope) + float(inter)).astype(np.float32)
    volumes = list(read_frames(source))
    np.testing.assert_array_equal(np.stack([v.data for v in volumes], axis=-1), expected)
    write_nifti_4d(volumes, tmp_path / "out.nii")
    before, after = load(source).header, load(tmp_path / "out.nii").header
    for key in KEPT:
        np.testing.assert_array_equal(after[key], before[key], err_msg=key)
    assert after.endianness == before.endianness
    assert after.get_data_dtype().kind == np.dtype(dtype).kind
    for frame, again in enumerate(read_frames(tmp_path / "out.nii")):
        np.testing.assert_array_equal(again.data, expected[..., frame])
        np.testing.assert_array_equal(again.affine_ras, volumes[0].affine_ras)


@in_one_folder
@given(headers(), st.sampled_from(KINDS), st.integers(1, 4), st.integers(0, 2**31))
def test_changed_frames_share_one_encoding_at_a_fine_step(
    tmp_path: Path, header: nib.Nifti1Header, dtype: str, frames: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 127, (4, 3, 5, frames)).astype(dtype)
    volumes = list(read_frames(save(tmp_path / "in.nii", stored, header)))
    changed = [v.with_data((v.data * (k + 1) + rng.normal(0, 5, v.shape)).astype("f4")) for k, v in enumerate(volumes)]
    write_nifti_4d(changed, tmp_path / "out.nii")
    written = load(tmp_path / "out.nii")
    assert written.shape == stored.shape
    assert written.get_data_dtype().kind == np.dtype(dtype).kind
    values = np.stack([v.data for v in changed], axis=-1)
    again = np.stack([v.data for v in read_frames(tmp_path / "out.nii")], axis=-1)
    if written.get_data_dtype().kind == "f":
        np.testing.assert_array_equal(again, values)
    else:
        step = (float(values.max()) - float(values.min())) / 60000
        # Half a step, and float32's rounding of the value read.
        assert abs(again - values).max() <= step / 2 + np.spacing(np.float32(600))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("version", [1, 2])
def test_every_ending_is_written_and_read(tmp_path: Path, ending: str, version: int) -> None:
    data = ramp(4, 5, 6, 3)
    header = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version]()
    header.set_sform(np.diag([1.0, 2, 3, 1]), code=2)
    volumes = list(read_frames(save(tmp_path / "in.nii", data, header)))
    (tmp_path / "out").mkdir()
    write_nifti_4d(volumes, tmp_path / "out" / f"a{ending}")
    for path in sorted((tmp_path / "out").iterdir()):
        assert frames_of(path) == 3
        np.testing.assert_array_equal(np.stack([v.data for v in read_frames(path)], axis=-1), data)
        np.testing.assert_array_equal(np.asarray(load(path).dataobj), data)
    assert {path.name for path in (tmp_path / "out").iterdir()} in (
        {f"a{ending}"},
        {"a.hdr", "a.img"},
        {"a.hdr.gz", "a.img.gz"},
    )


def test_a_3d_file_is_one_frame_and_one_volume_makes_a_4d_file(tmp_path: Path) -> None:
    volume = Volume.from_array(ramp(4, 5, 6), spacing_mm=(1, 2, 3), name="a")
    write_nifti(volume, tmp_path / "a.nii")
    assert frames_of(tmp_path / "a.nii") == 1
    (only,) = read_frames(tmp_path / "a.nii")
    np.testing.assert_array_equal(only.data, volume.data)
    assert only.name == "a"
    write_nifti_4d([volume], tmp_path / "b.nii")
    assert load(tmp_path / "b.nii").shape == (4, 5, 6, 1)
    assert frames_of(tmp_path / "b.nii") == 1
    np.testing.assert_array_equal(read_nifti(tmp_path / "b.nii").data, volume.data)


@pytest.mark.parametrize(
    ("unit", "expected"), [(None, 2.5), ("sec", 2.5), ("msec", 2500), ("usec", 2.5e6), ("hz", 2.5)]
)
def test_a_repetition_time_is_written_in_the_files_own_unit(tmp_path: Path, unit: str | None, expected: float) -> None:
    header = nib.Nifti1Header()
    header.set_sform(np.eye(4), code=1)
    header.set_xyzt_units("mm", unit)
    volumes = list(read_frames(save(tmp_path / "in.nii", ramp(4, 5, 6, 2), header)))
    write_nifti_4d(volumes, tmp_path / "out.nii", repetition_time_s=2.5)
    written = load(tmp_path / "out.nii").header
    assert written["pixdim"][4] == np.float32(expected)
    assert written.get_xyzt_units() == ("mm", unit if unit in ("sec", "msec", "usec") else "sec")


def test_a_moved_grid_keeps_the_repetition_time_and_loses_the_slice_timing(tmp_path: Path) -> None:
    """A header's slice numbers count the slices of the old grid."""
    header = nib.Nifti1Header()
    header.set_sform(np.eye(4), code=1)
    header["pixdim"][4], header["slice_code"], header["slice_end"] = 3, 2, 5
    volumes = list(read_frames(save(tmp_path / "in.nii", ramp(4, 5, 6, 2), header)))
    moved = [Volume(v.data, np.diag([1.0, 1, 2, 1]), v.header) for v in volumes]
    write_nifti_4d(moved, tmp_path / "out.nii")
    written = load(tmp_path / "out.nii").header
    assert written["pixdim"][4] == 3
    assert (written["slice_code"], written["slice_end"]) == (0, 0)
    np.testing.assert_array_equal(written.get_best_affine(), np.diag([1.0, 1, 2, 1]))


def test_a_gz_file_is_decompressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.nii.gz", ramp(4, 5, 6, 40))
    frames_of(path)
    size = 352 + 4 * 5 * 6 * 40 * 2
    decompressed: list[int] = []
    read = gzip.GzipFile.read

    def counting(file: gzip.GzipFile, *args: Any) -> bytes:
        block = read(file, *args)
        decompressed.append(len(block))
        return block

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    rewinds: list[int] = []
    rewind = gzip.GzipFile.rewind
    monkeypatch.setattr(gzip.GzipFile, "rewind", lambda file: (rewinds.append(1), rewind(file)))
    assert len(list(read_frames(path))) == 40
    assert sum(decompressed) <= size + 540  # the voxels, and the header before them
    assert rewinds == []


def test_volumes_that_do_not_belong_together(tmp_path: Path) -> None:
    volume = Volume.from_array(ramp(4, 5, 6))
    for other in (Volume.from_array(ramp(4, 5, 7)), Volume.from_array(ramp(4, 5, 6), spacing_mm=(1, 1, 2))):
        with pytest.raises(GeometryError, match="frame 1 lies on another grid"):
            write_nifti_4d([volume, other], tmp_path / "a.nii")
    with pytest.raises(UsageError, match="no volumes"):
        write_nifti_4d([], tmp_path / "a.nii")
    with pytest.raises(UsageError, match="ending in"):
        write_nifti_4d([volume], tmp_path / "a.mgz")
    with pytest.raises(OutputError, match="must be real"):
        write_nifti_4d([volume, volume.with_data(volume.data + 1j)], tmp_path / "a.nii")
    with pytest.raises(OutputError, match="empty"):
        write_nifti_4d([Volume.from_array(np.zeros((0, 2, 2)))], tmp_path / "a.nii")
    for seconds in (0, -1, np.nan, np.inf):
        with pytest.raises(UsageError, match="positive number of seconds"):
            write_nifti_4d([volume], tmp_path / "a.nii", repetition_time_s=seconds)
    assert list(tmp_path.iterdir()) == []


def test_one_frame_out_of_range_decides_for_all(tmp_path: Path) -> None:
    small, large = Volume.from_array(ramp(4, 5, 6, dtype="uint8")), Volume.from_array(ramp(4, 5, 6) + 300)
    write_nifti_4d([small, large], tmp_path / "a.nii")
    assert load(tmp_path / "a.nii").get_data_dtype() == np.int16
    again = list(read_frames(tmp_path / "a.nii"))
    np.testing.assert_array_equal(again[0].data, small.data)
    np.testing.assert_array_equal(again[1].data, large.data)
    with pytest.raises(UsageError, match="not whole numbers in its range"):
        write_nifti_4d([small, large], tmp_path / "b.nii", "uint8")
    nothing = small.with_data(np.full(small.shape, np.nan, dtype=np.float32))
    with pytest.raises(OutputError, match="NaN"):
        write_nifti_4d([small, nothing], tmp_path / "b.nii", "int16")


def refused(path: Path) -> str:
    with pytest.raises(InputError) as counted:
        frames_of(path)
    with pytest.raises(InputError) as read:
        next(read_frames(path))
    assert str(counted.value) == str(read.value)
    return str(counted.value)


def test_what_is_not_a_series_of_real_volumes(tmp_path: Path) -> None:
    colour = np.zeros((4, 4, 4, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with_alpha = np.zeros((4, 4, 4, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
    cases = [
        (ramp(4, 4, 4, 2, 3), "5D"),
        (ramp(4, 4, 4, 1, 1, 2), "6D"),
        (ramp(8, 8), "2D"),
        (ramp(8, 8, 1, 5), "2D"),
        (ramp(4, 4, 4, 2).astype(np.complex64), "complex"),
        (ramp(4, 4, 4, 2).astype(np.complex128), "complex"),
        (colour, "RGB"),
        (with_alpha, "RGB"),
    ]
    for i, (data, reason) in enumerate(cases):
        assert reason in refused(save(tmp_path / f"{i}.nii", data))


def test_5d_with_trailing_axes_of_one_is_4d(tmp_path: Path) -> None:
    data = ramp(4, 4, 4, 3, 1)
    path = save(tmp_path / "a.nii", data)
    assert frames_of(path) == 3
    np.testing.assert_array_equal([v.data for v in read_frames(path)][2], data[..., 2, 0])


def test_damage_is_found_wherever_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 999, (8, 8, 8, 6)).astype(np.int16))
    whole = path.read_bytes()
    for keep in (20, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match="truncated"):
            list(read_frames(path))
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])  # in gzip's checksum, behind the last voxel
    frames = read_frames(path)
    with pytest.raises(InputError, match="CRC"):
        list(frames)


def test_values_that_are_not_finite_name_their_frame(tmp_path: Path) -> None:
    data = np.zeros((4, 4, 4, 3), dtype=np.float32)
    data[1, 2, 3, 2] = np.nan
    path = save(tmp_path / "a.nii", data)
    with pytest.raises(InputError, match=r"frame 2: .*1 of 64 voxels"):
        list(read_frames(path))
    assert len(list(read_frames(path, finite=False))) == 3


def test_a_frame_that_is_too_large_meets_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "MAX_VOXELS", 63)
    with pytest.raises(MemoryLimitError, match="at most 63"):
        list(read_frames(save(tmp_path / "a.nii", ramp(4, 4, 4, 2))))


def test_more_frames_than_nifti_1_counts_become_nifti_2(tmp_path: Path) -> None:
    volume = Volume.from_array(ramp(2, 2, 2))
    write_nifti_4d([volume] * 33000, tmp_path / "a.nii")
    assert isinstance(load(tmp_path / "a.nii"), nib.Nifti2Image)
    assert frames_of(tmp_path / "a.nii") == 33000


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_nifti_4d([Volume.from_array(ramp(4, 5, 6))] * 2, tmp_path / "a.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize("name", ["dti/001_ground_truth.nii.gz", "fmri/001_implicit_ground_truth.nii.gz"])
def test_real_files_read_as_nibabel_reads_them_and_come_back(
    real_data: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    path = real_data("dicom") / "dicom2nifti" / "ge" / name
    reference = load(path)
    volumes = list(read_frames(path))
    assert frames_of(path) == len(volumes) == reference.shape[3]
    values = np.asanyarray(reference.dataobj).astype(np.float32)
    np.testing.assert_array_equal(np.stack([v.data for v in volumes], axis=-1), values)
    np.testing.assert_array_equal(read_nifti(path, frame=1).data, values[..., 1])
    write_nifti_4d(volumes, tmp_path / "out.nii.gz")
    written = load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj).astype(np.float32), values)
    assert written.get_data_dtype() == reference.get_data_dtype()
    for key in (key for key in KEPT if key != "vox_offset"):  # theirs is 0, which stands for 352
        np.testing.assert_array_equal(written.header[key], reference.header[key], err_msg=key)
