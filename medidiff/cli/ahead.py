"""The next scan is read while the one before it is worked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from medidiff.cli.sources import Source
from medidiff.io.dicom.model import Assembled

_LARGEST_SHARE = 0.05  # of the free memory: compressed files grow by up to ten times on their way into float32


class ReadAhead:
    """Scans in turn, each read in a thread during the work on the one before. A context manager.

    One scan at most waits in memory. What cannot wait is read in its turn: 4D scans, and files that are large beside
    the free memory. An error of reading is raised when the scan's turn comes, so that it is told of the right file.
    Nothing is written here, so a run may stop at any time.

    Args:
        sources: Those that will be asked for, in this order; some may be left out.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._next = dict(zip(map(id, sources), sources[1:], strict=False))
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: tuple[int, Future[list[Assembled] | None]] | None = None

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting = None
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def scans(self, source: Source) -> Iterator[Assembled]:
        """The volumes of a scan, as `source.scans()` gives them; begins with the scan after it.

        Raises:
            MedidiffError: It cannot be read.
        """
        waiting, self._waiting = self._waiting, None
        try:
            read = waiting[1].result() if waiting is not None and waiting[0] == id(source) else None
        finally:
            self._begin(self._next.get(id(source)))
        return source.scans() if read is None else iter(read)

    def _begin(self, source: Source | None) -> None:
        if source is None:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="medidiff-read")
        self._waiting = (id(source), self._thread.submit(_read, source))


def _read(source: Source) -> list[Assembled] | None:
    """The volumes of a scan; None where it had better be read in its turn."""
    from psutil import virtual_memory

    size = sum(path.stat().st_size for path in source.files if path.exists())
    if source.frames > 1 or size > _LARGEST_SHARE * virtual_memory().available:
        return None
    try:
        return list(source.scans())
    except MemoryError:  # there may be enough when the scan before it is done
        return None


__all__ = ["ReadAhead"]
