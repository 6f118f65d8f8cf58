"""What every task needs: the prior on its device, the tiled denoiser, and an account of time, memory and settings."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from medidiff import __version__
from medidiff.device import describe_device, set_threads
from medidiff.diffusion.guidance import guided
from medidiff.diffusion.preconditioning import Denoised
from medidiff.errors import UsageError
from medidiff.nets.embedding import NOISE_CORRELATION, POSITION
from medidiff.prior import Denoiser, Prior
from medidiff.tasks.guidance import Guidance, of_reference, without_conditions
from medidiff.tasks.known_noise import WHITE, Correlation
from medidiff.tasks.memory import MemoryWatch
from medidiff.tasks.trained_range import level_warnings, spacing_warnings
from medidiff.tiling import TiledDenoiser

_BUILT: WeakKeyDictionary[Prior, dict[tuple[str, str], Denoiser]] = WeakKeyDictionary()


class Session:
    """One task's run: enter it, compute, leave it, then ask what it cost.

    Args:
        prior: Prior, its name, or its file.
        spacing_mm: Voxel spacing of the scan.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Threads of the processor; None keeps PyTorch's number.
        max_gb: Memory limit of one network evaluation, 10^9 bytes.
        seed: Seed of the samples.

    Raises:
        PriorError: The prior is missing or refused.
        DeviceError: The device is not there.
        UsageError: A setting is not acceptable.
    """

    def __init__(
        self,
        prior: Prior | str | Path,
        spacing_mm: tuple[float, float, float],
        *,
        device: str,
        precision: str,
        threads: int | None,
        max_gb: float | None,
        seed: int,
    ) -> None:
        if seed < 0:
            raise UsageError(f"--seed {seed}: must be 0 or more.")
        self.threads = set_threads(threads)
        self.prior = prior if isinstance(prior, Prior) else Prior.load(prior)
        self.card = self.prior.card
        denoiser = ready_denoiser(self.prior, device, precision)
        self.device, self.choice = denoiser.device, denoiser.choice
        self.tiled = TiledDenoiser(denoiser, max_gb)
        self.spacing_mm, self.seed, self.max_gb = spacing_mm, seed, max_gb
        self.warnings = spacing_warnings(self.prior, spacing_mm)
        self.correlation: Correlation = WHITE
        self.position: Tensor | None = None
        self.spent_on_parts = 0.0
        self._machine = {"device": device, "precision": precision, "threads": threads, "max_gb": max_gb}
        self._references: dict[Prior, Session] = {}
        self.seconds = self.peak_memory_mib = 0.0

    def __enter__(self) -> Session:
        self._started = time.perf_counter()
        self._memory = MemoryWatch(self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self.peak_memory_mib = self._memory.stop()

    @property
    def nfe(self) -> int:
        """Evaluations of the whole scan, those of a guiding prior too; parts of it count by their share, rounded up."""
        guiding = sum(session.tiled.nfe for session in self._references.values())
        return self.tiled.nfe + guiding + math.ceil(self.spent_on_parts)

    def tensor(self, array: np.ndarray) -> Tensor:
        """One scan or map (x, y, z) as (1, 1, x, y, z) on the device."""
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32).to(self.device)[None, None]

    def level(self, sigma: float | np.ndarray) -> Tensor:
        """A level in normalised units as the denoiser takes it: 0-dim or a map."""
        return self.tensor(sigma) if isinstance(sigma, np.ndarray) else torch.tensor(sigma, device=self.device)

    def know_correlation(self, correlation: Correlation) -> None:
        """Tell the prior how the scan's noise is correlated; a warning where it cannot be told."""
        self.correlation = correlation
        if any(correlation) and not self.card.network.noise_correlation:
            self.warnings.append(
                f"the noise is correlated from voxel to voxel; the prior {self.card.name} {self.card.version} cannot "
                "be told so: noise will remain."
            )

    def know_body_of(self, affine_ras: np.ndarray, y: np.ndarray, start: Sequence[int] = (0, 0, 0)) -> None:
        """Tell the prior where in the body a scan's voxels lie, if it can be told.

        Args:
            affine_ras: Voxel index to mm, (4, 4).
            y: The normalised scan (x, y, z), whose foreground is the body.
            start: First voxel of the part that is worked on.
        """
        if self.card.network.position:
            from medidiff.cohort.prepare_scan import body_box

            self._know_body(affine_ras, *body_box(y), start)

    def know_body_fills(self, shape: tuple[int, ...]) -> None:
        """The same for a sample: its body is centred in the volume, axes along R, A and S."""
        if self.card.network.position:
            self._know_body(np.diag([*self.spacing_mm, 1.0]), (0, 0, 0), shape)

    def _know_body(
        self, affine_ras: np.ndarray, low: Sequence[int], high: Sequence[int], start: Sequence[int] = (0, 0, 0)
    ) -> None:
        from medidiff.cohort.body import body_frame, cut

        frame = cut(body_frame(affine_ras, low, high), start)
        self.position = torch.from_numpy(frame).float()[None].to(self.device)

    def evaluate(
        self,
        x: Tensor,
        sigma: Tensor,
        cond: dict[str, Tensor] | None = None,
        guidance: Guidance | None = None,
        **where: Any,
    ) -> Denoised:
        """D(x; sigma) in tiles, the prior knowing the scan's spacing, its place and how its noise is correlated.

        Args:
            x: (b, c, x, y, z) of the prior's channels, or (b, 1, x, y, z) of its image alone.
            sigma: Its level.
            cond: Conditions, encoded.
            guidance: The mean is guided; the log variance is that of the prior as it is.
            where: Passed on to `TiledDenoiser`; not with guidance.
        """
        out = self.tiled(x, sigma, self.spacing_mm, {**self._told(x.shape[0]), **(cond or {})} or None, **where)
        if guidance is None or not guidance.active:
            return out

        def reference(x: Tensor, sigma: Tensor) -> Tensor:
            return self._reference(x, sigma, cond or {}, guidance)

        mean = guided(lambda *_: out.mean, reference, guidance.weight, guidance.interval)(x, sigma)
        return Denoised(mean, out.log_variance)

    def _reference(self, x: Tensor, sigma: Tensor, cond: dict[str, Tensor], guidance: Guidance) -> Tensor:
        """What guidance leads away from. It is told everything but the conditions, or what it knows of them."""
        prior, slots = guidance.reference, self.card.conditions
        if prior is None:
            return self.evaluate(x, sigma, without_conditions(cond, slots)).mean
        if prior not in self._references:
            guidance.check(self.prior)
            self._references[prior] = Session(prior, self.spacing_mm, seed=self.seed, **self._machine)
        other = self._references[prior]
        other.spacing_mm, other.correlation, other.position = self.spacing_mm, self.correlation, self.position
        return other.evaluate(x, sigma, of_reference(cond, slots, other.card.conditions)).mean

    def _told(self, batch: int) -> dict[str, Tensor]:
        told: dict[str, Tensor] = {}
        if self.position is not None and self.card.network.position:
            told[POSITION] = self.position
        if self.card.network.noise_correlation:
            shape = [self.correlation] * batch
            told[NOISE_CORRELATION] = torch.tensor(shape, dtype=torch.float32, device=self.device)
        return told

    def check_level(self, sigma: float | np.ndarray) -> None:
        """Warn where a level (normalised units) is beyond what the prior was trained on; it is clamped there."""
        self.warnings += level_warnings(self.prior, sigma)

    def provenance(self, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Where the result comes from: prior, seed, settings, machine, versions."""
        return {
            **more,
            "prior": {"name": self.card.name, "version": self.card.version, "hash": self.prior.content_hash},
            "seed": self.seed,
            "settings": settings,
            "device": describe_device(self.device),
            "threads": self.threads,
            "precision": vars(self.choice) | {},
            "tile": list(self.tiled.tile or ()),
            "versions": {
                "medidiff": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }


def ready_denoiser(prior: Prior, device: str, precision: str) -> Denoiser:
    """The prior's denoiser, built once for each device and precision and kept as long as the prior itself.

    Evaluations are counted by each task's own `TiledDenoiser`, not here.

    Raises:
        DeviceError: The device is not there.
    """
    kept = _BUILT.setdefault(prior, {})
    if (device, precision) not in kept:
        kept[device, precision] = prior.denoiser(device, precision)
    return kept[device, precision]


__all__ = ["Session", "ready_denoiser"]
