"""The volumes of a 4D scan: their noise is judged together, each is normalised by its own intensities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medidiff.errors import InputError, NoNoiseError
from medidiff.tasks.grids import region_of
from medidiff.tasks.known_noise import KnownNoise, Told, find_noise
from medidiff.tasks.observation import values_of
from medidiff.volume import Volume

MOST_JUDGED = 9
"""Volumes whose noise is estimated, spread over the scan; the median of nine is known a third as uncertainly as one."""
DIFFUSION_NOTE = (
    "a diffusion scan: its volumes share their noise-free signal, which PCA denoising of all of them together (MP-PCA, "
    "such as dwidenoise of MRtrix3) uses and this does not. It is usually the better first choice. What denoising "
    "does to the mean diffusivity and anisotropy was not measured here."
)


@dataclass(frozen=True, eq=False)
class Shared:
    """What the volumes of one 4D scan have in common.

    Args:
        noise: Their noise; None where it is told, or none can be measured: then each volume speaks for itself.
        warnings: What to know about the scan as a whole.
    """

    noise: KnownNoise | None
    warnings: list[str] = field(default_factory=list)


def share(
    volumes: Iterable[Volume], frames: int, told: Told, mask: Volume | None = None, diffusion: bool = False
) -> Shared:
    """Judge the noise of a 4D scan by some of its volumes.

    One scanner made all of them within minutes, so level, map, kind and correlation are the same: the medians over up
    to `MOST_JUDGED` volumes (the kind of most of them) hold for every volume. Intensities are not shared: every volume
    is normalised by its own percentiles, since those of diffusion scans fall with the b-value.

    Args:
        volumes: All of them, in turn; no more than one is held at a time.
        frames: How many they are.
        told: What a person said about the noise.
        mask: Where to judge.
        diffusion: Whether they have b-values.

    Raises:
        MedidiffError: A volume cannot be read, or its noise not be estimated.
    """
    said = [DIFFUSION_NOTE] if diffusion else []
    if told.std is not None:
        return Shared(None, said)
    picked = set(np.linspace(0, frames - 1, min(MOST_JUDGED, frames)).round().astype(int).tolist())
    found = []
    for index, frame in enumerate(volumes):
        if index not in picked:
            continue
        frame.check()
        data, where = values_of(frame, None if mask is None else region_of(mask, frame))
        try:
            found.append(find_noise(frame, data, told, where))
        except (NoNoiseError, InputError):
            continue
    return Shared(combine(found, frames) if found else None, said)


def combine(found: list[KnownNoise], frames: int) -> KnownNoise:
    """The noise that several volumes agree on."""
    kind, votes = Counter((one.kind, one.coils) for one in found).most_common(1)[0]
    agreeing = [one for one in found if (one.kind, one.coils) == kind]
    levels = np.array([one.typical for one in agreeing])
    first = agreeing[int(np.argsort(levels)[len(levels) // 2])]
    level: float | np.ndarray = float(np.median(levels))
    if any(isinstance(one.level, np.ndarray) for one in agreeing):
        maps = [np.broadcast_to(np.float32(one.level), _shape(agreeing)) for one in agreeing]
        level = np.median(np.stack(maps), axis=0).astype(np.float32)
    correlation: Any = tuple(float(c) for c in np.median([one.correlation for one in agreeing], axis=0))
    warnings = []
    if votes < len(found):
        warnings.append(f"{len(found) - votes} of {len(found)} volumes have another kind of noise than {kind[0]}.")
    figures = {**first.figures, "noise_judged_volumes": len(found), "noise_std_of_volumes": levels.tolist()}
    figures["noise_volumes"] = frames
    return replace(
        first,
        level=level,
        correlation=correlation,
        source="shared",
        warnings=[*first.warnings, *warnings],
        figures=figures,
    )


def _shape(found: list[KnownNoise]) -> tuple[int, ...]:
    return next(one.level.shape for one in found if isinstance(one.level, np.ndarray))


__all__ = ["DIFFUSION_NOTE", "MOST_JUDGED", "Shared", "combine", "share"]
