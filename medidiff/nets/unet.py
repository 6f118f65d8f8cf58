"""A 3D U-Net behind the Haar transform in which nothing looks at the whole tile."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from medidiff.nets.embedding import POSITION, ConditionEmbedding, ConditionSlots, PositionEmbedding
from medidiff.nets.haar import haar3d, inverse_haar3d

_SLAB = 8  # rows of a noise map whose modulation is in memory at a time


class NetConfig(BaseModel):
    """Size and conditions of a `HaarUNet`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    channels: int = Field(default=1, ge=1)
    """Image channels, each with its own noise map."""
    widths: tuple[int, ...] = (64, 96, 128)
    """Feature channels per level; the first level works at half the scan's resolution."""
    blocks: tuple[int, ...] = (2, 2, 3)
    """Residual blocks per level, on the way down and again on the way up (the last level: once)."""
    embedding: int = Field(default=64, ge=8)
    """Length of the noise-level and condition embedding."""
    slots: ConditionSlots = ConditionSlots()
    """Conditions the network takes."""
    noise_correlation: bool = False
    """Whether it is told how the noise is correlated (`NOISE_CORRELATION`)."""
    position: bool = False
    """Whether it is told where in the body each voxel lies (`POSITION`)."""

    @property
    def alignment(self) -> int:
        """Spatial sizes must be multiples of this many voxels."""
        return 2 ** len(self.widths)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each voxel: local, so a tile is treated as the whole scan is.

    The fused layer norm costs a tenth of a convolution here, forward and backward; root-mean-square norm, which has no
    fused backward on the CPU, half of one (`python -m benchmarks.network`).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b c x y z"]:
        """Normalise each voxel's feature vector to zero mean and unit variance, times a learned gain."""
        voxels = x.permute(0, 2, 3, 4, 1)
        return nnf.layer_norm(voxels, (x.shape[1],), self.gain.to(x.dtype)).permute(0, 4, 1, 2, 3)

    def modulated(self, x: Float[Tensor, "b c x y z"], scale: Tensor, shift: Tensor) -> Float[Tensor, "b c x y z"]:
        """The norm, then times `scale` and plus `shift`, one value a channel (c,): one pass over the memory."""
        gain = (self.gain.float() * scale).to(x.dtype)
        voxels = x.permute(0, 2, 3, 4, 1)
        return nnf.layer_norm(voxels, (x.shape[1],), gain, shift.to(x.dtype)).permute(0, 4, 1, 2, 3)


class ResidualBlock(nn.Module):
    """Two 3 x 3 x 3 convolutions, modulated voxel by voxel by the noise-level embedding."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.conv1 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.modulation = nn.Conv3d(embedding, 2 * width, 1)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Add the block's correction to `x`; `embedded` has x's spatial size, or one voxel."""
        if not torch.is_grad_enabled():
            return self._in_place(x, embedded)
        scale, shift = self.modulation(embedded).chunk(2, dim=1)
        h = self.conv1(nnf.silu(self.norm1(x)))
        h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        return x + self.conv2(nnf.silu(h))

    def _in_place(self, x: Tensor, embedded: Tensor) -> Tensor:
        """The same without gradients: three feature maps in memory instead of eight, `x` among them, which is kept.

        One level for the whole scan becomes gain and offset of the norm; a map's modulation is made slab by slab.
        """
        h = self.conv1(nnf.silu(self.norm1(x), inplace=True))
        if embedded.shape[0] * embedded[0, 0].numel() == 1:
            scale, shift = self.modulation(embedded).flatten().float().chunk(2)
            h = self.norm2.modulated(h, 1 + scale, shift)
        else:
            h = self.norm2(h)
            rows = h.shape[2] if embedded.shape[2] == 1 else _SLAB
            for part, level in zip(h.split(rows, dim=2), embedded.split(rows, dim=2), strict=True):
                scale, shift = self.modulation(level).chunk(2, dim=1)
                torch.addcmul(shift, part, scale.add_(1), out=part)
        return self.conv2(nnf.silu(h, inplace=True)).add_(x)


class HaarUNet(nn.Module):
    """F(c_in x, c_noise): the raw network of `Preconditioned`.

    Args:
        config: Sizes and conditions.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.widths, config.blocks
        if len(widths) != len(blocks):
            raise ValueError(f"blocks {blocks} must have one entry per level of widths {widths}")
        image_channels = 2 * len(config.slots.images)
        self.embedding = ConditionEmbedding(config.channels, config.embedding, config.slots, config.noise_correlation)
        self.stem = nn.Conv3d(8 * (config.channels + image_channels) + config.channels, widths[0], 3, padding=1)
        self.position = PositionEmbedding(widths[0]) if config.position else None
        self.down_blocks = nn.ModuleList()
        self.up_blocks = nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            self.down_blocks.append(nn.ModuleList(ResidualBlock(width, config.embedding) for _ in range(depth)))
            if level + 1 < len(widths):
                self.up_blocks.append(nn.ModuleList(ResidualBlock(width, config.embedding) for _ in range(depth)))
                self.down.append(nn.Conv3d(width, widths[level + 1], 2, stride=2))
                self.up.append(nn.ConvTranspose3d(widths[level + 1], width, 2, stride=2))
        self.head_norm = ChannelNorm(widths[0])
        self.head = nn.Conv3d(widths[0], 8 * config.channels, 3, padding=1)
        self.variance_hidden = nn.Conv3d(widths[0], 32, 1)
        self.variance_head = nn.Conv3d(32, 8 * config.channels, 1)
        for last in (self.head, self.variance_head):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(
        self,
        x: Float[Tensor, "b c x y z"],
        c_noise: Tensor,
        spacing_mm: Float[Tensor, "b 3"] | None = None,
        cond: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """F and the raw log variance.

        Args:
            x: Scaled noisy scan (b, c, x, y, z), sizes multiples of `config.alignment`.
            c_noise: ln(sigma)/4, (b, c, x, y, z) or (b, c, 1, 1, 1).
            spacing_mm: Voxel spacing (b, 3), or None where unknown.
            cond: Conditions: an index (b,) per categorical slot (0: null), a value (b,) per continuous slot (nan:
                null), an image (b, 1, x, y, z) per image slot, and `NOISE_CORRELATION` and `POSITION` where the
                network takes them. Slots left out are null.

        Returns:
            F_x (b, c, x, y, z) and the log variance of F's error, same shape.
        """
        haar_c_noise = c_noise if tuple(c_noise.shape[2:]) == (1, 1, 1) else nnf.avg_pool3d(c_noise, 2)
        h = self.stem(self._stem_input(x, haar_c_noise, cond or {}))
        if self.position is not None:
            h = self.position(h, (cond or {}).get(POSITION))
        levels = [haar_c_noise]
        for _ in self.down:
            constant = tuple(levels[-1].shape[2:]) == (1, 1, 1) and tuple(x.shape[2:]) != (2, 2, 2)
            levels.append(levels[-1] if constant else nnf.avg_pool3d(levels[-1], 2))
        embedded = [self.embedding(level, spacing_mm, cond) for level in levels]
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down_blocks):
            for block in stage:  # type: ignore[attr-defined]
                h = block(h, embedded[level])
            if level < len(self.down):
                skips.append(h)
                h = self.down[level](h)
        for level in reversed(range(len(self.up))):
            h = _sum(self.up[level](h), skips.pop())
            for block in self.up_blocks[level]:  # type: ignore[attr-defined]
                h = block(h, embedded[level])
        h = nnf.silu(self.head_norm(h), inplace=not torch.is_grad_enabled())
        raw = self.variance_head(nnf.silu(self.variance_hidden(h.detach()), inplace=not torch.is_grad_enabled()))
        return inverse_haar3d(self.head(h).float()), inverse_haar3d(raw.float())

    def _stem_input(self, x: Tensor, haar_c_noise: Tensor, cond: dict[str, Tensor]) -> Tensor:
        parts = [x]
        for name in self.config.slots.images:
            image = cond.get(name)
            present = torch.zeros_like(x[:, :1]) if image is None else torch.ones_like(x[:, :1])
            parts += [present * 0 if image is None else image, present]
        coefficients = haar3d(torch.cat(parts, dim=1))
        level = haar_c_noise.expand(-1, -1, *coefficients.shape[2:])
        return torch.cat([coefficients, level], dim=1).contiguous(memory_format=torch.channels_last_3d)


def _sum(a: Tensor, b: Tensor) -> Tensor:
    """a + b; without gradients in the memory of `a`."""
    return a + b if torch.is_grad_enabled() else a.add_(b)
