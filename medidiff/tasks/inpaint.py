"""A part of a scan that is missing or spoiled, filled with what could have been there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from medidiff.errors import InputError, NoiseError, UsageError
from medidiff.io.hashing import hash_array
from medidiff.io.quantise import nearest_storable
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.tasks.draw_sample import check_steps, draw_sample
from medidiff.tasks.grids import check_same_grid, keep_unmeasured
from medidiff.tasks.known_noise import NoiseKind, Told
from medidiff.tasks.observation import Observation, as_clean, observe
from medidiff.tasks.session import Session
from medidiff.volume import Volume


def inpaint(
    volume: Volume,
    mask: Volume,
    prior: Prior | str | Path = "general",
    *,
    noise: NoiseKind | str = "auto",
    noise_std: float | Volume | None = None,
    paste: bool | None = None,
    samples: int = 1,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    max_gb: float | None = None,
    n_steps: int = 40,
) -> Result:
    """Fill the mask with a sample of what fits the rest: a posterior sample with an infinite noise level in the mask.

    The sample is a clean scan everywhere. Without `noise_std` the observed voxels are put back as they were, so nothing
    outside the mask changes (and the filling has less noise than what is around it). With `noise_std` the whole sample
    is returned: outside the mask it is one plausible clean scan at that noise level.

    Args:
        volume: Scan; what it holds inside the mask is ignored.
        mask: On the scan's grid; nonzero where nothing is known.
        prior: Trained denoiser, its name, or its file.
        noise: Kind of noise outside the mask: gaussian, rician or auto.
        noise_std: Noise level outside the mask, number or map, in the scan's unit. None estimates it.
        paste: Put the observed voxels back; None: only when `noise_std` is not given.
        samples: Fillings to draw. The first is the output; with more than one all of them are in `samples`.
        seed: Seed of the samples.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Processor threads; None keeps PyTorch's number.
        max_gb: Memory (10^9 bytes) one evaluation may take.
        n_steps: Steps of the sampler.

    Returns:
        Result with the filled scan; its noise map is infinite in the mask, its uncertainty that of one evaluation.

    Raises:
        InputError: The scan is not usable, or the mask is empty or covers everything.
        GeometryError: The mask lies on another grid.
        NoiseError: `noise_std` is not positive and finite.
    """
    check_steps(n_steps, samples)
    if samples < 1:
        raise UsageError(f"--samples {samples}: must be 1 or more.")
    volume.check()
    hole = hole_of(volume, mask)
    session = Session(
        prior, volume.spacing_mm, device=device, precision=precision, threads=threads, max_gb=max_gb, seed=seed
    )
    keep = noise_std is None if paste is None else paste
    with session:
        seen = observe_around(session, volume, hole, noise, noise_std)
        session.check_level(seen.sigma)
        session.know_body_of(volume.affine_ras, seen.y)
        sigma = np.where(hole, np.inf, np.asarray(seen.sigma, dtype=np.float32)).astype(np.float32)
        y = session.tensor(np.where(hole, 0, seen.y))
        drawn = [draw_sample(session, y, session.tensor(sigma), i, n_steps) for i in range(samples)]
        filled = [_back(volume, hole, seen, x, keep) for x, _ in drawn]
        clean, log_variance = _array(drawn[0][0]), _array(drawn[0][1])
        std = seen.std_to_scan(clean, np.exp(log_variance / 2))
        uncertainty = volume.with_data(np.where(hole, std, 0).astype(np.float32) if keep else std)
        output = filled[0]
        residual = volume.with_data(volume.data.astype(np.float32) - output.data)
        noise_map = volume.with_data(np.where(hole, np.inf, seen.level_map()).astype(np.float32))
    settings = {
        "noise": noise,
        "noise_std": seen.figures["noise_std"] if noise_std is not None else None,
        "paste": keep,
        "samples": samples,
        "n_steps": n_steps,
        "max_gb": max_gb,
    }
    return Result(
        task="inpaint",
        status="inpainted",
        output=output,
        residual=residual,
        noise_map=noise_map,
        uncertainty=uncertainty,
        samples=filled if samples > 1 else [],
        nfe=session.nfe,
        seconds=session.seconds,
        peak_memory_mib=session.peak_memory_mib,
        warnings=[*session.warnings, *seen.warnings, *generation_warnings(session.prior)],
        provenance=session.provenance(
            settings,
            input_data_sha256=hash_array(volume.data),
            input_name=volume.name,
            mask_data_sha256=hash_array(hole),
        ),
        figures={**seen.figures, "filled_voxels": int(hole.sum()), "observed_voxels_kept": keep},
    )


def generation_warnings(prior: Prior) -> list[str]:
    """What to know when content is generated by this prior."""
    if prior.card.task == "sample":
        return []
    return [
        f"the prior {prior.card.name} was trained to denoise, not to generate: shapes larger than its patches are "
        "guesswork."
    ]


def hole_of(volume: Volume, mask: Volume) -> np.ndarray:
    """The voxels to fill, True where the mask is not 0.

    Raises:
        GeometryError: The mask lies on another grid.
        InputError: It holds NaN, is empty, or covers everything.
    """
    check_same_grid(mask, volume, f"--mask {mask.name or 'mask'}")
    if not np.isfinite(mask.data).all():
        raise InputError(f"--mask {mask.name or 'mask'}: holds NaN or infinite values. Mark the part to fill with 1.")
    hole = np.asarray(mask.data != 0)
    if not hole.any() or hole.all():
        what = "covers everything: use `medidiff synth`" if hole.any() else "is empty: nothing to fill"
        raise InputError(f"--mask {mask.name or 'mask'}: {what}. Mark the part to fill with 1, the rest with 0.")
    return hole


def observe_around(
    session: Session,
    volume: Volume,
    hole: np.ndarray,
    noise: NoiseKind | str,
    noise_std: float | Volume | None,
    correlated: str = "no",
) -> Observation:
    """What is known outside the hole; a scan without measurable noise is taken at the prior's smallest level.

    Args:
        session: Prior at work.
        volume: The scan.
        hole: Where nothing is known.
        noise: Kind of noise.
        noise_std: Its level; None estimates it.
        correlated: "no" takes it as white, as the sampler does around a hole: what is correlated with a hole is not
            known. "auto" finds out, for those who make such noise.
    """
    outside = volume.with_data(np.where(hole, np.median(volume.data[~hole]), volume.data))
    told = Told(noise, noise_std, correlated=correlated)
    try:
        return observe(outside, session.prior, told, ~hole)
    except NoiseError as error:
        if noise_std is not None:
            raise
        seen = as_clean(outside, session.prior, ~hole)
        session.warnings.append(f"the scan is taken as clean: {error}")
        return seen


def _back(volume: Volume, hole: np.ndarray, seen: Observation, x: Tensor, keep: bool) -> Volume:
    data = seen.to_scan(_array(x))
    if not keep:
        return keep_unmeasured(volume, data)
    return volume.with_data(np.where(hole, nearest_storable(data, volume.header), volume.data.astype(np.float32)))


def _array(x: Tensor) -> np.ndarray:
    return x[0, 0].float().cpu().numpy()


__all__ = ["generation_warnings", "hole_of", "inpaint", "observe_around"]
