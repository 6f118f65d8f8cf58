"""The commitment: the whole list or nothing, no order, a key that only its owner reads."""

import hashlib
import hmac
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medidiff.cohort.commitment import KEY_FILE, commitment, is_committed, read_key, site_key, subkey, write_private
from medidiff.errors import InputError, OutputError

KEY = bytes(range(32))


def test_it_is_the_hash_that_is_described() -> None:
    digests = sorted(hmac.digest(KEY, b"medidiff train patient " + name, hashlib.sha256) for name in (b"ann", b"bob"))
    assert (
        commitment(["bob", "ann"], KEY)
        == hashlib.sha256(b"medidiff train patients 1\n" + b"".join(digests)).hexdigest()
    )


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_neither_order_nor_repeats_matter_and_one_patient_does(patients: set[str], random: object) -> None:
    names = [*patients, min(patients)]
    random.shuffle(names)  # type: ignore[attr-defined]
    stated = commitment(patients, KEY)
    assert is_committed(names, KEY, stated)
    assert not is_committed(patients - {min(patients)}, KEY, stated)
    assert not is_committed(patients | {"a name longer than eight"}, KEY, stated)
    assert not is_committed(patients, bytes(32), stated)


def test_nobody_is_no_commitment() -> None:
    assert commitment([], KEY) == ""
    with pytest.raises(InputError, match="older medidiff"):
        is_committed(["ann"], KEY, "")


def test_the_key_is_drawn_once_and_is_the_owners(tmp_path: Path) -> None:
    key = site_key(tmp_path)
    path = tmp_path / KEY_FILE
    assert len(key) == 32
    assert site_key(tmp_path) == key == read_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert site_key(tmp_path / "other") != key
    assert subkey(key, "noise") != subkey(key, "patients") != key
    path.write_text("0102\n")
    with pytest.raises(InputError, match="holds 2 bytes"):
        site_key(tmp_path)
    path.write_text("no key\n")
    with pytest.raises(InputError, match="no key of a run"):
        site_key(tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        write_private(tmp_path / "nowhere" / "x", "")
