"""UIDs: valid, the same again, and different for anything different."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from medidiff.io.dicom_out.uids import IMPLEMENTATION_UID, canonical, derived_uid


def test_a_known_uid_stays_what_it_is() -> None:
    # Changing it would turn every rerun into a second series beside the first.
    assert derived_uid("a", "b") == "2.25.335565583849406641600960320339185613854"


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_valid_and_one_to_one(first: list[str], second: list[str]) -> None:
    uid = derived_uid(*first)
    assert UID(uid).is_valid
    assert len(uid) <= 64
    assert (uid == derived_uid(*second)) is (first == second)


def test_the_implementation_is_a_valid_uid() -> None:
    assert UID(IMPLEMENTATION_UID).is_valid


def test_settings_in_any_order_and_of_any_kind() -> None:
    one = {"b": np.float32(0.5), "a": [1, 2], "c": {"y": None, "x": frozenset({"q", "p"})}}
    two = {"c": {"x": frozenset({"p", "q"}), "y": None}, "a": [1, 2], "b": 0.5}
    assert canonical(one) == canonical(two)
    assert canonical({"mask": np.arange(3)}) == canonical({"mask": np.arange(3)})
    assert canonical({"mask": np.arange(3)}) != canonical({"mask": np.arange(1, 4)})
