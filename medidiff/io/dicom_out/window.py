"""Which grey values a viewer shows at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from medidiff.io.dicom_out.encode import decimal_string

_PERCENTILES = (1.0, 99.5)
_SAMPLE = 2**20  # voxels that percentiles are taken from
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Window:
    """Centres and widths in the scan's unit, and the function between them."""

    centres: tuple[float, ...]
    widths: tuple[float, ...]
    function: str = "LINEAR"

    def shows(self, lowest: float, highest: float) -> bool:
        """Whether some of these values are neither black nor white."""
        return self.centres[0] - self.widths[0] / 2 < highest and self.centres[0] + self.widths[0] / 2 > lowest

    def write(self, image: Dataset) -> None:
        """Set WindowCenter, WindowWidth and, where it is not LINEAR, VOILUTFunction."""
        image.WindowCenter = [decimal_string(v) for v in self.centres]
        image.WindowWidth = [decimal_string(v) for v in self.widths]
        if self.function != "LINEAR":
            image.VOILUTFunction = self.function


SOFT_TISSUE_HU = Window((40.0,), (400.0,))


def source_window(header: Dataset) -> Window | None:
    """The source's window, or None where there is no valid one.

    Windows act after slope and intercept (PS3.3 C.11.2.1.2): for values in the same unit they hold as they are, however
    the new image stores them.
    """
    try:
        centres, widths = _numbers(header.get("WindowCenter")), _numbers(header.get("WindowWidth"))
    except (TypeError, ValueError):
        return None
    function = str(header.get("VOILUTFunction") or "LINEAR")
    function = function if function in _FUNCTIONS else "LINEAR"
    if not centres or len(centres) != len(widths) or not np.isfinite([*centres, *widths]).all():
        return None
    if min(widths) < 1 if function == "LINEAR" else min(widths) <= 0:
        return None
    return Window(centres, widths, function)


def own_window(data: np.ndarray) -> Window:
    """From the values: all but the darkest hundredth and the brightest two-hundredth."""
    step = max(1, round((data.size / _SAMPLE) ** (1 / 3)))
    low, high = (float(v) for v in np.percentile(data[::step, ::step, ::step], _PERCENTILES))
    width = float(f"{high - low:.4g}") if high > low else 1.0
    # LINEAR needs a width of at least 1; LINEAR_EXACT serves scans whose values all lie between 0 and 1.
    return Window((float(f"{(low + high) / 2:.4g}"),), (width,), "LINEAR" if width >= 1 else "LINEAR_EXACT")


def window_for(data: np.ndarray, modality: str) -> Window:
    """For a scan without a source's window: soft tissue for CT, from the values for MR."""
    if modality == "CT" and SOFT_TISSUE_HU.shows(float(data.min()), float(data.max())):
        return SOFT_TISSUE_HU
    return own_window(data)


def _numbers(value: object) -> tuple[float, ...]:
    if value is None or value == "":
        return ()
    return tuple(float(v) for v in (value if isinstance(value, (MultiValue, list)) else [value]))  # type: ignore[arg-type]
