"""Pseudonyms: made by a key that stays, the same for the same patient, and nothing readable by others."""

import csv
import hashlib
import hmac
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medidiff.errors import InputError, OutputError
from medidiff.io.identity import home
from medidiff.io.identity.lookup import read_table
from medidiff.io.identity.pseudonym import coin, keyed_uid, pseudonym

KEY = bytes(range(32))
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes of files are a POSIX thing")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that does not exist yet."""
    monkeypatch.setenv("MEDIDIFF_HOME", str(tmp_path / "deep" / "home"))
    return tmp_path / "deep" / "home"


@pytest.fixture
def known_key(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "pseudonym.key").touch(mode=0o600)
    (folder / "pseudonym.key").write_text(KEY.hex())
    return folder


def keyed(*parts: str) -> int:
    message = b"".join(len(p).to_bytes(4, "big") + p.encode() for p in parts)
    return int.from_bytes(hmac.new(KEY, message, hashlib.sha256).digest()[:8], "big")


def test_it_is_the_keyed_hash_and_nothing_else(known_key: Path) -> None:
    number = keyed("patient", "", "12345678")
    name = pseudonym("12345678")
    symbols = "0123456789abcdefghjkmnpqrstvwxyz"
    assert name.startswith("p-")
    assert len(name) == 12
    # Ten symbols of five bits, the lowest first: 50 bits of the hash.
    assert sum(symbols.index(c) << 5 * i for i, c in enumerate(name[2:])) == number % 2**50
    assert sorted(os.listdir(known_key)) == ["lock", "patients.csv", "pseudonym.key"]


def test_the_same_patient_another_key_another_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pseudonym("12345678")
    assert pseudonym("12345678") == first
    monkeypatch.setenv("MEDIDIFF_HOME", str(folder.with_name("other")))
    assert pseudonym("12345678") != first


def test_the_pseudonym_of_a_pseudonym_of_this_site_is_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A de-identified series that is read again is of the same person, on the same side of a split."""
    first = pseudonym("12345678", issuer="north")
    assert pseudonym(first) == pseudonym(f" {first} ", issuer="south") == first
    assert coin(pseudonym(first)) == coin(first)
    assert read_table() == {first: ("12345678", "north")}
    assert pseudonym("p-0123456789") != "p-0123456789"  # of its form, but nobody's here
    monkeypatch.setenv("MEDIDIFF_HOME", str(folder.with_name("other")))
    assert pseudonym(first) != first


def test_padding_means_nothing_case_and_issuer_do(folder: Path) -> None:
    same = {pseudonym(i) for i in ("AB 1", " AB 1", "AB 1  ", "AB 1\0", "AB 1 \n")}
    assert len(same) == 1
    assert len({*same, pseudonym("ab 1"), pseudonym("AB1"), pseudonym("AB 1", issuer="north")}) == 4
    assert pseudonym("AB 1", issuer=" north ") == pseudonym("AB 1", issuer="north")
    assert pseudonym("c", issuer="ab") != pseudonym("bc", issuer="a")


def test_without_a_patient_id_the_study_stands_in(folder: Path) -> None:
    first = pseudonym("  ", study_uid="1.2.3")
    assert first == pseudonym("", study_uid="1.2.3\0")
    assert first != pseudonym("", study_uid="1.2.4")
    assert first != pseudonym("1.2.3")
    with pytest.raises(InputError, match="neither a patient id nor a study UID"):
        pseudonym("", study_uid=" ")


def test_the_table_says_who_each_one_is_and_has_no_row_twice(folder: Path) -> None:
    names = [pseudonym(i, issuer=j) for i, j in (("1", ""), ("Ä, \"x\"", "north"), ("1", ""))]  # fmt: skip
    study = pseudonym("", study_uid="1.2.3")
    assert read_table() == {names[0]: ("1", ""), names[1]: ('Ä, "x"', "north"), study: ("study 1.2.3", "")}
    with open(folder / "patients.csv", newline="", encoding="utf-8") as file:
        assert [row[0] for row in csv.reader(file)] == ["pseudonym", names[0], names[1], study]


@POSIX
def test_nobody_else_can_read_what_is_kept(folder: Path) -> None:
    before = os.umask(0)
    try:
        pseudonym("1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in os.listdir(folder):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_many_at_once_make_one_key_and_one_row_a_patient(folder: Path) -> None:
    code = "from medidiff.io.identity.pseudonym import pseudonym as p; print(*[p(str(i)) for i in range(20)])"

    def go(_: int) -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(4) as pool:
        said = set(pool.map(go, range(4)))
    assert len(said) == 1
    rows = (folder / "patients.csv").read_text().splitlines()
    assert sorted(row.split(",")[0] for row in rows[1:]) == sorted(said.pop().split())


def test_half_a_row_is_cut_off(known_key: Path) -> None:
    table = known_key / "patients.csv"
    first = pseudonym("1")
    for left in (b'p-0000000000,"17', b"p-0000000000,17", b"p-0000000000"):
        with table.open("ab") as file:
            file.write(left)
        second = pseudonym(left.decode())
        assert set(read_table()) >= {first, second}
        assert "p-0000000000" not in read_table()
    table.write_bytes(b"pseudon")
    assert set(read_table()) == set()
    assert set(read_table()) | {pseudonym("2")} == set(read_table())


@pytest.mark.parametrize("text", ["", "abc", KEY.hex()[:-1], KEY.hex() + "00", "z" * 64, "é" * 64])
def test_a_damaged_key_is_not_replaced(known_key: Path, text: str) -> None:
    (known_key / "pseudonym.key").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"pseudonym.key: (damaged|the key .* cannot be read).*backup"):
        pseudonym("1")
    assert (known_key / "pseudonym.key").read_text(encoding="utf-8") == text


@POSIX
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_is_refused(known_key: Path, mode: int) -> None:
    (known_key / "pseudonym.key").chmod(mode)
    with pytest.raises(InputError, match=r"others can read the key .*chmod 600"):
        pseudonym("1")


def test_a_home_that_cannot_be_written_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDIDIFF_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises((OutputError, InputError), match="MEDIDIFF_HOME"):
        pseudonym("1")


@POSIX
def test_a_folder_without_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> int:
        raise PermissionError(13, "Permission denied")

    known = pseudonym("1")
    monkeypatch.setattr(home.os, "open", refuse)  # what a read-only folder does; root, who runs CI, may write anywhere
    assert pseudonym("1") == known  # everything is there already
    with pytest.raises(OutputError, match=r"Permission denied.*MEDIDIFF_HOME"):
        pseudonym("2")


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variable = "APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME"
    monkeypatch.setenv("MEDIDIFF_HOME", "~/x")
    assert home.home_folder() == Path.home() / "x"
    monkeypatch.setenv("MEDIDIFF_HOME", "")
    monkeypatch.setenv(variable, str(tmp_path))
    assert home.home_folder() == tmp_path / "medidiff"
    monkeypatch.setenv(variable, "relative")
    assert home.home_folder() == Path.home() / ".config" / "medidiff"


def test_keyed_uids_are_uids_and_stay(known_key: Path) -> None:
    made = keyed_uid("1.2.840.10008.1")
    assert made == keyed_uid("1.2.840.10008.1\0")
    assert made != keyed_uid("1.2.840.10008.2")
    assert keyed_uid("") == ""
    assert not (known_key / "patients.csv").exists()


@given(st.text(max_size=70))
def test_every_keyed_uid_is_valid(uid: str) -> None:
    made = keyed_uid(uid)
    if made:
        head, _, number = made.rpartition(".")
        assert head == "2.25"
        assert len(made) <= 64
        assert number == str(int(number))
        assert (int(number) >> 76) & 0xF == 8  # RFC 9562: version
        assert (int(number) >> 62) & 3 == 2  # and variant


def test_the_coin_is_fair_and_stays(known_key: Path) -> None:
    names = [f"p-{i}" for i in range(4000)]
    sides = [coin(name) for name in names]
    assert sides == [coin(name) for name in names]
    # Standard deviation of a share at n = 4000: below 0.008; five of them.
    for side, share in (("train", 0.6), ("val", 0.1), ("holdout", 0.3)):
        assert abs(sides.count(side) / len(sides) - share) < 0.04
