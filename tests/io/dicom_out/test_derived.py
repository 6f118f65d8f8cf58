"""Derived series: the right voxel at the right place, its patient, its source, the same bytes every time."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from medidiff.errors import GeometryError, InputError, OutputError, UsageError
from medidiff.io.dicom_out import Derivation, write_derived
from medidiff.volume import Volume

from .making import candidate_from, make_series, read_back, volume_of

DONE = Derivation("Denoised by a diffusion prior", "general", "ab" * 32, {"passes": 2}, noise_std=14.0)


def denoised(volume: Volume, seed: int = 3) -> Volume:
    """Other values in about the same range, not on the source's steps."""
    noise = np.random.default_rng(seed).normal(0, 0.4, volume.shape)
    return volume.with_data((volume.data * 0.9 + noise).astype(np.float32))


def headers(paths: list[Path]) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in paths]


CASES: dict[str, dict[str, Any]] = {
    "CT": {"modality": "CT"},
    "MR": {"modality": "MR"},
    "signed": {"modality": "CT", "signed": True, "slopes": [(1.0, 0.0)] * 5},
    "per-slice slope": {"modality": "MR", "slopes": [(0.5 + 0.25 * k, -3.0 * k) for k in range(5)]},
    "MONOCHROME1": {"modality": "CT", "PhotometricInterpretation": "MONOCHROME1"},
    "big endian": {"modality": "MR", "syntax": ExplicitVRBigEndian},
    "implicit": {"modality": "MR", "syntax": ImplicitVRLittleEndian},
    "RLE": {"modality": "CT", "syntax": RLELossless},
    "JPEG 2000": {"modality": "MR", "syntax": JPEG2000Lossless, "shape": (48, 40, 5)},
    "padding": {"modality": "CT", "PixelPaddingValue": 4095},
    "no body part": {"modality": "MR", "BodyPartExamined": None, "PatientPosition": None},
    "no frame of reference": {"modality": "MR", "FrameOfReferenceUID": None},
    "straight": {"modality": "CT", "oblique": False},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_values_and_places_come_back(tmp_path: Path, case: dict[str, Any]) -> None:
    source = candidate_from(make_series(tmp_path / "source", **case))
    volume = denoised(volume_of(source))
    paths = write_derived(volume, source, tmp_path / "out", DONE)
    assert [p.name for p in paths] == [f"{k:05d}.dcm" for k in range(1, 6)]
    back = read_back(paths)
    np.testing.assert_array_equal(back.affine_ras, volume.affine_ras)  # digit by digit
    # An error of a quarter of the noise is allowed; half a step of 1 / 60 000 of the range is far below.
    assert np.abs(back.data - volume.data).max() <= 14.0 / 4 + 1e-3
    before, after = headers([p.file.path for p in source.planes]), headers(paths)
    for k, (old, new) in enumerate(zip(before, after, strict=True)):
        assert new.InstanceNumber == k + 1
        assert new.PhotometricInterpretation == old.PhotometricInterpretation
        for keyword in ("PixelPaddingValue", "SmallestImagePixelValue", "OperatorsName", "ImageComments"):
            assert keyword not in new
        assert not any(element.tag.is_private for element in new.iterall())
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "KVP"):
            assert new.get(keyword) == old.get(keyword)
        assert new.PixelSpacing == old.PixelSpacing
        assert [v.original_string for v in new.ImagePositionPatient] == [
            v.original_string for v in old.ImagePositionPatient
        ]


def test_what_an_image_says_of_itself(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "CT"))
    paths = write_derived(denoised(volume_of(source)), source, tmp_path / "out", DONE)
    for plane, image in zip(source.planes, headers(paths), strict=True):
        assert image.SOPClassUID == CTImageStorage
        assert list(image.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
        assert image.SeriesDescription == "Kopf Spirale 2.5 [denoised, research]"
        assert image.SeriesNumber == 701
        assert image.ContentQualification == "RESEARCH"
        assert "general" in image.DerivationDescription
        assert "ab" * 32 in image.DerivationDescription
        (reference,) = image.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == plane.sop_instance
        assert reference.SpatialLocationsPreserved == "YES"
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        (equipment,) = image.ContributingEquipmentSequence
        assert equipment.Manufacturer == "medidiff"
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert (image.BurnedInAnnotation, image.LossyImageCompression, image.RescaleType) == ("NO", "00", "HU")
        assert image.FrameOfReferenceUID == source.series.frame_of_reference_uid
        assert image.SeriesInstanceUID != source.series.series_uid
        assert image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID != plane.sop_instance
        assert (image.WindowCenter, image.WindowWidth) == (40, 400)
        assert "SyntheticData" not in image
        assert "InstanceCreationDate" not in image
    assert len({image.SOPInstanceUID for image in headers(paths)}) == 5


def digest(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_a_rerun_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    volume = denoised(volume_of(source))
    first = digest(write_derived(volume, source, tmp_path / "out", DONE))
    monkeypatch.setattr(time, "time", lambda: 2e9)
    again = write_derived(volume, source, tmp_path / "out", replace(DONE, settings={"passes": 2}))
    assert digest(again) == first
    assert sorted((tmp_path / "out").iterdir()) == again


@pytest.mark.parametrize(
    "other",
    [{"settings": {"passes": 3}}, {"prior_hash": "cd" * 32}, {"what": "Filled"}, {"suffix": "[noise, research]"}],
    ids=lambda other: next(iter(other)),
)
def test_other_settings_make_another_series(tmp_path: Path, other: dict[str, Any]) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    volume = volume_of(source)
    one, two = (
        headers(write_derived(volume, source, tmp_path / name, done))[0]
        for name, done in (("a", DONE), ("b", replace(DONE, **other)))
    )
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.StudyInstanceUID == two.StudyInstanceUID


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1), (1, -1, -1)])
def test_axes_turned_on_the_way_are_turned_back(tmp_path: Path, order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    source = candidate_from(make_series(tmp_path / "source", "CT"))
    volume = denoised(volume_of(source))
    turn = np.zeros((4, 4))
    for axis, (old, sign) in enumerate(zip(order, flips, strict=True)):
        turn[old, axis] = sign
        turn[old, 3] = 0 if sign > 0 else volume.shape[old] - 1
    turn[3, 3] = 1
    # float32, as a NIfTI sform holds it
    turned = Volume(
        np.transpose(volume.data, order)[tuple(slice(None, None, s) for s in flips)],
        (volume.affine_ras @ turn).astype(np.float32),
    )
    generated = np.zeros(turned.shape, dtype=bool)
    slices = order.index(2)
    place: list[Any] = [slice(None)] * 3
    place[slices] = 1 if flips[slices] > 0 else turned.shape[slices] - 2
    generated[tuple(place)] = True
    paths = write_derived(turned, source, tmp_path / "out", replace(DONE, generated=generated))
    back = read_back(paths)
    np.testing.assert_array_equal(back.affine_ras, volume.affine_ras)
    assert np.abs(back.data - volume.data).max() <= 14.0 / 4 + 1e-3
    assert [image.SyntheticData for image in headers(paths)] == ["NO", "YES", "NO", "NO", "NO"]


def test_generated_slices_name_no_source(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    stacking = source.stacking
    assert stacking is not None
    volume = volume_of(source)
    planes = source.planes[:2] + source.planes[3:]
    gap = replace(source, planes=planes, stacking=replace(stacking, slots=(0, 1, 3, 4), missing=(2,)))
    for done in (DONE, replace(DONE, generated=np.arange(5) == 2)):
        images = headers(write_derived(volume, gap, tmp_path / "out", done))
        assert [image.SyntheticData for image in images] == ["NO", "NO", "YES", "NO", "NO"]
        assert ["SourceImageSequence" in image for image in images] == [True, True, False, True, True]
        assert [image.SliceThickness for image in images] == [3, 3, None, 3, 3]
        assert ["This slice was generated" in image.DerivationDescription for image in images] == [
            False, False, True, False, False,
        ]  # fmt: skip
    back = read_back(sorted((tmp_path / "out").iterdir()))
    np.testing.assert_allclose(back.affine_ras, volume.affine_ras, atol=1e-9)


def test_an_inpainted_slice_is_synthetic_and_keeps_its_source(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    volume = volume_of(source)
    hole = np.zeros(volume.shape, dtype=bool)
    hole[2:4, 3, 1] = True
    images = headers(write_derived(volume, source, tmp_path / "out", replace(DONE, generated=hole)))
    assert [image.SyntheticData for image in images] == ["NO", "YES", "NO", "NO", "NO"]
    assert all("SourceImageSequence" in image for image in images)
    assert [image.SliceThickness for image in images] == [3] * 5
    assert images[1].DerivationDescription.startswith("Parts of this slice were generated, not measured.")
    assert not any("DerivationCodeSequence" in image for image in images)


def test_a_finer_grid_names_the_slices_between_which_it_lies(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR", spacing_mm=(0.7, 0.9, 4.0)))
    volume = volume_of(source)
    finer = Volume(np.repeat(volume.data, 2, axis=2)[:, :, :9], volume.affine_ras @ np.diag([1, 1, 0.5, 1]))
    paths = write_derived(finer, source, tmp_path / "out", replace(DONE, generated=np.arange(9) % 2 == 1))
    images, back = headers(paths), read_back(paths)
    np.testing.assert_allclose(back.affine_ras, finer.affine_ras, atol=1e-6)
    assert np.abs(back.data - finer.data).max() <= 14.0 / 4
    assert {image.FrameOfReferenceUID for image in images} == {source.series.frame_of_reference_uid}
    # The source's slices stay 3 mm thick; what was generated averages over nothing.
    assert [image.SliceThickness for image in images] == [None if k % 2 else 3 for k in range(9)]
    told = [image.DerivationDescription.startswith("This slice was generated, not measured.") for image in images]
    assert told == [k % 2 == 1 for k in range(9)]
    assert {tuple(image.ImageType[:2]) for image in images} == {("DERIVED", "PRIMARY")}  # another one splits a series
    assert "SourceImageSequence" not in images[1]
    (reference,) = images[4].SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.planes[2].sop_instance
    assert reference.SpatialLocationsPreserved == "NO"
    assert images[4].DerivationCodeSequence[0].CodeValue == "113085"
    between = headers(write_derived(finer, source, tmp_path / "measured", DONE))[3]
    assert between.SliceThickness == 2.0  # a new cut
    assert [r.ReferencedSOPInstanceUID for r in between.SourceImageSequence] == [
        source.planes[1].sop_instance,
        source.planes[2].sop_instance,
    ]


def test_a_tilted_source_lends_its_planes_to_an_orthogonal_grid(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "CT", oblique=False, GantryDetectorTilt="16.5"))
    assert source.stacking is not None
    sheared = source.stacking.affine_ras.copy()
    sheared[1, 2] = 2.5 * np.tan(np.deg2rad(16.5))
    tilted = replace(source, stacking=replace(source.stacking, affine_ras=sheared, tilt_deg=16.5))
    straight = volume_of(source)
    images = headers(write_derived(straight, tilted, tmp_path / "out", DONE))
    assert all("GantryDetectorTilt" not in image for image in images)
    assert images[2].SourceImageSequence[0].SpatialLocationsPreserved == "NO"
    with pytest.raises(GeometryError, match="sheared"):
        write_derived(Volume(straight.data, sheared), tilted, tmp_path / "sheared", DONE)
    assert not (tmp_path / "sheared").exists()


def test_a_volume_from_elsewhere_is_refused(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "CT"))
    volume = volume_of(source)
    far = volume.affine_ras.copy()
    far[:3, 3] += 5000 * far[:3, 2]
    with pytest.raises(GeometryError, match="outside the series"):
        write_derived(Volume(volume.data, far), source, tmp_path / "out", DONE)


def test_other_modalities_are_told_of_nifti(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    pet = replace(source, series=replace(source.series, modality="PT"))
    with pytest.raises(UsageError, match="--format nifti"):
        write_derived(volume_of(source), pet, tmp_path / "out", DONE)


NAMES = {
    "Greek": ("ISO_IR 126", "\u0394\u03b9\u03bf\u03bd\u03c5\u03c3\u03b9\u03bf\u03c2"),
    "Cyrillic": ("ISO_IR 144", "\u041b\u044e\u043ace\u043c\u0431yp\u0433"),
    "Japanese": (
        ["", "ISO 2022 IR 87"],
        "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046",
    ),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=\u6d2a^\u5409\u6d1e=\ud64d^\uae38\ub3d9"),
    "Chinese": ("GB18030", "Wang^XiaoDong=\u738b^\u5c0f\u4e1c"),
    "UTF-8": ("ISO_IR 192", "M\u00fcller^\u00c9va"),
    "Latin": ("ISO_IR 100", "Buc^J\u00e9r\u00f4me"),
}


@pytest.mark.parametrize(("characters", "name"), NAMES.values(), ids=NAMES.keys())
def test_names_survive_in_their_own_letters(tmp_path: Path, characters: str | list[str], name: str) -> None:
    paths = make_series(tmp_path / "source", "MR", SpecificCharacterSet=characters, PatientName=name)
    source = candidate_from(paths)
    written = write_derived(volume_of(source), source, tmp_path / "out", DONE)
    assert pydicom.dcmread(written[0]).PatientName == name
    # byte for byte: a PACS compares names so
    length = 2 * ((len(pydicom.dcmread(paths[0]).PatientName.original_string) + 1) // 2)
    assert raw_name(paths[0], length) == raw_name(written[0], length)


def raw_name(path: Path, length: int) -> bytes:
    content = path.read_bytes()
    start = content.index(b"\x10\x00\x10\x00PN")
    return content[start : start + 8 + length]


def test_a_long_description_is_cut_and_the_suffix_stays(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR", SeriesDescription="x" * 64))
    image = headers(write_derived(volume_of(source), source, tmp_path / "out", DONE))[0]
    assert image.SeriesDescription == "x" * 43 + " [denoised, research]"
    assert len(image.SeriesDescription) == 64


def test_series_numbers_are_fresh(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    volume = volume_of(source)
    for changes, expected in (
        ({"taken_numbers": frozenset({701, 702})}, 703),
        ({"series_number": 12}, 12),
    ):
        done = replace(DONE, **changes)
        assert headers(write_derived(volume, source, tmp_path / "out", done))[0].SeriesNumber == expected
    unnumbered = replace(source, series=replace(source.series, number=None))
    assert headers(write_derived(volume, unnumbered, tmp_path / "out", DONE))[0].SeriesNumber == 1


def test_lossy_and_burned_in_sources_are_not_whitewashed(tmp_path: Path) -> None:
    lossy: dict[str, Any] = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    source = candidate_from(make_series(tmp_path / "source", "CT", BurnedInAnnotation="YES", **lossy))
    image = headers(write_derived(volume_of(source), source, tmp_path / "out", DONE))[0]
    assert image.BurnedInAnnotation == "YES"
    for keyword, value in lossy.items():
        assert str(image[keyword].value) == value


@pytest.mark.parametrize(
    ("centre", "width", "kept"),
    [("40", "400", True), (["40", "300"], ["400", "1500"], True), ("90000", "10", False), ("40", "0", False)],
)
def test_a_window_that_shows_nothing_is_replaced(tmp_path: Path, centre: Any, width: Any, kept: bool) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR", WindowCenter=centre, WindowWidth=width))
    volume = volume_of(source)
    image = headers(write_derived(volume, source, tmp_path / "out", DONE))[0]
    if kept:
        assert np.atleast_1d(image.WindowCenter).tolist() == np.atleast_1d(centre).astype(float).tolist()
        assert np.atleast_1d(image.WindowWidth).tolist() == np.atleast_1d(width).astype(float).tolist()
    else:
        low, high = np.percentile(volume.data, [1, 99.5])
        assert float(image.WindowCenter) == pytest.approx((low + high) / 2, rel=0.02)
        assert float(image.WindowWidth) == pytest.approx(high - low, rel=0.02)


def test_images_of_another_series_are_not_mixed_in(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    volume = volume_of(source)
    write_derived(volume, source, tmp_path / "out", DONE)
    (tmp_path / "out" / "00006.dcm").write_bytes(b"of before")
    before = digest(sorted((tmp_path / "out").iterdir()))
    with pytest.raises(OutputError, match=r"00006\.dcm"):
        write_derived(volume, source, tmp_path / "out", replace(DONE, what="Else"))
    assert digest(sorted((tmp_path / "out").iterdir())) == before


def test_nothing_remains_of_a_failure(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    volume = volume_of(source)
    source.planes[3].file.path.unlink()
    with pytest.raises(InputError, match="IM000"):
        write_derived(volume, source, tmp_path / "out", DONE)
    assert not (tmp_path / "out").exists()


def test_too_long_numbers_are_shortened_and_bad_codes_dropped(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "source", "MR")
    for path in paths:  # pydicom refuses to write such values by itself
        content = path.read_bytes()
        path.write_bytes(content.replace(b"\x18\x00\x20\x00CS\x02\x00SE", b"\x18\x00\x20\x00CS\x02\x00se"))
    source = candidate_from(paths)
    image = headers(write_derived(volume_of(source), source, tmp_path / "out", DONE))[0]
    assert image.ScanningSequence == "RM"


@pytest.mark.parametrize("characters", ["ISO_IR 999", "utf8", ["ISO_IR 100", "nonsense"]])
def test_a_character_set_that_does_not_exist_is_no_reason_to_stop(tmp_path: Path, characters: Any) -> None:
    paths = make_series(tmp_path / "source", "MR", PatientName="Mueller^Eva")
    for path in paths:
        content = path.read_bytes().replace(b"Mueller^Eva", b"M\xfceller^\xc9va")
        text = "\\".join([characters] if isinstance(characters, str) else characters).encode()
        text += b" " * (len(text) % 2)
        old = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
        path.write_bytes(content.replace(old, old[:6] + len(text).to_bytes(2, "little") + text))
    source = candidate_from(make_series(tmp_path / "clean", "MR"))
    planes = tuple(replace(p, file=replace(p.file, path=q)) for p, q in zip(source.planes, paths, strict=True))
    written = write_derived(volume_of(source), replace(source, planes=planes), tmp_path / "out", DONE)
    assert raw_name(written[0], 12) == raw_name(paths[0], 12)


def test_a_source_that_was_deidentified_before_still_says_so(tmp_path: Path) -> None:
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "113100", "DCM", "Basic Application Profile"
    item.ContextUID = "1.2.3"
    more = {"PatientIdentityRemoved": "YES", "DeidentificationMethodCodeSequence": [item]}
    source = candidate_from(make_series(tmp_path / "source", "MR", **more))
    image = headers(write_derived(volume_of(source), source, tmp_path / "out", DONE))[0]
    assert image.PatientIdentityRemoved == "YES"
    assert [element.keyword for element in image.DeidentificationMethodCodeSequence[0]] == [
        "CodeValue",
        "CodingSchemeDesignator",
        "CodeMeaning",
    ]
    source = candidate_from(make_series(tmp_path / "untold", "MR", PatientIdentityRemoved="YES"))
    image = headers(write_derived(volume_of(source), source, tmp_path / "out", DONE))[0]
    assert "PatientIdentityRemoved" not in image


def test_other_content_never_shares_a_uid(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", modality="CT"))
    volume = denoised(volume_of(source))
    other = volume.data.copy()
    other[2, 2, 2] += 50
    part = np.zeros(volume.shape, bool)
    part[:, :, 1] = True
    made = [
        write_derived(volume, source, tmp_path / "a", DONE),
        write_derived(volume.with_data(other), source, tmp_path / "b", DONE),
        write_derived(volume, source, tmp_path / "c", replace(DONE, series_number=77)),
        write_derived(volume, source, tmp_path / "d", replace(DONE, noise_std=None)),
        write_derived(volume, source, tmp_path / "e", replace(DONE, generated=part)),
    ]
    assert len({image.SeriesInstanceUID for paths in made for image in headers(paths)}) == len(made)
    assert len({image.SOPInstanceUID for paths in made for image in headers(paths)}) == 5 * len(made)
