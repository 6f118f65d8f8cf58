"""What to know where a scan is unlike what the prior has seen."""

from __future__ import annotations

import numpy as np

from medidiff.prior import Prior


def level_warnings(prior: Prior, sigma: float | np.ndarray) -> list[str]:
    """What to know where a level (normalised units) is beyond what the prior was trained on; it is clamped there."""
    finite = np.asarray(sigma)[np.isfinite(sigma)]
    if not finite.size or float(finite.max()) <= prior.card.sigma_max:
        return []
    return [
        f"the noise level is up to {float(finite.max()) / prior.card.sigma_max:.2g} times the largest the prior "
        f"{prior.card.name} was trained on: expect remaining noise."
    ]


def spacing_warnings(prior: Prior, spacing_mm: tuple[float, float, float]) -> list[str]:
    """What to know where voxels are smaller or larger than the prior has seen."""
    seen, name = prior.card.spacing_mm, prior.card.name
    if min(spacing_mm) >= 0.99 * seen.low and max(spacing_mm) <= 1.01 * seen.high:
        return []
    size = " x ".join(f"{s:.3g}" for s in spacing_mm)
    return [f"voxels of {size} mm: the prior {name} has seen {seen.low:g} to {seen.high:g} mm. Look at the residual."]


__all__ = ["level_warnings", "spacing_warnings"]
