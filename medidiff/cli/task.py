"""What a verb that works on scans must provide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from medidiff.result import Result
from medidiff.volume import Volume


class Task(Protocol):
    """What is done to each scan."""

    @property
    def name(self) -> str:
        """The verb."""
        ...

    @property
    def prior(self) -> Mapping[str, str]:
        """Name and hash; empty where the verb needs none."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the output, besides scan and prior."""
        ...

    @property
    def inputs(self) -> Sequence[Path]:
        """Files read besides the scans."""
        ...

    @property
    def samples(self) -> int:
        """Posterior samples to write."""
        ...

    @property
    def save(self) -> Sequence[str]:
        """Kinds of volumes to write beside the output."""
        ...

    @property
    def report(self) -> bool:
        """Write the page."""
        ...

    def check_machine(self) -> None:
        """Raise if the device that was asked for is not there."""
        ...

    def check_settings(self) -> None:
        """Raise what can be known before a folder is begun."""
        ...

    def check(self, volume: Volume) -> None:
        """Raise what can be known before the work."""
        ...

    def for_frames(self, volumes: Iterable[Volume], frames: int, diffusion: bool) -> Task:
        """The same for the volumes of one 4D scan, which may be judged together before the first one is run."""
        ...

    def foresee(self, volume: Volume, missing: Sequence[int] = ()) -> list[str]:
        """The warnings that `run` would end with, as far as they are cheap; raises like it."""
        ...

    def run(self, volume: Volume, missing: Sequence[int] = ()) -> Result:
        """Do the work; `missing` are slices (indices along z) that hold no measurement."""
        ...
