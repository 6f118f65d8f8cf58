from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.errors import OutputError, UsageError
from medidiff.io.hashing import hash_array
from medidiff.io.quantise import Encoding, choose_encoding


def restored(encoding: Encoding, data: np.ndarray) -> np.ndarray:
    stored = encoding.encode(data)
    assert stored.dtype == encoding.dtype
    return stored.astype(np.float64) * np.float32(encoding.slope).astype(float) + encoding.inter


@settings(deadline=None, max_examples=200)
@given(
    st.floats(-1e7, 1e7),
    st.sampled_from([1e-3, 0.1, 1.0, 300.0, 1e6]),
    st.sampled_from(["int16", "uint16"]),
    st.integers(0, 2**31),
)
def test_sixteen_bits_are_never_clipped_and_never_coarser_than_promised(
    centre: float, spread: float, dtype: str, seed: int
) -> None:
    data = (centre + spread * np.random.default_rng(seed).standard_normal((6, 5, 4))).astype(np.float32)
    span = float(data.max()) - float(data.min())
    if span == 0:
        return
    encoding = choose_encoding(data, None, dtype, "scan")
    assert encoding.slope <= max(span / 60000, 1.0 if np.array_equal(data, np.rint(data)) else 0)
    assert np.float32(encoding.slope) == encoding.slope
    assert np.float32(encoding.inter) == encoding.inter
    # Half a step, and the rounding of the sum in float64.
    assert abs(restored(encoding, data) - data).max() <= encoding.slope / 2 * (1 + 1e-6) + 1e-9 * abs(encoding.inter)


@settings(deadline=None)
@given(st.floats(-1e6, 0), st.floats(1e-3, 1e6), st.integers(0, 2**31))
def test_zero_stays_exactly_zero(lowest: float, highest: float, seed: int) -> None:
    data = np.random.default_rng(seed).uniform(lowest, highest, (6, 5, 4)).astype(np.float32)
    data[0], data[1, 0, 0], data[1, 0, 1] = 0, lowest, highest
    for dtype in ("int16", "uint16"):
        assert (restored(choose_encoding(data, None, dtype, "scan"), data)[0] == 0).all()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.array([[[0, 255]]], np.uint8), "uint8"),
        (np.array([[[True, False]]]), "uint8"),
        (np.array([[[-1, 70000]]], np.int64), "int32"),
        (np.array([[[0, 2**32 - 1]]], np.uint64), "uint32"),
        (np.array([[[0.5, 1.0]]], np.float64), "float32"),
        (np.array([[[1.0, 2.0]]], np.float32), "float32"),
    ],
)
def test_the_kind_of_number_is_kept(data: np.ndarray, expected: str) -> None:
    assert choose_encoding(data, None, None, "scan") == Encoding(np.dtype(expected))


def test_integers_beyond_32_bits_become_levels_of_the_same_kind() -> None:
    encoding = choose_encoding(np.array([[[0, 2**60 + 1]]], np.int64), None, None, "scan")
    assert encoding.dtype == np.int16
    assert encoding.slope <= 2**60 / 60000


def test_what_cannot_be_stored_is_refused() -> None:
    data = np.array([[[0.5, 300.0]]])
    with pytest.raises(UsageError, match="not whole numbers in its range"):
        choose_encoding(data, None, "uint8", "scan")
    with pytest.raises(UsageError, match="must be float32"):
        choose_encoding(data, None, "int64", "scan")
    with pytest.raises(OutputError, match="NaN"):
        choose_encoding(np.array([[[np.nan, 1]]]), None, "int16", "scan")
    with pytest.raises(OutputError, match="complex"):
        choose_encoding(data + 1j, None, None, "scan")
    with pytest.raises(OutputError, match="float32"):
        choose_encoding(np.array([[[0, 1e-38]]]), None, "int16", "scan")


def test_hash_of_an_array_knows_type_shape_and_values_but_not_layout() -> None:
    a = np.arange(6.0).reshape(2, 3)
    assert hash_array(a) == hash_array(np.asfortranarray(a).astype(">f8")) == hash_array(np.repeat(a, 2, 1)[:, ::2])
    others = {hash_array(x) for x in (a.T, a.reshape(3, 2), a.astype(np.float32), a + 1e-15)}
    assert len(others) == 4
    assert hash_array(a) not in others
