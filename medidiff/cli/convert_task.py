"""What `medidiff convert` does to each scan: nothing but reading and writing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff import __version__
from medidiff.io import hash_array
from medidiff.result import Result
from medidiff.volume import Volume


@dataclass(frozen=True)
class ConvertTask:
    """The loader and the writers by themselves."""

    name: str = "convert"

    @property
    def prior(self) -> Mapping[str, str]:
        """None is used."""
        return {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Nothing but the scan decides the output."""
        return {}

    @property
    def inputs(self) -> Sequence[Path]:
        """Nothing is read besides the scans."""
        return ()

    @property
    def samples(self) -> int:
        """None."""
        return 0

    @property
    def save(self) -> Sequence[str]:
        """Nothing beside the output."""
        return ()

    @property
    def report(self) -> bool:
        """No page."""
        return False

    def check_machine(self) -> None:
        """No device is used."""

    def check_settings(self) -> None:
        """Nothing here can be judged without a scan."""

    def check(self, volume: Volume) -> None:
        """Every volume can be converted."""

    def for_frames(self, volumes: Iterable[Volume], frames: int, diffusion: bool) -> ConvertTask:
        """Every volume by itself."""
        return self

    def foresee(self, volume: Volume, missing: Sequence[int] = ()) -> list[str]:
        """No warnings but the reader's."""
        return []

    def run(self, volume: Volume, missing: Sequence[int] = ()) -> Result:
        """The volume itself."""
        started = time.perf_counter()
        provenance = {
            "input_name": volume.name,
            "input_data_sha256": hash_array(volume.data),
            "versions": {"medidiff": __version__},
        }
        seconds = time.perf_counter() - started
        return Result(task="convert", status="converted", output=volume, seconds=seconds, provenance=provenance)
