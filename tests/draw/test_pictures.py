"""Exact pixels: windows, colours, overlays, proportions, PNG."""

import base64
import io

import numpy as np
from PIL import Image

from medidiff.draw import (
    beside,
    data_uri,
    diverging,
    enlarge,
    grey,
    heat,
    mask_picture,
    overlay,
    plane_picture,
    png_bytes,
    residual_picture,
    sheet,
    stack,
    strip,
    symmetric_limit,
    window_limits,
)
from medidiff.volume import Volume


def test_window_maps_low_to_black_and_high_to_white() -> None:
    rgb = grey(np.array([[-5.0, 10.0, 15.0, 20.0, 99.0]]), 10, 20)
    np.testing.assert_array_equal(rgb[0, :, 0], [0, 0, 128, 255, 255])
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])


def test_window_limits_are_percentiles_of_what_is_finite() -> None:
    data = np.append(np.arange(1001.0), [np.inf, np.nan])
    assert window_limits(data) == (5.0, 995.0)
    assert window_limits(np.zeros(4)) == (0.0, 1.0)
    assert window_limits(np.array([0.0] * 1000 + [7.0])) == (0.0, 7.0)


def test_diverging_is_symmetric_about_zero() -> None:
    limit = symmetric_limit(np.array([-4.0, 1.0, 2.0]), pct=100)
    assert limit == 4.0
    rgb = diverging(np.array([[-9.0, -4.0, 0.0, 4.0, 9.0, np.nan]]), limit)[0]
    assert rgb.tolist() == [
        [20, 60, 150], [20, 60, 150], [245, 245, 245], [140, 20, 30], [140, 20, 30], [128, 128, 128],
    ]  # fmt: skip
    assert symmetric_limit(np.zeros(3)) == 1.0


def test_heat_is_grey_where_nothing_is_known() -> None:
    rgb = heat(np.array([[0.0, 1.0, np.inf]]), 0, 1)[0]
    assert rgb.tolist() == [[8, 6, 20], [255, 255, 215], [128, 128, 128]]


def test_overlay_tints_the_inside_and_draws_the_border() -> None:
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    rgb = overlay(np.full((5, 5, 3), 100, np.uint8), mask, colour=(200, 0, 0), alpha=0.5)
    assert rgb[0, 0].tolist() == [100, 100, 100]
    assert rgb[1, 1].tolist() == [200, 0, 0]
    assert rgb[2, 2].tolist() == [150, 50, 50]


def test_enlarging_repeats_pixels_in_true_proportions() -> None:
    rgb = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    big = enlarge(rgb, row_mm=3.0, column_mm=1.0, pixels_per_mm=2)
    assert big.shape == (6, 4, 3)
    np.testing.assert_array_equal(big, np.repeat(np.repeat(rgb, 6, axis=0), 2, axis=1))
    assert enlarge(rgb, 1, 1, 1) is rgb


def test_montage_places_pictures_with_gaps() -> None:
    a, b = np.full((2, 2, 3), 10, np.uint8), np.full((4, 1, 3), 20, np.uint8)
    row = beside([a, b], gap=1)
    np.testing.assert_array_equal(row[..., 0], [[0, 0, 0, 20], [10, 10, 0, 20], [10, 10, 0, 20], [0, 0, 0, 20]])
    np.testing.assert_array_equal(stack([a, a], gap=1)[:, 0, 0], [10, 10, 0, 10, 10])


def test_png_round_trip_and_data_uri() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(rgb)))), rgb)
    assert png_bytes(rgb) == png_bytes(rgb.copy())
    head, body = data_uri(rgb).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == png_bytes(rgb)


def volume() -> Volume:
    return Volume.from_array(np.random.default_rng(1).normal(size=(10, 12, 6)).astype(np.float32), (1, 1, 4))


def test_three_planes_have_one_scale() -> None:
    # mm: axial 12 x 10 (rows x columns), coronal 24 x 10, sagittal 24 x 12; 48 pixels high means 2 pixels a mm
    picture = plane_picture(volume(), height=48, letters=False)
    assert picture.shape == (48, 20 + 2 + 20 + 2 + 24, 3)
    np.testing.assert_array_equal(picture[:12, :20], 0)  # the axial slice is 24 high, centred
    low, high = window_limits(volume().data)
    corner = grey(volume().data[-1:, -1:, 3], low, high)
    np.testing.assert_array_equal(picture[12, 0], corner[0, 0])


def test_letters_mark_the_edges_only() -> None:
    plain, marked = (plane_picture(volume(), height=96, letters=on) for on in (False, True))
    assert plain.shape == marked.shape
    assert (plain != marked).any()
    np.testing.assert_array_equal(plain[44:52, 12:28], marked[44:52, 12:28])


def test_mask_picture_goes_through_the_mask() -> None:
    mask = np.zeros(volume().shape, bool)
    mask[8, 2:4, 5] = True
    picture = mask_picture(volume(), mask, height=48)
    for left in (0, 22, 44):  # each of the three planes shows it
        assert (picture[:, left : left + 20] == (255, 176, 0)).all(axis=-1).any()


def test_strip_sheet_and_residual_shapes() -> None:
    assert strip([volume()] * 3, height=24).shape == (24, 3 * 20 + 2 * 2, 3)
    assert strip([volume()], [(0.0, 1.0)], height=24).shape == (24, 20, 3)
    assert sheet([volume().data] * 5, columns=2, height=24).shape[0] == 3 * 24 + 2 * 6
    assert residual_picture(volume(), height=48).shape[0] == 48
