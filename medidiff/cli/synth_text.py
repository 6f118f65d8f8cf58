"""What `medidiff synth` tells: the plan of a dry run, and what came of a job."""

from __future__ import annotations

import math
import os
import shutil
from typing import Any

import typer

from medidiff.cli.discover import plural
from medidiff.cli.outcome import Failure, emit_json, stop, warn
from medidiff.errors import PartialFailure
from medidiff.synthesis.layout import MANIFEST
from medidiff.synthesis.merge import summary
from medidiff.synthesis.request import SetRequest, settings_hash
from medidiff.synthesis.run import Job, Where
from medidiff.tasks.sample_maker import SampleMaker

_MOST_TOLD = 10
_RECORD_BYTES = 4096


def tell(
    request: SetRequest, maker: SampleMaker, where: Where, job: Job, seconds: float, as_json: bool, notes: list[str]
) -> None:
    """What a job did: a few lines, or JSON; exit code 4 where scans were given up."""
    for index in job.damaged[:_MOST_TOLD]:
        warn(f"scan {index}: its files were missing or changed, and were made again.")
    if len(job.damaged) > _MOST_TOLD:
        warn(f"... and {len(job.damaged) - _MOST_TOLD} more.")
    mine = set(request.indices[where.shard[0] :: where.shard[1]])
    rows = [row for index, row in sorted(job.rows.items()) if job.merged or index in mine]
    told = summary(rows)
    values = {
        "folder": where.root,
        "shard": list(where.shard),
        **{key: told[key] for key in ("scans", "failed", "draws", "rejected", "reasons", "groups", "extrapolated")},
        "made": job.made,
        "before": job.before,
        "damaged": job.damaged,
        "missing": job.missing,
        "merged": job.merged,
        "manifest": MANIFEST if job.merged else None,
        "nfe": job.nfe,
        "seconds": round(seconds, 3),
        "seconds_a_draw": round(job.seconds / max(1, told["draws"]), 4) if job.made and not job.before else None,
        "settings": request.settings(maker),
        "settings_hash": settings_hash(request.settings(maker)),
        "warnings": notes,
    }
    if not as_json:
        typer.echo("\n".join(_lines(where, job, told, seconds)))
    if told["failed"]:
        listed = ", ".join(map(str, told["failed"][:_MOST_TOLD])) + (" ..." if len(told["failed"]) > _MOST_TOLD else "")
        message = (
            f"{plural(len(told['failed']), 'scan')} given up after {request.max_attempts} draws ({listed}), "
            f"{told['scans']} are done. The manifest has the reasons; see --check and --max-attempts."
        )
        stop(Failure(message, PartialFailure.exit_code), as_json, values)
    if as_json:
        emit_json({"status": "done", "exit_code": 0, **values})


def _lines(where: Where, job: Job, told: dict[str, Any], seconds: float) -> list[str]:
    earlier = told["scans"] + len(told["failed"]) - job.made
    before = f", {earlier} of them before this run" if earlier and told["scans"] else ""
    made = f", {seconds / job.made:.2f} s each" if job.made and told["scans"] else ""
    lines = [f"{where.root}: {plural(told['scans'], 'synthetic scan')}{before}{made}"]
    if told["groups"]:
        lines.append("groups: " + ", ".join(f"{name} {n}" for name, n in told["groups"].items()))
    for name, asked in told["conditions"].items():
        got = told["measured"].get(name)
        if "lowest" in asked:
            measured = f", measured {got['lowest']:.4g} to {got['highest']:.4g}" if got and "lowest" in got else ""
            lines.append(f"{name}: asked {asked['lowest']:.4g} to {asked['highest']:.4g}{measured}")
        else:
            lines.append(f"{name}: " + ", ".join(f"{value} {n}" for value, n in asked["counts"].items()))
    if told["rejected"]:
        reasons = ", ".join(f"{reason} {n}" for reason, n in told["reasons"].items())
        lines.append(f"thrown away: {told['rejected']} of {told['draws']} draws ({reasons})")
    if told["extrapolated"]:
        lines.append(f"beyond the trained range: {plural(told['extrapolated'], 'scan')}, marked")
    if job.merged:
        return [*lines, f"manifest: {where.root / MANIFEST}"]
    return [*lines, f"{plural(job.missing, 'scan')} of other shards missing: the last job puts the set together"]


def tell_plan(request: SetRequest, maker: SampleMaker, where: Where, as_json: bool, notes: list[str]) -> None:
    """What would be done, with a measured time and the disk it takes at most."""
    mine = request.indices[where.shard[0] :: where.shard[1]]
    settings = request.settings(maker)
    evaluation = maker.time_evaluation()
    voxels = math.prod(maker.shape)
    itemsize = 2 if settings["dtype"] == "int16" or request.form == "dicom" else 4
    each = voxels * (itemsize + bool(maker.card.masks)) + _RECORD_BYTES
    place = next(path for path in (where.root.resolve(), *where.root.resolve().parents) if path.exists())
    if not os.access(place, os.W_OK):
        warn(f"-o {where.root}: {place} cannot be written. Choose another folder.")
    free = shutil.disk_usage(place).free
    values = {
        "folder": where.root,
        "shard": list(where.shard),
        "scans": len(mine),
        "evaluations_a_scan": maker.evaluations,
        "seconds_an_evaluation": round(evaluation, 4),
        "seconds": round(evaluation * maker.evaluations * len(mine), 1),
        "disk_bytes_at_most": each * len(mine),
        "disk_bytes_free": free,
        "first_conditions": [] if request.plan is None else [request.plan.draw(request.seed, i) for i in mine[:3]],
        "settings": settings,
        "settings_hash": settings_hash(settings),
        "warnings": notes,
    }
    if each * len(mine) > free:
        warn(f"-o {where.root}: {free / 1e6:.1f} MB are free, {each * len(mine) / 1e6:.1f} MB may be needed.")
    if as_json:
        emit_json({"status": "checked", "exit_code": 0, **values})
        return
    prior, shape = settings["prior"], " x ".join(map(str, maker.shape))
    typer.echo(
        f"{where.root}: {plural(len(mine), 'scan')} would be made, {shape} voxels, prior {prior['name']} "
        f"{prior['hash'][:12]}\n"
        f"about {values['seconds']:.0f} s: {maker.evaluations} evaluations of {evaluation:.3g} s a scan "
        f"({settings['precision']}, draws thrown away not counted)\n"
        f"disk: at most {each * len(mine) / 1e6:.1f} MB, {free / 1e9:.1f} GB free"
    )
    for index, conditions in zip(mine, values["first_conditions"], strict=False):
        typer.echo(f"scan {index}: " + ", ".join(f"{k}={_short(v)}" for k, v in conditions.items()))


def _short(value: Any) -> str:
    return "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
