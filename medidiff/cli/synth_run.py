"""`medidiff synth` from what was asked for to what is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medidiff.cli.discover import plural
from medidiff.cli.outcome import say, warn
from medidiff.cli.progress import counted
from medidiff.cli.sidecar import difference
from medidiff.cli.synth_plan import make_plan
from medidiff.cli.synth_text import tell, tell_plan
from medidiff.errors import MemoryLimitError, OutputError, UsageError
from medidiff.prior import Prior, resolve_prior
from medidiff.synthesis.checks import parse_checks
from medidiff.synthesis.dataset import Dataset, read_settings
from medidiff.synthesis.guard import CLAIM, GuardRequest
from medidiff.synthesis.layout import make_layout
from medidiff.synthesis.request import SetRequest
from medidiff.synthesis.run import Job, Where
from medidiff.synthesis.run import run as make_set
from medidiff.tasks.guidance import advised, parse_interval
from medidiff.tasks.sample_maker import SampleMaker

_LINE_EVERY_S = 20.0
_SAME = ("first", "seed", "shape", "layout", "format", "dtype", "guidance", "precision", "threads")
_OPTIONS = {"count": "-n", "n_steps": "--steps", "max_attempts": "--max-attempts", "spacing_mm": "--spacing-mm"}
_OPTIONS |= {name: f"--{name}" for name in _SAME}


@dataclass(frozen=True)
class Wanted:
    """The values of the options."""

    prior: str
    count: int
    folder: Path
    cond: tuple[str, ...]
    cond_table: Path | None
    like: Path | None
    balance: str | None
    controls: str
    extrapolate: bool
    shape: str | None
    spacing_mm: str | None
    steps: int
    seed: int
    first: int
    guidance: float | None
    guidance_interval: str
    guidance_prior: str | None
    layout: str
    form: str
    dtype: str
    check: tuple[str, ...]
    max_attempts: int
    guard: str | None
    shard: str
    engine: str
    workers: int | None
    machine: dict[str, Any]
    overwrite: bool


def run(wanted: Wanted, *, dry_run: bool, as_json: bool) -> None:
    """Make the set, or a shard of it, and tell.

    Raises:
        MedidiffError: Nothing could be done.
    """
    where = Where(
        root=wanted.folder,
        shard=_shard(wanted.shard),
        engine=wanted.engine,
        workers=wanted.workers,
        overwrite=wanted.overwrite,
        difference=_difference,
    )
    prior = Prior.load(wanted.prior)
    request = _adopt(_request(wanted, prior), wanted.folder)
    if wanted.engine == "ray" and request.threads is None:
        request = replace(request, threads=1)  # as many workers as there are cores
    maker = request.maker(prior)
    if wanted.guard is not None:
        guard = GuardRequest(_absolute(wanted.guard), None, maker.shape, maker.spacing_mm)
        request = replace(request, guard=guard)
        say(f"guard: {guard.settings()['patients']} patients; {CLAIM}")
    make_layout(prior.card, request.layout, request.form, request.indices[-1])
    notes = [*maker.warnings, *getattr(request.plan, "notes", ()), *_notes(request, prior)]
    for text in notes:
        warn(text)
    if dry_run:
        Dataset(where.root, request.settings(maker)).check(_difference, where.overwrite)
        tell_plan(request, maker, where, as_json, notes)
        return
    start = time.perf_counter()
    job = _make(request, maker, where)
    tell(request, maker, where, job, time.perf_counter() - start, as_json, notes)


def _absolute(where: str) -> str:
    """Workers elsewhere start in another folder."""
    return where if "://" in where else str(Path(where).resolve())


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two settings differ in, by the options' names where they have one."""
    named = [{_OPTIONS.get(key, key): value for key, value in settings.items()} for settings in (before, now)]
    return difference(named[0], named[1]).replace("plan.conditions.", "--cond ")


def _request(wanted: Wanted, prior: Prior) -> SetRequest:
    shape = None if wanted.shape is None else _numbers("--shape", wanted.shape, int)
    spacing = None if wanted.spacing_mm is None else _numbers("--spacing-mm", wanted.spacing_mm, float)
    reference = None if wanted.guidance_prior is None else resolve_prior(wanted.guidance_prior)
    plan = make_plan(wanted, prior.card)
    interval = parse_interval(wanted.guidance_interval) if wanted.guidance_interval else None
    weight, interval = advised(prior.card, wanted.guidance, interval, plan is not None and reference is None)
    return SetRequest(
        prior=resolve_prior(wanted.prior),
        count=wanted.count,
        first=wanted.first,
        seed=wanted.seed,
        plan=plan,
        shape=shape,
        spacing_mm=spacing,
        n_steps=wanted.steps,
        guidance=weight,
        guidance_interval=interval,
        guidance_prior=reference,
        layout=wanted.layout,
        form=wanted.form,
        dtype=wanted.dtype,
        checks=parse_checks(wanted.check, prior.card),
        max_attempts=wanted.max_attempts,
        **wanted.machine,
    )


def _adopt(request: SetRequest, folder: Path) -> SetRequest:
    """What the machine would choose by itself is as in the set that is there: jobs must agree on it."""
    there = read_settings(folder) if folder.is_dir() else None
    if there is None:
        return request
    chosen: dict[str, Any] = {}
    if request.precision == "auto" and there.get("precision") in ("bf16", "float32"):
        chosen["precision"] = there["precision"]
    if request.threads is None and isinstance(there.get("threads"), int):
        chosen["threads"] = there["threads"]
    return replace(request, **chosen)


def _notes(request: SetRequest, prior: Prior) -> list[str]:
    notes = []
    if prior.card.typical is None:
        notes.append(f"the prior {prior.card.name} does not know its source's intensities: they stay normalised.")
    if request.plan is None and (known := [*prior.card.conditions.categorical, *prior.card.conditions.continuous]):
        notes.append(f"nothing was asked of {', '.join(known)}: left unknown (--cond, --like).")
    return [*notes, *_guidance_notes(request), *_plan_notes(request)]


def _guidance_notes(request: SetRequest) -> list[str]:
    if request.guidance == 1:
        unused = request.guidance_prior is not None or request.guidance_interval != (0.0, float("inf"))
        return ["--guidance 1 is none: --guidance-prior and --guidance-interval change nothing."] if unused else []
    if request.guidance_prior is None and request.plan is None:
        return [f"--guidance {request.guidance:g}: nothing was asked, so there is nothing to follow; it costs double."]
    return []


def _plan_notes(request: SetRequest) -> list[str]:
    told = {} if request.plan is None else request.plan.settings()
    notes = []
    if told.get("controls") == "matched" and (request.first % 2 or request.count % 2):
        notes.append(
            "--balance: pairs are numbers 0 and 1, 2 and 3, ...: give an even --first and -n, or one is alone."
        )
    if told.get("table", {}).get("order") == "drawn":
        notes.append(
            f"--like: every scan is labelled with one row of {told['table']['file']}, to the digit: what it says of "
            "people stands in labels.csv, manifest and records. Round it before a set is given away."
        )
    return notes


def _make(request: SetRequest, maker: SampleMaker, where: Where) -> Job:
    mine = len(request.indices[where.shard[0] :: where.shard[1]])
    state = {"done": 0, "told": time.monotonic(), "begun": time.monotonic(), "first": -1}
    told = f", shard {where.shard[0]}/{where.shard[1]}" if where.shard[1] > 1 else ""
    say(f"synth {plural(mine, 'scan')} into {where.root}{told} ...")
    with counted("synth") as bar:

        def progress(done: int, total: int, row: dict[str, Any]) -> None:
            now = time.monotonic()
            state["first"] = done - 1 if state["first"] < 0 else state["first"]
            state["done"] = done
            if bar is not None:
                bar(done, total)
            elif now - state["told"] > _LINE_EVERY_S or done == total:
                left = (now - state["begun"]) / (done - state["first"]) * (total - done)
                say(f"[{done}/{total}] made" + (f", {left:.0f} s left" if done < total else ""))
                state["told"] = now

        try:
            return make_set(request, maker, where, progress)
        except (KeyboardInterrupt, OutputError, MemoryLimitError):
            if state["done"]:
                say(f"{state['done']} of {plural(mine, 'scan')} done; the same command goes on.")
            raise


def _numbers(option: str, text: str, kind: Callable[[str], Any]) -> tuple[Any, Any, Any]:
    parts = text.replace("x", ",").split(",")
    try:
        values = [kind(part) for part in parts]
    except ValueError:
        values = []
    if option == "--spacing-mm" and len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise UsageError(f"{option} {text}: must be three numbers, such as {'64,64,64' if kind is int else '1,1,2'}.")
    return values[0], values[1], values[2]


def _shard(text: str) -> tuple[int, int]:
    i, slash, k = text.partition("/")
    if not (slash and i.isdigit() and k.isdigit()):
        raise UsageError(f"--shard {text}: must be i/k with i from 0 to k - 1, such as 0/4.")
    return int(i), int(k)
