"""Candidates to volumes: values, memory of the integers, refusals and the options that cover them, choosing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medidiff.errors import GeometryError, InputError, MedidiffError, MemoryLimitError, UsageError
from medidiff.io.dicom.choose import choose
from medidiff.io.dicom.model import (
    Candidate,
    DicomScan,
    Facts,
    FileRef,
    PixelForm,
    Plane,
    Refusal,
    SeriesFacts,
    Stacking,
)
from medidiff.io.dicom.read import read_candidate, volume_name
from medidiff.io.nifti import read_nifti, write_nifti

AFFINE = np.array([[-0.8, 0, 0, 50], [0, -0.9, 0.0, 60], [0, 0, 3.0, -70], [0, 0, 0, 1]])
SERIES = SeriesFacts("1.2.3", "1.2", "1.4", "ID-1", ("Doe^John",), 3, "CT", "Doe head", "", "", "", False)
FORM = PixelForm("1.2.840.10008.1.2.1", 16, "MONOCHROME2", 16, 16, 15, True)
FORM = replace(FORM, samples=1)


def make(folder: Path, stored: np.ndarray, scales: list[tuple[float, float]], form: PixelForm = FORM) -> Candidate:
    """A candidate of raw files, slices x rows x columns."""
    planes = []
    for k, (slope, intercept) in enumerate(scales):
        path = folder / f"{k}"
        path.write_bytes(b"four" + stored[k].astype("<i2" if form.signed else "<u2").tobytes())
        file = FileRef(path, label=f"s/{k}")
        rows, columns = stored.shape[1:]
        planes.append(
            Plane(
                file,
                0,
                1,
                "",
                "",
                k,
                rows,
                columns,
                form,
                slope,
                intercept,
                "HU",
                None,
                None,
                None,
                None,
                None,
                Facts(),
                4,
            )
        )
    stacking = Stacking((stored.shape[2], stored.shape[1], len(planes)), AFFINE, tuple(range(len(planes))))
    return Candidate("1a2b3c4d", SERIES, "", tuple(planes), stacking, files=len(planes))


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(0).integers(-1024, 3000, (6, 4, 5))


@pytest.mark.parametrize("scale", [(1.0, 0.0), (1.0, -1024.0), (0.1, 0.5), (-2.0, 3.0), (2.44140625e-4, 0.0)])
def test_values_place_and_the_way_through_nifti(tmp_path: Path, stored: np.ndarray, scale: tuple[float, float]) -> None:
    read = read_candidate(make(tmp_path, stored, [scale] * 6))
    slope, intercept = (float(np.float32(value)) for value in scale)
    expected = (slope * stored.astype(np.float64) + intercept).astype(np.float32).transpose(2, 1, 0)
    assert read.volume.data.dtype == np.float32
    assert np.array_equal(read.volume.data, expected)
    assert np.array_equal(read.volume.affine_ras, AFFINE)
    assert (read.volume.name, read.volume.modality) == ("series-003-CT-1a2b3c4d", "CT")
    write_nifti(read.volume, tmp_path / "out.nii.gz")
    back = read_nifti(tmp_path / "out.nii.gz")
    assert np.array_equal(back.data, expected)
    assert np.allclose(back.affine_ras, AFFINE, atol=1e-5)
    assert back.header is not None
    header = back.header
    assert (header.dtype, header.slope, header.inter) == ("int16", slope, intercept)
    assert (header.sform_code, header.qform_code, header.xyzt_units) == (1, 1, 2)


def test_each_slice_has_its_own_slope(tmp_path: Path, stored: np.ndarray) -> None:
    scales = [(1.0 + k / 7, -float(k)) for k in range(6)]
    volume = read_candidate(make(tmp_path, stored, scales)).volume
    for k, (slope, intercept) in enumerate(scales):
        assert np.array_equal(volume.data[..., k].T, (slope * stored[k] + intercept).astype(np.float32))
    assert volume.header is None


def test_sixteen_unsigned_bits(tmp_path: Path, stored: np.ndarray) -> None:
    candidate = make(tmp_path, stored + 60000, [(1.0, 0.0)] * 6, replace(FORM, signed=False))
    volume = read_candidate(candidate).volume
    assert volume.data.max() == stored.max() + 60000
    assert volume.header is not None
    assert volume.header.dtype == "uint16"


def test_padding_is_kept_and_counted(tmp_path: Path, stored: np.ndarray) -> None:
    stored[:, 0, :2] = -2000
    read = read_candidate(make(tmp_path, stored, [(1.0, 0.0)] * 6, replace(FORM, padding=(-2000, -2000))))
    assert read.volume.data.min() == -2000
    assert "12 of 120 voxels hold the padding value" in read.notes[0]


@pytest.mark.parametrize("scale", [(float("nan"), 0.0), (1e300, 0.0), (1.0, float("inf"))])
def test_scale_without_finite_values_is_refused(tmp_path: Path, stored: np.ndarray, scale: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="would not be finite"):
        read_candidate(make(tmp_path, stored, [scale] * 6))


REFUSED = [("gap", GeometryError), ("duplicate", GeometryError), ("spacing", GeometryError), ("damaged", InputError)]


@pytest.mark.parametrize(("code", "error"), [*REFUSED, ("too-large", MemoryLimitError), ("localizer", InputError)])
def test_refusal_is_the_error(tmp_path: Path, stored: np.ndarray, code: str, error: type[MedidiffError]) -> None:
    candidate = replace(make(tmp_path, stored, [(1.0, 0.0)] * 6), refusal=Refusal(code, "The fact.", "The remedy."))
    with pytest.raises(error, match=r"series-003-CT-1a2b3c4d: The fact\. The remedy\.") as caught:
        read_candidate(candidate)
    assert "Doe" not in str(caught.value)


def test_gap_and_tilt_are_covered_by_their_options_only(tmp_path: Path, stored: np.ndarray) -> None:
    whole = make(tmp_path, stored, [(1.0, 0.0)] * 6)
    tilted = AFFINE.copy()
    tilted[1, 2] = 0.9
    stacking = Stacking((5, 4, 6), tilted, (0, 1, 2, 4, 5), 16.7, (3,))
    planes = (*whole.planes[:3], *whole.planes[4:])
    both = replace(whole, planes=planes, stacking=stacking, refusal=Refusal("gap", "A gap.", "Fill it."))
    for options in ({}, {"fill_gaps": True}, {"resample_tilt": True}):
        with pytest.raises(GeometryError):
            read_candidate(both, **options)
    read = read_candidate(both, fill_gaps=True, resample_tilt=True)
    assert read.missing == (3,)
    assert read.volume.shape == (5, 4 + 5, 6)
    assert "gantry tilt of 16.7 degrees" in read.notes[0]

    gap = replace(both, stacking=replace(stacking, tilt_deg=0.0, affine_ras=AFFINE))
    filled = read_candidate(gap, fill_gaps=True).volume
    assert not filled.data[..., 3].any()
    assert np.array_equal(filled.data[..., 4].T, stored[4])


def test_truncated_slice_is_named_by_its_label(tmp_path: Path, stored: np.ndarray) -> None:
    candidate = make(tmp_path, stored, [(1.0, 0.0)] * 6)
    (tmp_path / "2").write_bytes(b"four")
    with pytest.raises(InputError, match="s/2: truncated"):
        read_candidate(candidate)


def test_more_voxels_than_allowed_are_refused_before_memory_is_taken(tmp_path: Path, stored: np.ndarray) -> None:
    candidate = make(tmp_path, stored, [(1.0, 0.0)] * 6)
    huge = replace(candidate.stacking or Stacking((1, 1, 1), AFFINE, ()), shape=(65535, 65535, 6))
    with pytest.raises(MemoryLimitError, match="at most"):
        read_candidate(replace(candidate, stacking=huge))


def test_choosing(tmp_path: Path, stored: np.ndarray) -> None:
    one = make(tmp_path, stored, [(1.0, 0.0)] * 6)
    other = replace(one, id="00000007", part="echo 2", series=replace(SERIES, series_uid="1.2.4", number=7))
    aside = replace(one, id="99999999", refusal=Refusal("localizer", "A localizer.", "Nothing."))
    scan = DicomScan(Path("Doe/scan"), (one, other, aside))
    assert choose(DicomScan(tmp_path, (one, aside)), None) is one
    for wanted, expected in (("1a2b3c4d", one), ("1A2B3C4D", one), ("7", other), ("1.2.4", other), ("99999999", aside)):
        assert choose(scan, wanted) is expected
    with pytest.raises(UsageError, match=r"2 volumes(.|\n)*1a2b3c4d  CT  series 3  6 slices\n00000007") as caught:
        choose(scan, None)
    assert "99999999" not in str(caught.value)
    with pytest.raises(UsageError, match="not found"):
        choose(scan, "12")
    twin = replace(other, id="00000008", part="echo 3")
    with pytest.raises(UsageError, match="give one of these ids"):
        choose(DicomScan(tmp_path, (other, twin)), "7")
    with pytest.raises(InputError, match="A localizer"):
        choose(DicomScan(tmp_path, (aside,)), None)


def test_name_holds_no_strange_modality(tmp_path: Path, stored: np.ndarray) -> None:
    candidate = make(tmp_path, stored, [(1.0, 0.0)] * 6)
    series = replace(SERIES, number=None, modality="../x")
    assert volume_name(replace(candidate, series=series)) == "series-1a2b3c4d"


def test_real_tilted_head(real_data: Callable[[str], Path]) -> None:
    from medidiff import read_dicom

    folder = real_data("dicom") / "gantry_tilt_ct" / "S3010"
    with pytest.raises(GeometryError, match="tilt"):
        read_dicom(folder)
    volume = read_dicom(folder, resample_tilt=True)
    # 58 slices 2.5 mm apart, 16.5 degrees: the last lies 99.6 rows of 0.40625 mm further than the first.
    assert volume.shape == (512, 612, 58)
    assert volume.spacing_mm == pytest.approx((0.40625, 0.40625, 2.39705), abs=1e-4)
