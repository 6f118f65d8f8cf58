"""New scans: nothing is observed, everything is sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from medidiff.diffusion.signatures import Callback
from medidiff.errors import UsageError
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.tasks.conditions import encode_conditions
from medidiff.tasks.inpaint import generation_warnings
from medidiff.tasks.session import Session, check_steps
from medidiff.volume import Volume


def synthesise(
    prior: Prior | str | Path,
    shape: Sequence[int],
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    count: int = 1,
    seed: int = 0,
    conditions: Mapping[str, str | float] | None = None,
    n_steps: int = 40,
    first: int = 0,
    callback: Callback | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    max_gb: float | None = None,
) -> Result:
    """Sample new scans: posterior samples with an infinite noise level everywhere.

    Intensities are those of the prior's normalisation (most of a scan lies between -1 and 1).

    Args:
        prior: Trained denoiser, its name, or its file.
        shape: Voxels along x, y and z.
        spacing_mm: Voxel spacing.
        count: Number of samples.
        seed: Sample i depends on the seed and on `first` + i only.
        conditions: What the sample shall show, by name, such as {"kind": "hippocampus_t1"}; the card lists them.
        n_steps: Steps of the sampler; each sample costs two evaluations more than that.
        first: Number of the first sample, to go on where an earlier run stopped.
        callback: Called as callback(i, t, denoised) at every step of the first sample.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Processor threads; None keeps PyTorch's number.
        max_gb: Memory (10^9 bytes) one evaluation may take.

    Returns:
        Result with all samples; its output is the first.

    Raises:
        UsageError: The shape, a number or a condition is not acceptable.
        PriorError: The prior is missing or refused.
    """
    check_steps(n_steps, count)
    sizes = tuple(int(n) for n in shape)
    if len(sizes) != 3 or min(sizes) < 8:
        raise UsageError(f"shape {tuple(shape)}: must be three sizes of 8 voxels or more.")
    if count < 1 or first < 0:
        raise UsageError(f"count {count}, first {first}: must be 1 or more, and 0 or more.")
    if not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise UsageError(f"spacing_mm {spacing_mm}: must be positive.")
    session = Session(prior, spacing_mm, device=device, precision=precision, threads=threads, max_gb=max_gb, seed=seed)
    volumes = []
    with session:
        nothing = torch.zeros(1, session.card.network.channels, *sizes, device=session.device)
        cond = encode_conditions(session.card.conditions, conditions or {})
        unobserved = torch.tensor(torch.inf, device=session.device)
        for i in range(count):
            x, _ = session.sample(nothing, unobserved, first + i, n_steps, callback if i == 0 else None, cond)
            data = x[0, 0].float().cpu().numpy()
            volumes.append(Volume.from_array(data, spacing_mm, name=f"synthetic-{first + i:04d}"))
    spread = [float(v.data.mean()) for v in volumes]
    return Result(
        task="synthesise",
        status="synthesised",
        output=volumes[0],
        samples=volumes,
        nfe=session.nfe,
        seconds=session.seconds,
        peak_memory_mib=session.peak_memory_mib,
        warnings=[*session.warnings, *generation_warnings(session.prior)],
        provenance=session.provenance(
            {"shape": list(sizes), "spacing_mm": list(spacing_mm), "count": count, "first": first, "n_steps": n_steps}
            | {"conditions": dict(conditions or {})},
            generated=True,
            output_licence=session.card.output_licence,
        ),
        figures={"mean_intensities": spread},
    )


__all__ = ["synthesise"]
