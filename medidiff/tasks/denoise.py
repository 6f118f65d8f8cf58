"""The clean scan behind a noisy one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medidiff.diffusion.preconditioning import Denoised
from medidiff.errors import UsageError
from medidiff.io.hashing import hash_array
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.tasks.gaps import Gaps, fill_gaps
from medidiff.tasks.observation import NoiseKind, check_same_grid, keep_unmeasured, observe
from medidiff.tasks.session import Session, check_steps
from medidiff.volume import Volume

# Shifts of the grid on which the network works, all parities of the Haar transform, and the axes flipped with them.
_SHIFTS = ((0, 0, 0), (1, 1, 1), (1, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0))
_FLIPS = ((), (2, 3, 4), (2,), (3, 4), (3,), (2, 4), (4,), (2, 3))
MOST_SHIFTS = len(_SHIFTS)
DEFAULT_SHIFTS = 2
"""Two places of the Haar grid: 0.1 dB better than one for twice the time; four add 0.05 dB, eight 0.03 dB more
(`python -m benchmarks.shifts`)."""


def denoise(
    volume: Volume,
    prior: Prior | str | Path = "general",
    *,
    noise: NoiseKind | str = "auto",
    noise_std: float | Volume | None = None,
    missing: Sequence[int] = (),
    samples: int = 0,
    shifts: int = DEFAULT_SHIFTS,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    max_gb: float | None = None,
    n_steps: int = 20,
) -> Result:
    """Posterior mean of the clean scan, in two network evaluations; on request samples of the posterior.

    Args:
        volume: Noisy scan, any intensity unit; 3D, (x, y, z).
        prior: Trained denoiser, its name, or its file; its card says which scans it has seen.
        noise: Kind of noise: gaussian, rician (magnitude MR), or auto.
        noise_std: Noise standard deviation in the scan's own unit, or a map on its grid. None estimates it.
        missing: Slices along z (the third axis), counted from 0, that hold no measurement. Whatever they hold, NaN
            included, is ignored, and what the prior puts there is said to be generated (see `gaps.fill_gaps`). The
            measured slices come out as if they were the whole scan.
        samples: Posterior samples to draw as well; each costs `n_steps` + 2 evaluations.
        shifts: Evaluations to average, each with the scan shifted and flipped differently: 1 is fastest, 8 best.
        seed: Seed of the samples; the mean does not depend on it.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Processor threads; None keeps PyTorch's number.
        max_gb: Memory (10^9 bytes) one evaluation may take; larger scans are done in tiles. None: most of what is free.
        n_steps: Steps of the sampler.

    Returns:
        Result with the clean scan on the same grid and in the same unit, residual, noise map and uncertainty. On
        missing slices the noise map is infinite and the residual 0, since nothing was measured that could be removed;
        so they are on unmeasured voxels, which keep their values.

    Raises:
        InputError: The scan is not 3D, not finite, or constant, or fewer than two of its slices were measured.
        UsageError: A setting is not acceptable, or a missing slice is none of the scan's.
        NoiseError: `noise_std` is not positive and finite, or could not be estimated.
        PriorError: The prior is missing or refused.
        DeviceError: The device is not there.
        MemoryLimitError: Not even the smallest tile fits.

    Source: Efron 2011 (Tweedie); Karras et al. 2022, Eq. 7, voxel by voxel.
    """
    check_steps(n_steps, samples)
    if not 1 <= shifts <= MOST_SHIFTS:
        raise UsageError(f"--shifts {shifts}: must be from 1 to {MOST_SHIFTS}.")
    gaps = Gaps.of(volume, missing)
    measured = gaps.without(volume).check()
    if isinstance(noise_std, Volume):
        check_same_grid(noise_std, volume, f"--noise-std {noise_std.name or 'map'}")
    session = Session(
        prior, measured.spacing_mm, device=device, precision=precision, threads=threads, max_gb=max_gb, seed=seed
    )
    with session:
        level = gaps.without(noise_std) if isinstance(noise_std, Volume) else noise_std
        seen = observe(measured, session.prior, noise, level)
        session.check_level(seen.sigma)
        y, sigma = session.tensor(seen.y), session.level(seen.sigma)
        out = shifted_mean(session, y, sigma, shifts)
        if gaps.missing:
            session.spacing_mm = volume.spacing_mm
            y, sigma, out = fill_gaps(session, seen, out, gaps)
            seen = gaps.expand_observation(seen)
        drawn = [session.sample(y, sigma, i, n_steps)[0] for i in range(samples)]
        clean, std = _array(out.mean), _array((out.log_variance / 2).exp())
        output = keep_unmeasured(volume, seen.to_scan(clean))
        uncertainty = volume.with_data(seen.std_to_scan(clean, std))
        hidden = gaps.is_missing() if volume.unmeasured is None else gaps.is_missing() | volume.unmeasured
        data = np.where(hidden, 0, volume.data).astype(np.float32)
        residual = volume.with_data(data - np.where(hidden, np.float32(0), output.data))
        noise_map = volume.with_data(np.where(hidden, np.float32(np.inf), seen.level_map()))
        posterior = [keep_unmeasured(volume, seen.to_scan(_array(x))) for x in drawn]
    settings = {
        "noise": noise,
        "noise_std": seen.figures["noise_std"] if noise_std is not None else None,
        "missing": list(gaps.missing),
        "samples": samples,
        "shifts": shifts,
        "n_steps": n_steps,
        "max_gb": max_gb,
    }
    figures = {
        **seen.figures,
        # About 1 where everything removed was noise: less on scans with much detail, more where anatomy went with it.
        "residual_over_noise": float((residual.data / noise_map.data)[np.isfinite(noise_map.data)].std()),
        "uncertainty_median": float(np.median(uncertainty.data)),
    }
    if gaps.missing:
        figures["generated_slices"] = list(gaps.missing)
    return Result(
        task="denoise",
        status="denoised",
        output=output,
        residual=residual,
        noise_map=noise_map,
        uncertainty=uncertainty,
        samples=posterior,
        nfe=session.tiled.nfe,
        seconds=session.seconds,
        peak_memory_mib=session.peak_memory_mib,
        warnings=[*session.warnings, *seen.warnings, *gaps.warnings(samples)],
        provenance=session.provenance(settings, input_data_sha256=hash_array(volume.data), input_name=volume.name),
        figures=figures,
    )


def shifted_mean(session: Session, y: Tensor, sigma: Tensor, shifts: int) -> Denoised:
    """The mean of several evaluations, each on a grid shifted by a voxel and flipped.

    The Haar transform is not shift invariant: where a 2 x 2 x 2 cube begins changes the estimate by up to a fifth of
    sigma. Averaging over the places takes that part of the error away.
    """
    mean, log_variance = torch.zeros_like(y), torch.zeros_like(y)
    for shift, flips in zip(_SHIFTS[:shifts], _FLIPS[:shifts], strict=True):
        level = _shift(sigma.flip(flips), shift) if sigma.ndim and flips else sigma
        out = session.tiled(_shift(y.flip(flips), shift), level, session.spacing_mm)
        crop = (..., *(slice(s, s + n) for s, n in zip(shift, y.shape[2:], strict=True)))
        mean += out.mean[crop].flip(flips) / shifts
        log_variance += out.log_variance[crop].flip(flips) / shifts
    return Denoised(mean, log_variance)


def _shift(x: Tensor, shift: tuple[int, ...]) -> Tensor:
    """Repeat the first voxels of the axes to be shifted by one."""
    for axis, by in enumerate(shift, start=2):
        if by:
            x = torch.cat([x.narrow(axis, 0, by), x], dim=axis)
    return x


def _array(x: Tensor) -> np.ndarray:
    return x[0, 0].float().cpu().numpy()


__all__ = ["MOST_SHIFTS", "denoise", "shifted_mean"]
