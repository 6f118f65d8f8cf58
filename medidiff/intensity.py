"""Intensities on the way into a prior and back: one offset and one scale a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medidiff.errors import InputError

_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Normalisation:
    """normalised = (value - offset) / scale. Works on numpy arrays, torch tensors and numbers alike.

    Raises:
        InputError: The offset is not finite, or the scale not positive and finite.
    """

    offset: float
    scale: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.offset):
            raise InputError(f"normalisation offset {self.offset}: must be finite.")
        if not (np.isfinite(self.scale) and self.scale >= _SMALLEST_SCALE):
            raise InputError(f"normalisation scale {self.scale}: must be positive and finite.")

    @classmethod
    def fit(
        cls,
        data: np.ndarray,
        lower_pct: float = 0.5,
        upper_pct: float = 99.5,
        low: float = -1.0,
        high: float = 1.0,
    ) -> Normalisation:
        """The normalisation that takes one percentile of the scan to `low` and another to `high`.

        Percentiles, since the maximum of a scan is one voxel's accident. Where they coincide (a small object in a large
        empty field) the minimum and maximum take their place.

        Args:
            data: Scan in its own unit, any shape.
            lower_pct: Percentile that becomes `low`.
            upper_pct: Percentile that becomes `high`.
            low: Normalised value of the lower percentile.
            high: Normalised value of the upper percentile.

        Raises:
            InputError: The scan is empty, holds values that are not finite, or is constant.
        """
        data = np.asarray(data)
        if data.size == 0:
            raise InputError("the scan is empty: it must hold voxels.")
        lowest, highest = float(data.min()), float(data.max())
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise InputError("the scan holds NaN or infinite values: all must be finite.")
        percentiles = np.percentile(data.astype(np.float64), [lower_pct, upper_pct])
        for lower, upper in ((float(percentiles[0]), float(percentiles[1])), (lowest, highest)):
            scale = (upper - lower) / (high - low)
            if scale >= _SMALLEST_SCALE:
                return cls(offset=lower - low * scale, scale=scale)
        raise InputError(f"every voxel of the scan is {lowest:g}: a constant volume cannot be normalised.")

    def forward(self, values: Any) -> Any:
        """Scan unit to normalised."""
        return (values - self.offset) / self.scale

    def inverse(self, values: Any) -> Any:
        """Normalised to scan unit."""
        return values * self.scale + self.offset

    def noise_forward(self, noise_std: Any) -> Any:
        """Noise standard deviation: scan unit to normalised."""
        return noise_std / self.scale

    def noise_inverse(self, sigma: Any) -> Any:
        """Noise standard deviation: normalised to scan unit."""
        return sigma * self.scale

    def to_dict(self) -> dict[str, float]:
        """For a card or a sidecar."""
        return {"offset": self.offset, "scale": self.scale}

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Normalisation:
        """The inverse of `to_dict`."""
        return cls(offset=float(values["offset"]), scale=float(values["scale"]))
