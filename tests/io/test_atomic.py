from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from medidiff.errors import OutputError
from medidiff.io.atomic import atomic_files, atomic_open, atomic_write_text
from medidiff.io.hashing import hash_file


def write_and_fail(failure: BaseException, *paths: Path) -> None:
    with atomic_files(*paths) as files:
        for file in files:
            file.write(b"new")
        raise failure


def test_the_name_appears_only_at_the_end_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_open(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "a.txt.partial"]
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    atomic_write_text(path, "\u00e9")
    assert path.read_bytes() == b"\xc3\xa9"


@pytest.mark.parametrize("interruption", [ValueError("no"), KeyboardInterrupt()])
def test_any_failure_leaves_the_old_file_and_no_partial(tmp_path: Path, interruption: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(interruption)):
        write_and_fail(interruption, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_pair_appears_together_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="disk is full"):
        write_and_fail(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "a", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
    with atomic_files(tmp_path / "a", tmp_path / "b") as (a, b):
        a.write(b"1")
        b.write(b"2")
    assert (tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes() == b"12"


def test_a_missing_folder_and_a_folder_as_name_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        atomic_write_text(tmp_path / "none" / "a.txt", "")
    with pytest.raises(OutputError, match="this is a folder"):
        atomic_write_text(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_the_system_refusing_to_write_on_leaves_nothing(tmp_path: Path) -> None:
    """A real failure in the middle of writing, which any user can cause: a limit on the size of files."""
    pytest.importorskip("resource", reason="this system has no resource limits")
    code = (
        "import resource, sys\n"
        "from medidiff.errors import OutputError\n"
        "from medidiff.io.atomic import atomic_open\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with atomic_open(sys.argv[1]) as file:\n"
        "        file.write(bytes(1_000_000))\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.bin")], check=True, capture_output=True, text=True, timeout=60
    )
    assert "larger than this system allows" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # the first example of FIPS 180-2
    assert hash_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
