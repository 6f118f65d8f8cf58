"""The recipe: how every scan of a store is put on a grid and normalised. Frozen, written into the store, compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medidiff.errors import ConfigError

_Mm = Annotated[float, Field(gt=0, le=100)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Percentile(_Frozen):
    """Two percentiles of each scan become -1 and 1; nothing is clipped. For MR, whose unit is arbitrary."""

    type: Literal["percentile"] = "percentile"
    lower: float = Field(default=0.5, ge=0, lt=100)
    """Percentile that becomes -1; not the minimum, which is one voxel's accident."""
    upper: float = Field(default=99.5, gt=0, le=100)
    """Percentile that becomes 1."""

    @model_validator(mode="after")
    def _ordered(self) -> Percentile:
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower:g} must be below upper {self.upper:g}")
        return self


class Window(_Frozen):
    """Two values, the same for every scan, become -1 and 1; what lies outside is clipped. For CT, in HU."""

    type: Literal["window"] = "window"
    low: float
    """Value that becomes -1, in the scan's own unit (HU)."""
    high: float
    """Value that becomes 1."""

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class Recipe(_Frozen):
    """How scans are prepared. The same for every scan of a store."""

    orientation: Literal["RAS", "native"] = "RAS"
    """RAS: axes are swapped and flipped (exactly, no interpolation) until x, y, z run closest to right, front, head."""
    spacing_mm: tuple[_Mm, _Mm, _Mm] | Literal["native"] = "native"
    """Distance between voxels along x, y, z after preparation. native keeps each scan's own; the prior is told it."""
    intensity: Annotated[Percentile | Window, Field(discriminator="type")] = Percentile()
    """How values become about -1 to 1."""
    crop_to_body: bool = False
    """Cut off what lies further than `crop_margin_mm` from the box around the body."""
    crop_margin_mm: float = Field(default=10.0, ge=0, le=1000)
    """Air that stays around the body when it is cropped."""
    tau: Literal["measured"] | Annotated[float, Field(ge=0, le=10)] = "measured"
    """Own white noise level of the scans, normalised units: measured for each, or said for all (0: they are clean)."""
    mask_volume: bool = False
    """Measure the volume of each scan's mask, all labels together, as the attribute `volume_ml`."""
    smallest_axis: int = Field(default=8, ge=2)
    """Scans with fewer voxels than this along an axis, after preparation, are refused."""
    least_foreground: float = Field(default=0.01, ge=0, le=1)
    """Scans with a smaller share of voxels above the background (normalised -0.9) are refused as near-empty."""


def load_recipe(file: Path | None, replaced: dict[str, Any] | None = None) -> Recipe:
    """A recipe from a YAML file, single keys replaced.

    Args:
        file: YAML with keys of `Recipe`; None starts from the defaults.
        replaced: Keys given on the command line; they win.

    Raises:
        ConfigError: No such file, not YAML, an unknown key, or a value that is not accepted.
    """
    values: Any = {}
    if file is not None:
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise ConfigError(f"--recipe {file}: cannot be read ({reason}). Give a YAML file.") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"--recipe {file}: not YAML ({str(error).splitlines()[0]}).") from error
        if not isinstance(values, dict):
            raise ConfigError(f"--recipe {file}: must hold keys and values, such as `orientation: RAS`.")
    try:
        return Recipe.model_validate({**values, **(replaced or {})})
    except ValidationError as error:
        where = f"--recipe {file}" if file is not None else "recipe"
        known = f" Keys: {', '.join(Recipe.model_fields)}."
        raise ConfigError(f"{where}: {'; '.join(map(_told, error.errors()))}.{known}") from error


def parse_spacing(text: str) -> tuple[float, float, float] | Literal["native"]:
    """`--spacing-mm`: "native", "1.5", or "1,1,2".

    Raises:
        ConfigError: Anything else.
    """
    if text == "native":
        return "native"
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(0 < n <= 100 for n in numbers):
        raise ConfigError(f"--spacing-mm {text}: must be native, one number of mm or three, such as 1,1,2 (up to 100).")
    return numbers[0], numbers[1], numbers[2]


def parse_intensity(text: str) -> dict[str, Any]:
    """`--intensity`: "percentile" or "window:LOW,HIGH".

    Raises:
        ConfigError: Anything else.
    """
    if text == "percentile":
        return {"type": "percentile"}
    kind, _, rest = text.partition(":")
    try:
        low, high = (float(part) for part in rest.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if kind != "window" or not low < high:
        raise ConfigError(f"--intensity {text}: must be percentile, or window:LOW,HIGH such as window:-1000,1000 (HU).")
    return {"type": "window", "low": low, "high": high}


def difference(stored: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """The keys in which two recipes (as JSON) differ: "spacing_mm: native -> [1.0, 1.0, 1.0]"."""
    lines: list[str] = []
    for key in sorted(stored.keys() | wanted.keys()):
        before, after = stored.get(key), wanted.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += difference(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before} -> {after}")
    return lines


def _told(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "recipe"
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {'no such key' if error['type'] == 'extra_forbidden' else message}"
