"""The plan of a run as text: `medidiff train --dry-run`, and the first lines of every run."""

from __future__ import annotations

from typing import Any


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """The plan as text, for stderr."""
    network, schedule, hardware = plan["network"], plan["schedule"], plan["hardware"]
    patch = " x ".join(map(str, schedule["patch"]))
    moved = "" if network["trained"] == network["parameters"] else f", {network['trained'] / 1e6:.2f} million trained"
    start = f", from {network['start_from']} ({network['method']})" if network["start_from"] else ""
    limit = f"at most {schedule['hours']:g} h" if schedule["hours"] else "no time limit"
    lines = [
        f"prior {plan['name']}: {network['parameters'] / 1e6:.2f} million parameters{moved}, "
        f"sigma_data {network['sigma_data']:.3f}{start}",
        f"{schedule['steps']} steps of {schedule['batch']} patches {patch}, {limit}; samples from "
        f"{'pure noise' if schedule['samples_from_noise'] else 'noisy val patches'}",
        *(_source_line(source) for source in plan["data"]["sources"]),
    ]
    if not plan["data"]["val_patients"] and not any(s["val_scans"] for s in plan["data"]["sources"]):
        lines.append("  no val patients: the error is measured on training patches only, and nothing shows overfitting")
    shared = f", {schedule['micro_batch']} patches at a time" if schedule["micro_batch"] != schedule["batch"] else ""
    lines.append(f"{hardware['text']}{shared}")
    if plan["time"]["step_s"] is not None:
        lines += _measured_lines(plan)
    return lines + [f"warning: {text}" for text in plan["warnings"]]


def _measured_lines(plan: dict[str, Any]) -> list[str]:
    time, memory, disk = plan["time"], plan["memory"], plan["disk"]
    cuda = f", {memory['peak_cuda_gib']:.2f} GiB on the accelerator" if memory["peak_cuda_gib"] is not None else ""
    return [
        f"time: {time['step_s']:.3g} s a step measured ({time['patches_per_s']:.3g} patches/s), validations "
        f"{time['validation_share']:.0%} more; {time['hours']:.3g} h for {time['reached_steps']} steps, "
        f"{time['patches']} patches, {time['passes']:.3g} passes over the voxels of the cohort",
        f"memory: {memory['peak_gib']:.2f} GiB ({memory['step_gib']:.2f} measured for the step, "
        f"{memory['scans_gib']:.2f} of scans){cuda}; {memory['available_gib']:.1f} GiB free",
        f"disk: {disk['total_gib']:.2f} GiB (checkpoint {disk['checkpoint_gib']:.2f}, twice while it is written; "
        f"averages {disk['averages_gib']:.2f}; prior {disk['prior_gib']:.3f}; pictures {disk['pictures_gib']:.3f}); "
        f"{disk['free_gib']:.1f} GiB free",
    ]


def _source_line(source: dict[str, Any]) -> str:
    people = f" of {source['train_patients']} patients" if source["train_patients"] else ""
    return (
        f"  {source['kind']}: {source['train_scans']} scans{people} to train on, {source['val_scans']} to validate, "
        f"{source['share']:.0%} of patches, own noise {source['tau']:.4f}"
    )


__all__ = ["plan_lines"]
