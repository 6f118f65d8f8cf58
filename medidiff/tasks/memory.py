"""How much memory a task takes at its peak."""

from __future__ import annotations

import threading

import psutil
import torch


class MemoryWatch:
    """Largest memory of the process while it runs, looked at 50 times a second; on CUDA the device's own count."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._process = device, psutil.Process()
        self._peak = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="medidiff-memory", daemon=True)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def stop(self) -> float:
        """Stop watching; MiB."""
        self._done.set()
        self._thread.join()
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        return max(self._peak, self._process.memory_info().rss) / 2**20


__all__ = ["MemoryWatch"]
