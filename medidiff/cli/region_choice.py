"""What was said about the region that may change: a mask, or a ball around a point."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff.errors import InputError, UsageError
from medidiff.volume import Volume


@dataclass(frozen=True)
class RegionChoice:
    """The values of --mask, --at, --at-voxel and --size-mm.

    Raises:
        UsageError: Not one place, or a ball without its size.
    """

    mask_path: Path | None = None
    at_mm: tuple[float, ...] | None = None
    at_voxel: tuple[float, ...] | None = None
    size_mm: float | None = None

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.mask_path, self.at_mm, self.at_voxel)) != 1:
            raise UsageError("--mask, --at, --at-voxel: give one of them, to say where content may change.")
        if (self.size_mm is None) != (self.mask_path is not None):
            what = "is for a ball; a mask has its own size. Leave it out" if self.mask_path else "must be given, in mm"
            raise UsageError(f"--size-mm: {what}.")

    @classmethod
    def of(cls, mask: Path | None, at: str | None, at_voxel: str | None, size_mm: float | None) -> RegionChoice:
        """From the command line's texts."""
        return cls(mask, _point("--at", at), _point("--at-voxel", at_voxel), size_mm)

    @property
    def inputs(self) -> Sequence[Path]:
        """Files read."""
        return [] if self.mask_path is None else [self.mask_path]

    def settings(self) -> dict[str, Any]:
        """What decides it."""
        from medidiff.io import hash_file

        if self.mask_path is not None:
            return {"mask_file_sha256": hash_file(self.mask_path)}
        place = {"at_mm": self.at_mm} if self.at_mm is not None else {"at_voxel": self.at_voxel}
        return {**place, "size_mm": self.size_mm}

    def on(self, volume: Volume) -> Volume:
        """The region on a scan's grid, true where content may change.

        Raises:
            GeometryError: The mask lies on another grid.
            InputError: It cannot be read, is empty, or covers everything.
            UsageError: The point lies outside the scan, or the ball holds no voxel.
        """
        if self.mask_path is None:
            from medidiff.tasks.spot import ball_at

            region = ball_at(volume, self.size_mm or 0.0, self.at_mm, self.at_voxel)
            if region.data.all():
                raise InputError(f"--size-mm {self.size_mm:g}: covers the whole scan: nothing is left to fit to.")
            return region
        from medidiff.tasks.inpaint import hole_of

        return volume.with_data(hole_of(volume, self._mask), name=str(self.mask_path))

    @functools.cached_property
    def _mask(self) -> Volume:
        from dataclasses import replace

        from medidiff.io import read_nifti

        path = self.mask_path or Path()
        return replace(read_nifti(path).check(allow_constant=True), name=str(path))


def _point(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        point = tuple(float(part) for part in text.split(","))
    except ValueError:
        point = ()
    if len(point) != 3:
        raise UsageError(f"{option} {text}: must be three numbers with commas, such as 24,-18,-20.")
    return point
