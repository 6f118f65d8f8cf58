"""What a run will say of a scan, before the network's turn."""

from __future__ import annotations

from collections.abc import Sequence

from medidiff.errors import NoNoiseError
from medidiff.prior import Prior
from medidiff.tasks.gaps import Gaps
from medidiff.tasks.grids import region_of
from medidiff.tasks.known_noise import Told, on_measured
from medidiff.tasks.observation import observe
from medidiff.tasks.safeguards import is_clean, unseen_warnings
from medidiff.tasks.trained_range import level_warnings, spacing_warnings
from medidiff.tasks.unseen import unseen
from medidiff.volume import Volume

_CLEAN = "no noise worth removing was found: the scan would come back unchanged."


def foresee(volume: Volume, prior: Prior, told: Told, mask: Volume | None, missing: Sequence[int] = ()) -> list[str]:
    """The warnings that `denoise` would end with, as far as they are cheap; raises like it."""
    gaps = Gaps.of(volume, missing)
    where = None if mask is None else gaps.of_measured(region_of(mask, volume))
    try:
        seen = observe(gaps.without(volume), prior, on_measured(told, volume, gaps.without), where)
    except NoNoiseError:
        return [_CLEAN]
    if is_clean(seen):
        return [*seen.warnings, _CLEAN]
    not_seen = unseen(prior.card, volume, seen.sigma)
    return [
        *spacing_warnings(prior, volume.spacing_mm),
        *level_warnings(prior, seen.sigma),
        *seen.warnings,
        *unseen_warnings(prior.card.name, not_seen),
        *gaps.warnings(),
    ]


__all__ = ["foresee"]
