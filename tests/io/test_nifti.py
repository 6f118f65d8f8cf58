"""Round trips: what was read is what is written, over number types, byte orders, forms, units, slopes and spacings."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medidiff import __version__
from medidiff.errors import GeometryError, InputError, UsageError
from medidiff.geometry import same_grid
from medidiff.io.nifti import read_nifti, write_nifti
from medidiff.volume import Volume

load: Any = nib.load  # nibabel's own types do not say what an image has

KEPT = ("qform_code", "sform_code", "xyzt_units", "pixdim", "dim_info", "dim", "magic", "vox_offset", "sizeof_hdr")
KEPT_FORMS = (
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)
INTEGERS = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]

angles = st.floats(-3.1, 3.1)
in_one_folder = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def headers(draw: st.DrawFn) -> nib.Nifti1Header:
    """Any grid a scanner can give: spacing, oblique axes, codes, units, byte order, version."""
    kind = draw(st.sampled_from([nib.Nifti1Header, nib.Nifti2Header]))
    header = kind(endianness=draw(st.sampled_from("<>")))
    a, b = draw(angles), draw(angles)
    rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    affine = np.eye(4)
    spacing = [draw(st.floats(0.05, 12)) for _ in range(3)]
    affine[:3, :3] = rotation @ np.diag(spacing) @ np.diag([draw(st.sampled_from([1, -1])), 1, 1])
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    header.set_qform(affine, code=draw(st.integers(0, 4)))
    header.set_sform(affine, code=draw(st.integers(0, 4)))
    header.set_xyzt_units(draw(st.sampled_from([None, "mm", "meter", "micron"])), draw(st.sampled_from([None, "sec"])))
    header.set_dim_info(*draw(st.sampled_from([(None, None, None), (0, 1, 2)])))
    header["descrip"] = draw(st.sampled_from([b"", b"TE=2.9;Time=1", b"x" * 80]))
    return header


def save(header: nib.Nifti1Header, stored: np.ndarray, path: Path, slope: float = 1.0, inter: float = 0.0) -> Path:
    """A file made byte by byte, so that nothing but the standard decides what is in it."""
    header = header.copy()
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["vox_offset"] = 352 if header["sizeof_hdr"] == 348 else 544
    voxels = stored.astype(stored.dtype.newbyteorder(header.endianness)).tobytes(order="F")
    content = header.binaryblock + bytes(4) + voxels
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def plain(path: Path, data: np.ndarray, **kwargs: float) -> Path:
    header = nib.Nifti1Header()
    header.set_sform(np.diag([2.0, 2, 2, 1]), code=1)
    return save(header, data, path, **kwargs)


def ramp(dtype: str = "int16", shape: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@in_one_folder
@given(headers(), st.sampled_from([*INTEGERS, "float32", "float64"]), st.booleans(), st.integers(0, 2**31))
def test_a_volume_that_was_not_changed_comes_back_in_full(
    tmp_path: Path, header: nib.Nifti1Header, dtype: str, scaled: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    slope, inter = (float(np.float32(rng.uniform(1e-3, 9))), float(np.float32(rng.normal()))) if scaled else (1.0, 0.0)
    stored = rng.integers(0, 127, (4, 3, 5)).astype(dtype)
    source = save(header, stored, tmp_path / "in.nii.gz", slope, inter)
    volume = read_nifti(source)
    reference = load(source)  # an independent reader
    expected = (stored.astype(np.float64) * slope + inter).astype(np.float32)
    np.testing.assert_array_equal(volume.data, expected)
    mm = {"meter": 1000.0, "micron": 0.001}.get(str(header.get_xyzt_units()[0]), 1.0)
    np.testing.assert_array_equal(volume.affine_ras[:3], mm * reference.affine[:3])
    target = tmp_path / "out.nii"
    write_nifti(volume, target)
    written = load(target)
    for key in (*KEPT, *KEPT_FORMS):
        np.testing.assert_array_equal(written.header[key], reference.header[key], err_msg=key)
    assert written.header.endianness == reference.header.endianness
    kind = np.dtype(dtype).kind
    assert written.get_data_dtype().kind == kind
    again = read_nifti(target)
    np.testing.assert_array_equal(again.data, volume.data)
    assert same_grid(again, volume, tol_mm=0)


@in_one_folder
@given(
    headers(), st.sampled_from([*INTEGERS, "float32", "float64"]), st.sampled_from([1.0, 0.37]), st.integers(0, 2**31)
)
def test_a_denoised_volume_keeps_the_kind_of_number_at_a_fine_step(
    tmp_path: Path, header: nib.Nifti1Header, dtype: str, slope: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 127, (4, 3, 5)).astype(dtype)
    volume = read_nifti(save(header, stored, tmp_path / "in.nii", slope))
    changed = volume.with_data((volume.data + rng.normal(0, 5, volume.shape)).astype(np.float32))
    write_nifti(changed, tmp_path / "out.nii")
    again = read_nifti(tmp_path / "out.nii")
    assert again.header is not None
    assert np.dtype(again.header.dtype).kind == np.dtype(dtype).kind
    if np.dtype(dtype).kind == "f":
        np.testing.assert_array_equal(again.data, changed.data)
        assert again.header.dtype == "float32"
    else:
        step = (float(changed.data.max()) - float(changed.data.min())) / 60000
        # Half a step, and float32's rounding of the value read.
        assert abs(again.data - changed.data).max() <= step / 2 + np.spacing(np.float32(200))
        assert again.header.slope <= step


@in_one_folder
@given(headers(), st.floats(-50, 50).filter(lambda shift_mm: abs(shift_mm + 1) > 1e-3))
def test_a_moved_grid_is_written_in_both_forms_and_the_files_own_unit(
    tmp_path: Path, header: nib.Nifti1Header, shift_mm: float
) -> None:
    volume = read_nifti(save(header, ramp(), tmp_path / "in.nii"))
    affine = volume.affine_ras.copy()
    affine[:3, 3] += shift_mm + 1
    moved = Volume(volume.data, affine, volume.header)
    write_nifti(moved, tmp_path / "out.nii")
    again = read_nifti(tmp_path / "out.nii")
    assert volume.header is not None
    # float32 in the header: 2^-24 of a coordinate of up to 300 file units plus the shift, on 3 axes.
    unit_mm = volume.header.mm_per_unit
    tolerance_mm = 1e-4 * unit_mm + 2**-22 * abs(shift_mm)
    assert same_grid(again, moved, tol_mm=tolerance_mm)
    assert again.header is not None
    # Near half a turn the quaternion's fourth part, sqrt(1-b^2-c^2-d^2) in float32, is good to 5e-4 only.
    extent_mm = np.dot(volume.shape, volume.spacing_mm)
    assert again.header.forms_differ_mm <= tolerance_mm + 1e-3 * extent_mm
    kept = max(volume.header.sform_code, volume.header.qform_code, 1)
    assert again.header.sform_code == (volume.header.sform_code or kept)
    assert again.header.qform_code == (volume.header.qform_code or kept)
    assert again.header.xyzt_units == volume.header.xyzt_units


def test_a_sheared_grid_has_no_qform(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1, 2, 1])
    affine[1, 2] = 0.6
    write_nifti(Volume(ramp(), affine), tmp_path / "out.nii")
    header = load(tmp_path / "out.nii").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
    np.testing.assert_array_equal(read_nifti(tmp_path / "out.nii").affine_ras, affine.astype(np.float32))


@pytest.mark.parametrize("ending", [".hdr", ".img", ".HDR", ".hdr.gz", ".img.gz"])
@pytest.mark.parametrize("version", [1, 2])
def test_pairs_are_written_and_read_by_either_name(tmp_path: Path, ending: str, version: int) -> None:
    volume = Volume.from_array(ramp(), spacing_mm=(1, 2, 3))
    if version == 2:
        header = nib.Nifti2Header()
        header.set_sform(volume.affine_ras, code=1)
        volume = read_nifti(save(header, ramp(), tmp_path / "v2.nii"))
        (tmp_path / "v2.nii").unlink()
    write_nifti(volume, tmp_path / f"a{ending}")
    names = {p.name.lower() for p in tmp_path.iterdir()}
    gz = ".gz" if ending.endswith(".gz") else ""
    assert names == {f"a.hdr{gz}", f"a.img{gz}"}
    for path in sorted(tmp_path.iterdir()):
        again = read_nifti(path)
        np.testing.assert_array_equal(again.data, volume.data)
        assert again.name == "a"
        if ending.islower():
            np.testing.assert_array_equal(np.asarray(load(path).dataobj), volume.data)


def test_the_description_is_kept_and_marked_once(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header["descrip"] = b"TE=2.9;Time=141500"
    volume = read_nifti(save(header, ramp(), tmp_path / "in.nii"))
    for _ in range(2):
        write_nifti(volume, tmp_path / "out.nii")
        volume = read_nifti(tmp_path / "out.nii")
        assert volume.header is not None
        assert volume.header.descrip == f"TE=2.9;Time=141500; medidiff {__version__}"
    write_nifti(volume, tmp_path / "out.nii", descrip="y" * 100)
    assert load(tmp_path / "out.nii").header["descrip"].item() == b"y" * 79


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    volume = Volume.from_array(ramp("float32"))
    write_nifti(volume, tmp_path / "a.nii.gz")
    write_nifti(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_infinite_noise_maps_are_written_and_read_on_request(tmp_path: Path) -> None:
    data = np.full((3, 3, 3), np.inf, dtype=np.float32)
    write_nifti(Volume.from_array(data), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii", finite=False).data, data)
    with pytest.raises(InputError, match="27 of 27"):
        read_nifti(tmp_path / "a.nii")


def test_a_volume_too_long_for_nifti_1_becomes_nifti_2(tmp_path: Path) -> None:
    volume = Volume.from_array(np.arange(40000 * 4, dtype=np.float32).reshape(40000, 2, 2))
    write_nifti(volume, tmp_path / "a.nii")
    assert isinstance(load(tmp_path / "a.nii"), nib.Nifti2Image)
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").data, volume.data)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("inter", [0.0, 7.0, np.nan])
def test_a_slope_that_is_none_scales_nothing(tmp_path: Path, slope: float, inter: float) -> None:
    """The standard: a slope of 0 means the values are as stored, whatever the intercept; NaN is what nibabel writes."""
    volume = read_nifti(plain(tmp_path / "a.nii", ramp("int16"), slope=slope, inter=inter))
    np.testing.assert_array_equal(volume.data, ramp())
    write_nifti(volume, tmp_path / "b.nii")
    written = load(tmp_path / "b.nii")
    assert written.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(written.dataobj), ramp())


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1000.0), ("mm", 1.0), ("micron", 0.001), (None, 1.0)])
@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
def test_units_of_length(tmp_path: Path, kind: type, unit: str | None, mm: float) -> None:
    header = kind()
    header.set_sform(np.diag([2.0, 3, 4, 1]), code=1)
    header.set_xyzt_units(unit)
    volume = read_nifti(save(header, ramp(), tmp_path / "a.nii"))
    np.testing.assert_allclose(volume.spacing_mm, np.array([2.0, 3, 4]) * mm, rtol=1e-15)


def test_one_frame_of_a_4d_file_and_trailing_axes_of_one(tmp_path: Path) -> None:
    data = ramp(shape=(4, 5, 6, 3))
    path = plain(tmp_path / "a.nii.gz", data)
    for frame in range(3):
        np.testing.assert_array_equal(read_nifti(path, frame=frame).data, data[..., frame])
    np.testing.assert_array_equal(read_nifti(plain(tmp_path / "b.nii", data[..., :1])).data, data[..., 0])
    with pytest.raises(InputError, match="from 0 to 2"):
        read_nifti(path, frame=3)
    with pytest.raises(InputError, match="this file is 3D"):
        read_nifti(tmp_path / "b.nii", frame=1)


def test_disagreeing_forms_are_measured_and_the_sform_is_used(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_qform(np.eye(4), code=1)
    moved = np.eye(4)
    moved[0, 3] = 5
    header.set_sform(moved, code=2)
    volume = read_nifti(save(header, ramp(), tmp_path / "a.nii"))
    np.testing.assert_array_equal(volume.affine_ras, moved)
    assert volume.header is not None
    assert volume.header.forms_differ_mm == 5


def test_names_that_are_not_nifti(tmp_path: Path) -> None:
    for name in ("a.mgz", "a", ".nii.gz"):
        with pytest.raises(UsageError, match="ending in"):
            read_nifti(tmp_path / name)
        with pytest.raises(UsageError, match="ending in"):
            write_nifti(Volume.from_array(ramp()), tmp_path / name)
    with pytest.raises(GeometryError, match="spacing"):
        write_nifti(Volume.from_array(ramp(), spacing_mm=(0, 1, 1)), tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []


def test_every_real_file_reads_as_nibabel_reads_it_and_comes_back_exactly(shared_data: Path, tmp_path: Path) -> None:
    paths = [p for p in sorted(shared_data.glob("**/*.nii.gz")) if "dicom" not in p.parts][::7]
    assert paths
    for path in paths:
        volume, reference = read_nifti(path), load(path)
        np.testing.assert_array_equal(
            volume.data, np.asanyarray(reference.dataobj).astype(np.float32), err_msg=str(path)
        )
        np.testing.assert_array_equal(volume.affine_ras, reference.affine, err_msg=str(path))
        write_nifti(volume, tmp_path / "out.nii")
        written = load(tmp_path / "out.nii")
        np.testing.assert_array_equal(read_nifti(tmp_path / "out.nii").data, volume.data, err_msg=str(path))
        for key in ("qform_code", "sform_code", "xyzt_units", "pixdim", *KEPT_FORMS):
            np.testing.assert_array_equal(written.header[key], reference.header[key], err_msg=f"{path} {key}")
        assert written.get_data_dtype().kind == reference.get_data_dtype().kind
