"""Random scans through `medidiff.denoise`: finite output, the same geometry, and tiles that agree with the whole."""

from __future__ import annotations

import argparse
import collections
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from benchmarks._noise import smooth_field, unit_coloured
from medidiff.errors import MedidiffError, MemoryLimitError
from medidiff.prior import Prior
from medidiff.volume import Volume

DTYPES = ("int16", "uint16", "uint8", "int32", "float32", "float64")
KINDS = ("gaussian", "rician", "chi", "correlated", "varying")
LEVELS = (0.5, 25.0)
"""Percent of the range, drawn evenly in its logarithm."""
SMALLEST, LARGEST = 6, 26
_LONG = (48, 72)
"""The long axis of the scans that can be cut: the smallest tile is 40 voxels."""
_LONG_SHARE = 0.25
MOST_DIFFERENCE = 0.01
"""Of sigma, root mean square: tiles against the whole."""


class Drawn(NamedTuple):
    """A random scan and how it was drawn."""

    seed: int
    volume: Volume
    clean: np.ndarray
    kind: str
    told: str
    std: float
    std_map: np.ndarray | None
    correlation: tuple[float, ...] | None

    def describe(self) -> str:
        """What it takes to know it again."""
        size = "x".join(map(str, self.volume.shape))
        spacing = "x".join(f"{s:.2g}" for s in self.volume.spacing_mm)
        return (
            f"seed {self.seed}: {size} voxels of {spacing} mm, {self.volume.data.dtype}, {self.kind} {self.std:.3g}, "
            f"{self.told}"
        )


class Outcome(NamedTuple):
    """What happened: done, refused (with a message of medidiff's own) or failed, and the tiles' difference."""

    state: str
    why: str = ""
    status: str = ""
    tile_rms: float | None = None


def main() -> int:
    args = parse_arguments()
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    prior = Prior.load(args.prior)
    start = time.perf_counter()
    outcomes: dict[int, Outcome] = {}
    for seed in range(args.first, args.first + args.count):
        drawn = draw_case(seed)
        outcomes[seed] = outcome = run_case(drawn, prior, args.threads)
        if outcome.state == "failed":
            print(f"FAILED {drawn.describe()}: {outcome.why}", flush=True)
        elif outcome.state == "refused" and args.verbose:
            print(f"refused {drawn.describe()}: {outcome.why}", flush=True)
        if (seed - args.first + 1) % 100 == 0:
            print(f"{seed - args.first + 1} of {args.count}, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    text, report = summary(outcomes, time.perf_counter() - start, args)
    print(text)
    if args.output:
        args.output.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        args.output.with_suffix(".md").write_text(text, encoding="utf-8")
    return 0 if report["failed"] == 0 else 1


def draw_case(seed: int) -> Drawn:
    """Shape, spacing, orientation, type, level, kind and contents from one seed."""
    rng = np.random.default_rng([20261121, seed])
    shape = [int(n) for n in rng.integers(SMALLEST, LARGEST + 1, 3)]
    if rng.uniform() < _LONG_SHARE:
        shape[int(rng.integers(3))] = int(rng.integers(*_LONG))
    kind, dtype = (str(rng.choice(names)) for names in (KINDS, DTYPES))
    percent = float(np.exp(rng.uniform(*np.log(LEVELS))))
    told = str(rng.choice(["auto", "level", "level"]))
    clean = _contents((shape[0], shape[1], shape[2]), rng)
    std, std_map, correlation = percent / 100, None, None
    if kind == "varying":
        std_map = std * (1 + 2 * smooth_field(clean.shape, rng))
        data = clean + std_map * rng.standard_normal(clean.shape)
    elif kind == "correlated":
        unit, _, correlation = unit_coloured(clean.shape, float(rng.uniform(0.3, 1.2)), rng)
        data = clean + std * unit
    elif kind in ("rician", "chi"):
        coils = 1 if kind == "rician" else 4
        parts = rng.standard_normal((2 * coils, *clean.shape)) * std
        parts[0] += clean
        data = np.sqrt((parts**2).sum(axis=0))
    else:
        data = clean + std * rng.standard_normal(clean.shape)
    lower = 0.0 if kind in ("rician", "chi") else float(rng.uniform(-1, 1))
    scale = {"uint8": 150.0}.get(dtype, float(np.exp(rng.uniform(np.log(200), np.log(8000)))))
    values = (data + lower) * scale
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    spacing = np.exp(rng.uniform(np.log(0.4), np.log(5.0), 3))
    affine = np.eye(4)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    volume = Volume(values.astype(dtype), affine)
    return Drawn(
        seed, volume, clean, kind, told, std * scale, None if std_map is None else std_map * scale, correlation
    )


def _contents(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Blobs with edges on a background, 0 to 1."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), float(rng.uniform(1.5, 4)))
    levels = np.digitize(smooth, np.quantile(smooth, (0.3, 0.6, 0.85)))
    return np.array([0.0, 0.4, 0.7, 1.0])[levels]


def run_case(drawn: Drawn, prior: Prior, threads: int | None, tiles: bool = True) -> Outcome:
    """Denoise it, look at the output, and where it can be cut (and `tiles`) hold the tiles against the whole."""
    try:
        return _checked(drawn, prior, threads, tiles)
    except MedidiffError as error:
        return Outcome("refused", f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001  whatever is not an error of medidiff's own is the finding
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome("failed", f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")


def _checked(drawn: Drawn, prior: Prior, threads: int | None, tiles: bool) -> Outcome:
    import medidiff

    volume = drawn.volume
    result = medidiff.denoise(volume, prior, noise="auto" if drawn.told == "auto" else known(drawn), threads=threads)
    output = result.output
    for name, part in (("output", output), ("uncertainty", result.uncertainty), ("noise map", result.noise_map)):
        if part is None:
            if name == "output" or not result.status.startswith("unchanged"):
                return Outcome("failed", f"no {name}")
            continue
        if part.shape != volume.shape or not np.array_equal(part.affine_ras, volume.affine_ras):
            return Outcome("failed", f"{name}: another grid, {part.shape}")
        if not np.isfinite(part.data).all():
            return Outcome("failed", f"{name}: not finite in {np.count_nonzero(~np.isfinite(part.data))} voxels")
    rms = tile_difference(drawn, prior, threads) if tiles and max(volume.shape) >= _LONG[0] else None
    if rms is not None and rms > MOST_DIFFERENCE:
        return Outcome("failed", f"tiles differ from the whole by {rms:.2%} of sigma", result.status, rms)
    return Outcome("done", "", result.status, rms)


def known(drawn: Drawn) -> Any:
    """Everything there is to tell."""
    from medidiff.tasks.known_noise import WHITE, KnownNoise

    kind = drawn.kind if drawn.kind in ("rician", "chi") else "gaussian"
    level = drawn.std if drawn.std_map is None else drawn.std_map.astype(np.float32)
    coils = 4 if kind == "chi" else 1
    return KnownNoise(kind, level, drawn.correlation or WHITE, coils)  # type: ignore[arg-type]


def tile_difference(drawn: Drawn, prior: Prior, threads: int | None) -> float | None:
    """Root mean square difference over sigma of the smallest tiles and the whole; None where nothing can be cut."""
    import medidiff

    def run(max_gb: float | None) -> Any:
        return medidiff.denoise(drawn.volume, prior, noise=known(drawn), shifts=1, max_gb=max_gb, threads=threads)

    whole = run(None)
    if whole.status.startswith("unchanged"):
        return None
    budget = 1e-3
    for _ in range(40):  # the smallest memory that is not refused asks for the smallest tiles
        try:
            cut = run(budget)
        except MemoryLimitError:
            budget *= 1.2
            continue
        if tuple(cut.provenance["tile"]) == tuple(whole.provenance["tile"]):
            return None
        std = drawn.std if drawn.std_map is None else float(np.sqrt(np.mean(drawn.std_map**2)))
        difference = cut.output.data.astype(np.float64) - whole.output.data
        return float(np.sqrt(np.mean(difference**2)) / std)
    return None


def summary(outcomes: dict[int, Outcome], seconds: float, args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Counts and the worst figures, as text and as a record."""
    states = collections.Counter(o.state for o in outcomes.values())
    statuses = collections.Counter(o.status.partition(":")[0] for o in outcomes.values() if o.status)
    refusals = collections.Counter(o.why.partition(":")[0] for o in outcomes.values() if o.state == "refused")
    rms = {seed: o.tile_rms for seed, o in outcomes.items() if o.tile_rms is not None}
    worst = max(rms, key=lambda s: rms[s]) if rms else None
    report: dict[str, Any] = {
        "command": "python -m benchmarks.random_cases " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "prior": args.prior,
        "cases": len(outcomes),
        "seconds": seconds,
        "failed": states["failed"],
        "states": dict(states),
        "statuses": dict(statuses),
        "refusals": dict(refusals),
        "cut_in_tiles": len(rms),
        "worst_tile_rms_over_sigma": rms[worst] if worst is not None else None,
        "worst_tile_seed": worst,
        "median_tile_rms_over_sigma": float(np.median(list(rms.values()))) if rms else None,
        "failures": {seed: o.why for seed, o in outcomes.items() if o.state == "failed"},
    }
    listed = {k: ", ".join(f"{n} {v}" for n, v in report[k].items()) or "none" for k in ("statuses", "refusals")}
    tiles = "none was cut in tiles"
    if worst is not None:
        tiles = (
            f"{len(rms)} were cut in tiles (one shift): they differ from the whole by "
            f"{np.median(list(rms.values())):.2%} of sigma rms in the median, at most {rms[worst]:.2%} (seed {worst}; "
            f"at most {MOST_DIFFERENCE:.0%} is asked)"
        )
    lines = [
        "# Random cases",
        "",
        f"`{report['command'].strip()}`, {report['date']}, prior `{args.prior}`: {len(outcomes)} scans of random shape "
        f"({SMALLEST} to {LARGEST} voxels, a quarter with one axis of {_LONG[0]} to {_LONG[1] - 1}), spacing, "
        f"orientation, type ({', '.join(DTYPES)}), level ({LEVELS[0]:g} to {LEVELS[1]:g}% of the range) and kind "
        f"({', '.join(KINDS)}), a third of them blind, {seconds / 60:.1f} minutes.",
        "",
        f"- done {states['done']} ({listed['statuses']}): output, uncertainty and noise map finite, on the scan's grid",
        f"- refused with a message {states['refused']} ({listed['refusals']})",
        f"- failed {states['failed']}",
        f"- {tiles}",
    ]
    lines += [f"  - seed {seed}: {why}" for seed, why in report["failures"].items()]
    return "\n".join(lines) + "\n", report


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_cases", description=__doc__)
    add = parser.add_argument
    add("--count", type=int, default=1000, help="number of cases")
    add("--first", type=int, default=0, help="first seed; --first N --count 1 repeats case N")
    add("--prior", default="general", help="a shipped prior's name or a .safetensors file")
    add("--threads", type=int, help="processor threads")
    add("--verbose", action="store_true", help="print refusals too")
    add("--output", type=Path, help="path without ending; .json and .md are written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
