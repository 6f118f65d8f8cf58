"""New scans: nothing is observed, everything is sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medidiff.diffusion.signatures import Callback
from medidiff.errors import UsageError
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.tasks.conditions import Value, encode_conditions
from medidiff.tasks.guidance import Guidance
from medidiff.tasks.sample_maker import SampleMaker
from medidiff.volume import Volume


def synthesise(
    prior: Prior | str | Path,
    shape: Sequence[int] | None = None,
    *,
    spacing_mm: tuple[float, float, float] | None = (1.0, 1.0, 1.0),
    count: int = 1,
    seed: int = 0,
    conditions: Mapping[str, Value] | None = None,
    n_steps: int = 10,
    guidance: Guidance | None = None,
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
        shape: Voxels along x, y and z; None takes the prior's own.
        spacing_mm: Voxel spacing; None takes the prior's, where it knows one only.
        count: Number of samples.
        seed: Sample i depends on the seed and on `first` + i only.
        conditions: What the sample shall show, by name, such as {"kind": "hippocampus_t1"}; the card lists them.
        n_steps: Steps of the sampler; each sample costs one evaluation more than that.
        guidance: How strongly the conditions are followed.
        first: Number of the first sample, to go on where an earlier run stopped.
        callback: Called as callback(i, t, denoised) at every step of the first sample.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Processor threads; None keeps PyTorch's number.
        max_gb: Memory (10^9 bytes) one evaluation may take.

    Returns:
        Result with all samples; its output is the first. Where the prior samples masks too, `masks` has the label maps.

    Raises:
        UsageError: The shape, a number or a condition is not acceptable.
        PriorError: The prior is missing or refused.
    """
    if count < 1 or first < 0:
        raise UsageError(f"count {count}, first {first}: must be 1 or more, and 0 or more.")
    maker = SampleMaker(
        prior,
        shape=shape,
        spacing_mm=spacing_mm,
        seed=seed,
        n_steps=n_steps,
        guidance=guidance,
        device=device,
        precision=precision,
        threads=threads,
        max_gb=max_gb,
    )
    session = maker.session
    encode_conditions(session.card.conditions, conditions or {})  # refuses what was not trained
    volumes, masks = [], []
    with session:
        for i in range(count):
            sample = maker.make(first + i, 0, conditions or {}, callback if i == 0 else None)
            name = f"synthetic-{first + i:04d}"
            volumes.append(Volume.from_array(sample.image, maker.spacing_mm, name))
            if sample.mask is not None:
                masks.append(Volume.from_array(sample.mask, maker.spacing_mm, f"{name}-mask"))
    spread = [float(v.data.mean()) for v in volumes]
    return Result(
        task="synthesise",
        status="synthesised",
        output=volumes[0],
        samples=volumes,
        masks=masks,
        nfe=session.nfe,
        seconds=session.seconds,
        peak_memory_mib=session.peak_memory_mib,
        warnings=maker.warnings,
        provenance=session.provenance(
            {
                "shape": list(maker.shape),
                "spacing_mm": list(maker.spacing_mm),
                "count": count,
                "first": first,
                "n_steps": n_steps,
            }
            | {"conditions": dict(conditions or {}), "guidance": guidance.settings() if guidance else None},
            generated=True,
            output_licence=session.card.output_licence,
        ),
        figures={"mean_intensities": spread},
    )


__all__ = ["synthesise"]
