"""Devices and threads by name."""

import pytest
import torch

from medidiff.device import describe_device, pick_device, set_threads
from medidiff.errors import DeviceError, UsageError


def test_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    assert "threads" in describe_device(torch.device("cpu"))


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "", "CPU"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="must be auto, cpu"):
        pick_device(name)


def test_absent_devices_are_named() -> None:
    with pytest.raises(DeviceError, match="cuda:123"):
        pick_device("cuda:123")


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(None) == before
        assert set_threads(2) == 2
    finally:
        torch.set_num_threads(before)
    with pytest.raises(UsageError, match="threads 0"):
        set_threads(0)
