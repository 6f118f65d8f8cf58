"""The results of a 4D scan's frames as one result."""

from __future__ import annotations

from collections.abc import Sequence

from medidiff.result import Result


def thin(result: Result, kinds: Sequence[str]) -> None:
    """Let go of the volumes that will not be written: hundreds of frames would not fit into memory with them.

    Args:
        result: Of one frame.
        kinds: What will be written.
    """
    if "residual" not in kinds:
        result.residual = None
    if "noise-map" not in kinds:
        result.noise_map = None
    if "uncertainty" not in kinds:
        result.uncertainty = None


def merge_frames(results: Sequence[Result]) -> Result:
    """One result for all frames: their sums, their warnings by frame, their figures one by one.

    Args:
        results: In the order of the frames.
    """
    first = results[0]
    hashes = [result.provenance.get("input_data_sha256") for result in results]
    figures = [dict(result.figures) for result in results]
    if len({result.status for result in results}) > 1:
        for result, told in zip(results, figures, strict=True):
            told["status"] = result.status
    return Result(
        task=first.task,
        status=_merged_status(results),
        output=first.output,
        residual=first.residual,
        noise_map=first.noise_map,
        uncertainty=first.uncertainty,
        samples=list(first.samples),
        nfe=sum(result.nfe for result in results),
        seconds=sum(result.seconds for result in results),
        peak_memory_mib=max(result.peak_memory_mib for result in results),
        warnings=_merged_warnings(results),
        provenance={**first.provenance, "input_data_sha256": hashes, "frames": len(results)},
        figures={"frames": figures} if any(figures) else {},
    )


def _merged_status(results: Sequence[Result]) -> str:
    """The one that all frames have; else the one that asks for the most care: of an extrapolated frame, then the rest.

    Frames that came back unchanged among others stand in the figures.
    """
    statuses = [result.status for result in results]
    careful = [status for status in statuses if status.startswith("extrapolated")]
    changed = [status for status in statuses if not status.startswith("unchanged")]
    return (careful or changed or statuses)[0]


def _merged_warnings(results: Sequence[Result]) -> list[str]:
    """Each warning once; those that not every frame has, with the numbers of their frames."""
    seen: dict[str, list[int]] = {}
    for frame, result in enumerate(results):
        for text in result.warnings:
            seen.setdefault(text, []).append(frame)
    merged = []
    for text, frames in seen.items():
        if len(frames) == len(results):
            merged.append(text)
        else:
            shown = ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")
            merged.append(f"frame{'s' if len(frames) > 1 else ''} {shown}: {text}")
    return merged
