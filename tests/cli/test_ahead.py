"""The next scan is read during the work on the one before; errors come in their turn; one scan waits at most."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medidiff.cli.ahead import ReadAhead
from medidiff.errors import InputError
from medidiff.io.dicom.model import Assembled
from medidiff.volume import Volume


class Scan:
    """A source that says when and in which thread it is read."""

    def __init__(self, name: str, frames: int = 1, error: BaseException | None = None) -> None:
        self.name, self.frames, self.error = name, frames, error
        self.files: list[Path] = []
        self.begun = threading.Event()
        self.thread = ""

    def scans(self) -> Iterator[Assembled]:
        self.thread, error = threading.current_thread().name, self.error
        self.begun.set()
        if error is not None:
            raise error
        for frame in range(self.frames):
            yield Assembled(Volume.from_array(np.full((2, 2, 2), float(frame)), name=self.name))


def read(ahead: ReadAhead, source: Any) -> list[str]:
    return [scan.volume.name for scan in ahead.scans(source)]


def in_a_thread(scan: Scan) -> bool:
    return scan.thread.startswith("medidiff-read")


def test_the_next_scan_is_read_during_the_work_and_no_other() -> None:
    sources: Any = [Scan(name) for name in "abcd"]
    with ReadAhead(sources) as ahead:
        for k, source in enumerate(sources):
            assert read(ahead, source) == [source.name]
            if k + 1 < len(sources):  # the work on this scan has not ended: the next is read all the same
                assert sources[k + 1].begun.wait(30)
            assert [s.begun.is_set() for s in sources[k + 2 :]] == [False] * len(sources[k + 2 :])
    assert [in_a_thread(s) for s in sources] == [False, True, True, True]


def test_an_error_comes_in_its_turn_and_the_rest_is_read() -> None:
    sources: Any = [Scan("a"), Scan("b", error=InputError("b: damaged")), Scan("c")]
    with ReadAhead(sources) as ahead:
        assert read(ahead, sources[0]) == ["a"]
        assert sources[1].begun.wait(30)
        with pytest.raises(InputError, match="b: damaged"):
            read(ahead, sources[1])
        assert read(ahead, sources[2]) == ["c"]
    assert in_a_thread(sources[2])


def test_what_cannot_wait_is_read_in_its_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources: Any = [Scan("a"), Scan("b", frames=3), Scan("c"), Scan("d")]
    (tmp_path / "c").write_bytes(bytes(1000))
    sources[2].files = [tmp_path / "c"]
    monkeypatch.setattr("medidiff.cli.ahead._LARGEST_SHARE", 1e-9)
    with ReadAhead(sources) as ahead:
        assert [read(ahead, s) for s in sources] == [["a"], ["b"] * 3, ["c"], ["d"]]
    assert [in_a_thread(s) for s in sources] == [False, False, False, True]


def test_a_scan_that_was_left_out_does_no_harm() -> None:
    sources: Any = [Scan(name) for name in "abc"]
    with ReadAhead(sources) as ahead:
        assert [read(ahead, s) for s in (sources[0], sources[2], sources[1])] == [["a"], ["c"], ["b"]]


def test_without_memory_it_is_tried_again_in_its_turn() -> None:
    sources: Any = [Scan("a"), Scan("b", error=MemoryError())]
    with ReadAhead(sources) as ahead:
        read(ahead, sources[0])
        assert sources[1].begun.wait(30)
        sources[1].error = None
        # The thread raises before or after the line above; either way the scan is read when its turn comes.
        assert read(ahead, sources[1]) == ["b"]
