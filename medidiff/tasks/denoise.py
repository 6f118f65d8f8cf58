"""The clean scan behind a noisy one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medidiff.diffusion.strength import checked_weight
from medidiff.io.hashing import hash_array
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.tasks.clean import estimate_clean
from medidiff.tasks.draw_sample import check_steps, draw_sample
from medidiff.tasks.gaps import Gaps
from medidiff.tasks.grids import region_of
from medidiff.tasks.known_noise import Correlated, KnownNoise, NoiseKind, Told, on_measured
from medidiff.tasks.look import look
from medidiff.tasks.observation import as_clean
from medidiff.tasks.outcome import denoised, unchanged
from medidiff.tasks.safeguards import is_clean
from medidiff.tasks.session import Session
from medidiff.tasks.shifts import DEFAULT_SHIFTS, MOST_SHIFTS, check_shifts, shifted_mean
from medidiff.volume import Volume


def denoise(
    volume: Volume,
    prior: Prior | str | Path = "general",
    *,
    noise: NoiseKind | KnownNoise | str = "auto",
    noise_std: float | Volume | None = None,
    coils: int | None = None,
    correlated: Correlated | str = "auto",
    mask: Volume | None = None,
    missing: Sequence[int] = (),
    samples: int = 0,
    strength: float = 0.0,
    shifts: int = DEFAULT_SHIFTS,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    max_gb: float | None = None,
    n_steps: int = 20,
) -> Result:
    """Posterior mean of the clean scan, in two network evaluations; on request samples of the posterior.

    A level that nobody tells is estimated, then put right with the prior on parts of the scan: a third of an evaluation
    more at most for 256 x 256 x 180 voxels, up to three for 96 x 96 x 96 and less.

    Args:
        volume: Noisy scan, any intensity unit; 3D, (x, y, z). Its modality, where it says one, decides what can be
            decided by it: CT values are no magnitudes.
        prior: Trained denoiser, its name, or its file; its card says which scans it has seen.
        noise: Kind of noise: gaussian, rician or chi (magnitude MR of one or several coils), or auto. Or all that is
            known of it, as another scan's frames gave it (`tasks.frames`).
        noise_std: Noise standard deviation in the scan's own unit (rician, chi: of the real and imaginary parts), or a
            map on its grid. None estimates it.
        coils: Coils whose squares were added up, of chi.
        correlated: Whether noise is correlated from voxel to voxel: auto finds out, yes takes the measured correlation
            even when in doubt, no takes it as white.
        mask: On the scan's grid; nonzero where noise and intensities are judged and the scan is denoised. Outside the
            scan comes back unchanged.
        missing: Slices along z (the third axis), counted from 0, that hold no measurement. Whatever they hold, NaN
            included, is ignored, and what the prior puts there is said to be generated (see `gaps.fill_gaps`). The
            measured slices come out as if they were the whole scan.
        samples: Posterior samples to draw as well; each costs `n_steps` + 1 evaluations.
        strength: From 0, the posterior mean, to 1, a posterior sample: how much of the texture that nobody can know is
            put back. The squared error grows by the factor 1 + strength^2.
        shifts: Evaluations to average, each with the scan shifted and flipped differently: 1 is fastest, 8 best.
        seed: Seed of the samples; the mean does not depend on it.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Processor threads; None keeps PyTorch's number.
        max_gb: Memory (10^9 bytes) one evaluation may take; larger scans are done in tiles. None: on a
            processor 0.9 and what holds the scan, or what is free where that is less; elsewhere most of what is free.
        n_steps: Steps of the sampler.

    Returns:
        Result with the clean scan on the same grid and in the same unit, residual, noise map and uncertainty. On
        missing slices the noise map is infinite and the residual 0, since nothing was measured that could be removed;
        so they are on unmeasured voxels, which keep their values. Its status says `denoised`, `unchanged: already
        clean` (no noise was found that is worth removing), or `extrapolated: ` and what the prior has not seen.

    Raises:
        InputError: The scan is not 3D, not finite, or constant, or fewer than two of its slices were measured.
        UsageError: A setting is not acceptable, or a missing slice is none of the scan's.
        NoiseError: `noise_std` is not positive and finite, or the level could not be estimated.
        GeometryError: The mask or the noise map lies on another grid.
        PriorError: The prior is missing or refused.
        DeviceError: The device is not there.
        MemoryLimitError: Not even the smallest tile fits.

    Source: Efron 2011 (Tweedie); Karras et al. 2022, Eq. 7, voxel by voxel.
    """
    check_steps(n_steps, samples)
    check_shifts(shifts)
    checked_weight(strength)
    gaps = Gaps.of(volume, missing)
    measured = gaps.without(volume).check()
    region = None if mask is None else region_of(mask, volume)
    told = noise if isinstance(noise, KnownNoise) else Told(noise, noise_std, coils, correlated)
    told = on_measured(told, volume, gaps.without)
    session = Session(
        prior, measured.spacing_mm, device=device, precision=precision, threads=threads, max_gb=max_gb, seed=seed
    )
    with session:
        where = None if region is None else gaps.of_measured(region)
        seen = look(session, measured, told, where)
        if not gaps.missing and (seen is None or is_clean(seen)):
            result = unchanged(volume, seen, samples)
        else:
            seen = seen or as_clean(measured, session.prior, where)
            clean = estimate_clean(session, seen, gaps, shifts, measured, volume)
            drawn = [_draw(session, clean.y, clean.sigma, i, n_steps) for i in range(max(samples, strength > 0))]
            result = denoised(volume, session, clean, gaps, region, drawn, samples, strength)
    settings: dict[str, Any] = {
        "noise": noise if isinstance(noise, str) else noise.kind,
        "noise_std": result.figures["noise_std"] if noise_std is not None else None,
        "coils": coils,
        "correlated": correlated,
        "missing": list(gaps.missing),
        "samples": samples,
        "strength": strength,
        "shifts": shifts,
        "n_steps": n_steps,
        "max_gb": max_gb,
    }
    more = {} if region is None else {"mask_data_sha256": hash_array(region)}
    result.nfe, result.seconds, result.peak_memory_mib = session.nfe, session.seconds, session.peak_memory_mib
    result.warnings = [*session.warnings, *result.warnings]
    result.provenance = session.provenance(
        settings, input_data_sha256=hash_array(volume.data), input_name=volume.name, **more
    )
    return result


def _draw(session: Session, y: Tensor, sigma: Tensor, index: int, n_steps: int) -> np.ndarray:
    return draw_sample(session, y, sigma, index, n_steps)[0][0, 0].float().cpu().numpy()


__all__ = ["MOST_SHIFTS", "denoise", "shifted_mean"]
