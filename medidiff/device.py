"""Where the network runs: find the device a person asked for, set the number of threads."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import torch

from medidiff.errors import DeviceError, UsageError


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name.

    Args:
        name: auto (cuda, then mps, then cpu), cpu, cuda, cuda:N or mps.

    Raises:
        UsageError: The name is none of these.
        DeviceError: The device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not _has_mps():
            raise DeviceError("--device mps: no Apple GPU here. Choose cpu or auto.")
        return torch.device("mps")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if not match:
        raise UsageError(f"--device {name}: must be auto, cpu, cuda, cuda:N or mps.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(
            f"--device {name}: no CUDA device here, or PyTorch was built without CUDA. Choose cpu or auto."
        )
    if match[1] and int(match[1]) >= count:
        raise DeviceError(f"--device {name}: there are {count}, numbered from 0. Choose one of them, or auto.")
    return torch.device(name)


def set_threads(threads: int | None) -> int:
    """Set PyTorch's number of threads; None keeps it. Returns the number in force.

    Raises:
        UsageError: Less than one.
    """
    if threads is not None:
        if threads < 1:
            raise UsageError(f"--threads {threads}: must be 1 or more. Leave it out to use all cores.")
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def describe_device(device: torch.device) -> str:
    """The device's name for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def free_memory_bytes(device: torch.device) -> int:
    """Memory a new piece of work on the device may take: what is free, within the limit of the container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(int(psutil.virtual_memory().available), _container_free_bytes())


def _container_free_bytes() -> int:
    """What a control group (a container or batch job) leaves; more than any machine has where there is none."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    except OSError:
        return 2**62
    if limit == "max":
        return 2**62
    return max(0, int(limit) - int(used) + int(statistics.get("inactive_file", 0)))  # the file cache gives way


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())


__all__ = ["describe_device", "free_memory_bytes", "pick_device", "set_threads"]
