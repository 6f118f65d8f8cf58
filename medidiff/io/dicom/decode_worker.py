"""The process that decodes frames, so that a damaged stream takes down it and not its parent: see `decoding`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import warnings
from typing import BinaryIO

from medidiff.io.dicom.codecs import decode_frame

REQUEST = struct.Struct("<IQ")
"""Bytes of the JSON object, bytes of the codestream; both follow."""

REPLY = struct.Struct("<cQ")
"""b"+" and the bytes of the array, which follow, or b"-" and 0."""

_MEMORY_BYTES, _MEMORY_A_PIXEL = 1 << 30, 64
_CPU_SECONDS, _CPU_SECONDS_A_PIXEL = 1.0, 2e-6  # JPEG 2000, the slowest, takes 1e-7 a pixel


def main() -> None:
    """Answer requests on stdin until it closes."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # native decoders print what they think of a stream
        os.dup2(silence, descriptor)
    warnings.simplefilter("ignore")
    with contextlib.suppress(BrokenPipeError):  # the parent has gone
        while _answer(requests, replies):
            pass


def _answer(requests: BinaryIO, replies: BinaryIO) -> bool:
    start = requests.read(REQUEST.size)
    if len(start) < REQUEST.size:
        return False
    json_bytes, stream_bytes = REQUEST.unpack(start)
    form, stream = json.loads(requests.read(json_bytes)), requests.read(stream_bytes)
    _limit(form["rows"] * form["columns"])
    try:
        array = decode_frame(stream, **form)
        stored = array.astype(f"<{'i' if form['signed'] else 'u'}{form['bits_allocated'] // 8}", copy=False)
        body = stored.tobytes()
    except Exception:  # noqa: BLE001  decoders meet damaged streams in every way there is
        replies.write(REPLY.pack(b"-", 0))
    else:
        replies.write(REPLY.pack(b"+", len(body)) + body)
    replies.flush()
    return True


def _limit(pixels: int) -> None:
    """CPU time and address space for one frame; who exceeds them is killed, or told so by an exception."""
    if sys.platform == "win32":
        return
    import resource

    limit = _MEMORY_BYTES + _MEMORY_A_PIXEL * pixels
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS + _CPU_SECONDS_A_PIXEL * pixels)
