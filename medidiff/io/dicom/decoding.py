"""Compressed frames to stored integers, decoded in a process that may die.

Of 2000 mutated streams each, gdcm 3.2 aborted or segfaulted in 16 (JPEG-LS), 24 (JPEG
Lossless) and 43 (JPEG), and openjpeg hung in 2.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from functools import lru_cache
from threading import Lock, Timer
from types import TracebackType

import numpy as np

from medidiff.io.dicom.decode_worker import REPLY, REQUEST
from medidiff.io.dicom.model import Plane

_MAX_PIXELS_A_BYTE = 100_000  # the best that JPEG 2000 does with a constant 512 x 512 image is about 2000
_SECONDS, _SECONDS_A_PIXEL = 60.0, 2e-5  # on the wall, where CPU time is not limited or the machine sleeps
_START = "import sys; sys.path[:] = sys.argv[1:]; from medidiff.io.dicom.decode_worker import main; main()"


class DecodeError(Exception):
    """A frame could not be decoded: the stream is damaged, or does not hold what the file says."""


class FrameDecoder:
    """Decodes compressed frames in one other process, started on first need and again after it died.

    To be used as a context manager. Starting costs about 0.3 s, a frame about what its bytes cost to copy. Threads may
    share one; a process forked from this one starts its own.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._lock = Lock()

    def __enter__(self) -> FrameDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next frame starts another."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
        self._process = None

    def decode(self, stream: bytes, plane: Plane) -> np.ndarray:
        """Decode one frame.

        Args:
            stream: Its compressed bytes.
            plane: What the file says of it.

        Returns:
            Stored integers (rows, columns), little-endian.

        Raises:
            DecodeError: The stream is damaged or is another image than the file says.
        """
        form, pixels = plane.form, plane.rows * plane.columns
        if pixels > _MAX_PIXELS_A_BYTE * len(stream):
            raise DecodeError
        request = json.dumps(
            {
                "transfer_syntax": form.transfer_syntax,
                "rows": plane.rows,
                "columns": plane.columns,
                "bits_allocated": form.bits_allocated,
                "bits_stored": form.bits_stored,
                "signed": form.signed,
            }
        ).encode()
        dtype = np.dtype(f"<{'i' if form.signed else 'u'}{form.bits_allocated // 8}")
        with self._lock:
            body = self._ask(REQUEST.pack(len(request), len(stream)) + request + stream, pixels)
        if len(body) != pixels * dtype.itemsize:
            raise DecodeError
        return np.frombuffer(body, dtype).reshape(plane.rows, plane.columns)

    def _ask(self, request: bytes, pixels: int) -> bytes:
        """The reply's body; a process that died, or does not answer in time, is not used again."""
        process = self._started()
        if process.stdin is None or process.stdout is None:
            raise DecodeError
        watch = Timer(_SECONDS + _SECONDS_A_PIXEL * pixels, process.kill)
        watch.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            start = process.stdout.read(REPLY.size)
            outcome, length = REPLY.unpack(start) if len(start) == REPLY.size else (b"", 0)
            body = process.stdout.read(length)
        except OSError:
            outcome, length, body = b"", 0, b""
        finally:
            watch.cancel()
        if outcome not in (b"+", b"-") or len(body) < length:
            self.close()
        if outcome != b"+":
            raise DecodeError
        return body

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.close()
            self._owner = os.getpid()
            one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | one_thread,
            )
        return self._process


@lru_cache(maxsize=1)
def shared_decoder() -> FrameDecoder:
    """The one that reading uses: scans of hundreds of volumes start it once. It ends with this process."""
    decoder = FrameDecoder()
    atexit.register(decoder.close)
    return decoder
