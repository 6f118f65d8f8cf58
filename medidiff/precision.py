"""bfloat16 or float32, by measurement: which is faster depends on instructions no flag states reliably."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from medidiff.errors import UsageError

PRECISIONS = ("auto", "bf16", "float32")
# The network is nearly all 3x3x3 convolutions of about 64 channels. 12^3 takes about a millisecond in float32, and tens
# of milliseconds in bfloat16 without its instructions: enough to stop there. 24^3 is large enough to time the rest.
_CHANNELS, _SMALL, _LARGE = 64, 12, 24
_HOPELESS = 5.0  # bfloat16 that is this many times slower on the small size is not tried on the large one
_WORTH = 0.9  # bfloat16 must save a tenth of the time, else float32's accuracy is the better bargain


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision in use and why.

    Args:
        dtype: "bf16" or "float32".
        reason: One sentence.
        bf16_ms: Time of the trial convolution in bfloat16; None when nothing was measured.
        float32_ms: The same in float32.
        cached: Whether the times come from an earlier run.
    """

    dtype: str
    reason: str
    bf16_ms: float | None = None
    float32_ms: float | None = None
    cached: bool = False


def choose_precision(precision: str, device: torch.device) -> PrecisionChoice:
    """Decide the precision of the network; `auto` measures (under a second), once per machine and setting.

    Raises:
        UsageError: `precision` is not auto, bf16 or float32.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: must be {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return PrecisionChoice(precision, "asked for")
    if device.type == "mps":
        return PrecisionChoice("float32", "the default on Apple GPUs, not measured")
    path = cache_folder() / f"precision-{_machine_key(device)}.json"
    stored = _read_times(path)
    bf16_ms, float32_ms = stored or measure(device)
    if stored is None:
        _write_times(path, bf16_ms, float32_ms)
    return decide(bf16_ms, float32_ms, cached=stored is not None)


def decide(bf16_ms: float, float32_ms: float, cached: bool = False) -> PrecisionChoice:
    """The choice two measured times lead to."""
    ratio = float32_ms / bf16_ms
    dtype = "bf16" if bf16_ms < _WORTH * float32_ms else "float32"
    speed = f"{ratio:.1f} times faster" if ratio >= 1 else f"{1 / ratio:.1f} times slower"
    return PrecisionChoice(dtype, f"bf16 measured {speed} than float32", bf16_ms, float32_ms, cached)


def measure(device: torch.device) -> tuple[float, float]:
    """Milliseconds of one trial convolution in bfloat16 and in float32.

    Where bfloat16 is far slower on a small size the larger is not tried, and both times are those of the small one.
    """
    small = _time_ms(torch.bfloat16, _SMALL, device), _time_ms(torch.float32, _SMALL, device)
    if small[0] > _HOPELESS * small[1]:
        return small
    return _time_ms(torch.bfloat16, _LARGE, device), _time_ms(torch.float32, _LARGE, device)


def _time_ms(dtype: torch.dtype, size: int, device: torch.device, repeats: int = 5) -> float:
    """Best of several runs (the best, since other processes can only slow one down), 0.15 s at most."""
    convolution = torch.nn.Conv3d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False)
    convolution = convolution.to(device, dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.ones(1, _CHANNELS, size, size, size, device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    best, deadline = float("inf"), time.perf_counter() + 0.15
    with torch.inference_mode():
        convolution(x[..., :4])  # first call: the library picks its kernel
        wait()
        for _ in range(repeats):
            start = time.perf_counter()
            convolution(x)
            wait()
            best = min(best, time.perf_counter() - start)
            if time.perf_counter() > deadline:
                break
    return 1000 * best


def cache_folder() -> Path:
    """Where measurements are kept: $MEDIDIFF_CACHE, else medidiff/ in the user's cache folder."""
    own = os.environ.get("MEDIDIFF_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("LOCALAPPDATA") if platform.system() == "Windows" else os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache").expanduser() / "medidiff"


@functools.cache
def cpu_model() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def _machine_key(device: torch.device) -> str:
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()
    parts = [device.type, chip, torch.__version__, str(torch.get_num_threads())]
    parts += [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")]
    parts += [torch.backends.cpu.get_cpu_capability(), str((_CHANNELS, _SMALL, _LARGE))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _read_times(path: Path) -> tuple[float, float] | None:
    try:
        times = json.loads(path.read_text(encoding="utf-8"))
        pair = float(times["bf16_ms"]), float(times["float32_ms"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no measurement yet, or not a readable one: measure
    return pair if min(pair) > 0 else None


def _write_times(path: Path, bf16_ms: float, float32_ms: float) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(decide(bf16_ms, float32_ms))), encoding="utf-8")
        os.replace(partial, path)
    except OSError:
        return  # a cache that cannot be written costs a second each run and nothing else


__all__ = ["PrecisionChoice", "cache_folder", "choose_precision", "cpu_model", "decide", "measure"]
