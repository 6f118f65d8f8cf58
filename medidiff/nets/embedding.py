"""What the network is told besides the scan: the noise level per voxel, the spacing, the conditions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

NOISE_CORRELATION = "noise_correlation"
"""Name of the condition (b, 6): correlation of the noise one and two voxels apart along x, along y, along z (x1, x2,
y1, y2, z1, z2); 0 for white noise, nan for unknown."""
POSITION = "position"
"""Name of the condition (b, 3, 4): affine from voxel index to body coordinates, along R, A, S from the centre of the
body's bounding box in units of 100 mm (`medidiff.cohort.body`); None or nan for unknown."""
OWN_NOISE = "own_noise"
"""Name of the condition that says how much noise of its own a scan has (`StoreSource.own_noise` kept): standard
deviation, normalised. Where nobody asks for one, a sample's is drawn from the train scans'."""
UNKNOWN_CATEGORY = 0
"""Index of the null token of every categorical condition; trained values start at 1."""


class CategoricalSlot(BaseModel):
    """A categorical condition, for example the kind of scan."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    values: tuple[str, ...]
    """Trained values, in the order of their indices 1, 2, ...; index 0 is the null token."""
    counts: tuple[int, ...] = ()
    """Train scans with each of the values; empty where nobody counted."""
    missing: int = 0
    """Train scans without a value."""


class ContinuousSlot(BaseModel):
    """A continuous condition, for example age in years."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit: str
    """Physical unit of the value."""
    low: float
    """Lower end of the trained range."""
    high: float
    """Upper end of the trained range."""
    quantiles: tuple[float, ...] = ()
    """Percentiles 0, 5, ..., 100 of the train scans; empty where nobody counted."""
    known: int = 0
    """Train scans with a value."""
    missing: int = 0
    """Train scans without one."""


class ConditionSlots(BaseModel):
    """Everything a prior can be conditioned on. Each slot has a null token: a condition may always be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    categorical: dict[str, CategoricalSlot] = Field(default_factory=dict)
    """Categorical conditions by name."""
    continuous: dict[str, ContinuousSlot] = Field(default_factory=dict)
    """Continuous conditions by name."""
    images: tuple[str, ...] = ()
    """Image or mask channels on the scan's own grid."""


class ConditionEmbedding(nn.Module):
    """Noise level per voxel, spacing and conditions, as one vector per voxel.

    Args:
        channels: Number of image channels, each with its own noise level.
        width: Length of the embedding.
        slots: The conditions.
        noise_correlation: Whether the network is told how the noise is correlated (`NOISE_CORRELATION`).
    """

    def __init__(self, channels: int, width: int, slots: ConditionSlots, noise_correlation: bool = False) -> None:
        super().__init__()
        self.slots = slots
        self.level_in = nn.Conv3d(channels, width, 1)
        self.level_out = nn.Conv3d(width, width, 1)
        self.spacing = nn.Linear(4, width)
        self.colour = _ColourEmbedding(width) if noise_correlation else None
        self.tables = nn.ModuleDict({k: nn.Embedding(len(s.values) + 1, width) for k, s in slots.categorical.items()})
        self.scalars = nn.ModuleDict({k: nn.Linear(2, width) for k in slots.continuous})
        nn.init.normal_(self.level_in.weight, std=2.0)
        nn.init.normal_(self.level_in.bias, std=2.0)  # type: ignore[arg-type]
        # At first every feature knows one channel's level: what is learned of a channel at a level then holds whatever
        # the others' levels are. With features of all levels at once an image was denoised beside known masks only.
        listens = torch.arange(width)[:, None] % channels == torch.arange(channels)
        with torch.no_grad():
            self.level_in.weight.mul_(listens[:, :, None, None, None])
        for table in self.tables.values():
            nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]

    def forward(
        self,
        c_noise: Float[Tensor, "b c x y z"],
        spacing_mm: Float[Tensor, "b 3"] | None,
        cond: dict[str, Tensor] | None,
    ) -> Float[Tensor, "b e x y z"]:
        """Embed; spatial size is that of `c_noise` (1, 1, 1 for a constant level)."""
        cond = cond or {}
        b = c_noise.shape[0]
        embedded = self.level_out(torch.sin(self.level_in(c_noise)))
        extra = self.spacing(_spacing_features(spacing_mm, b, c_noise.device))
        if self.colour is not None:
            extra = extra + self.colour(cond.get(NOISE_CORRELATION), b, c_noise.device)
        for name, table in self.tables.items():
            index = cond.get(name, torch.full((b,), UNKNOWN_CATEGORY, device=c_noise.device))
            extra = extra + table(index)
        for name, linear in self.scalars.items():
            slot = self.slots.continuous[name]
            value = cond.get(name, torch.full((b,), float("nan"), device=c_noise.device))
            known = torch.isfinite(value)
            scaled = torch.where(known, 2 * (value - slot.low) / (slot.high - slot.low) - 1, torch.zeros_like(value))
            extra = extra + linear(torch.stack([scaled, known.to(scaled)], dim=1))
        return nn.functional.silu(embedded + extra[:, :, None, None, None])


class PositionEmbedding(nn.Module):
    """Where a voxel lies in the body, as features on the Haar grid; zero at first, so a prior without it can go on.

    A linear map of the coordinates and of a flag that they are known: what 4 channels more of the stem would add, but
    that nothing changes at a tile's border.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, h: Float[Tensor, "b w x y z"], position: Float[Tensor, "p 3 4"] | None) -> Tensor:
        """Add the position (p: b, or 1 for all) to the features `h`, whose voxel j covers the scan's 2j and 2j + 1."""
        if position is None:
            return h
        with torch.autocast(h.device.type, enabled=False):
            position = position.to(h.device, torch.float32)
            known = torch.isfinite(position).all(dim=2).all(dim=1)
            frame = torch.where(known[:, None, None], position, torch.zeros_like(position))
            weight = self.linear.weight.float()
            # W (A v + t) + w_flag at v = 2j + 1/2: a slope along each axis (b, width, 3) and an offset (b, width)
            slope = weight[:, :3] @ frame[:, :, :3]
            offset = frame[:, :, 3] @ weight[:, :3].T + slope.sum(dim=2) / 2 + known[:, None].float() * weight[:, 3]
            x, y, z = (
                2 * slope[:, :, axis, None] * torch.arange(h.shape[2 + axis], device=h.device) for axis in range(3)
            )
            plane = (x + offset[:, :, None])[:, :, :, None, None] + y[:, :, None, :, None]
        return h + plane.to(h.dtype) + z[:, :, None, None, :].to(h.dtype)


class _ColourEmbedding(nn.Module):
    """The noise's correlation as a vector; zero at first, so that a prior without it can be trained on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(7, width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, correlation: Float[Tensor, "b 6"] | None, batch: int, device: torch.device) -> Tensor:
        """(b, width); None or nan stands for unknown."""
        if correlation is None:
            correlation = torch.full((batch, 6), float("nan"), device=device)
        known = torch.isfinite(correlation).all(dim=1, keepdim=True)
        values = torch.where(known, correlation, torch.zeros_like(correlation)).float()
        return self.out(nn.functional.silu(self.hidden(torch.cat([values, known.to(values)], dim=1))))


def _spacing_features(spacing_mm: Tensor | None, batch: int, device: torch.device) -> Tensor:
    """ln(spacing in mm) per axis and a flag that it is known, (b, 4); all zero for an unknown (nan) spacing."""
    if spacing_mm is None:
        return torch.zeros(batch, 4, device=device)
    known = torch.isfinite(spacing_mm).all(dim=1, keepdim=True)
    logarithm = torch.where(known, spacing_mm, torch.ones_like(spacing_mm)).float().clamp(0.05, 20).log()
    return torch.cat([logarithm, known.to(logarithm)], dim=1).to(device)
