"""How well the noise of a scan is found blindly: `python -m benchmarks.blind`, on the val items.

For each kind and level of noise: level found over true (typical level for a varying one), first by `estimate_noise`
alone and then refined by the prior; the share of scans within 10%; and the PSNR lost in one evaluation against being
told the true level, map and correlation. `--starts` judges the refinement alone, from estimates that are wrong by known
factors. `--split train` uses phantoms of seeds below 100 000, on which the constants of `medidiff/tasks/blind.py` were
chosen.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import _cases
from medidiff.diffusion.colour import colour, correlations, gaussian_power
from medidiff.evaluate import psnr
from medidiff.intensity import Normalisation
from medidiff.nets.embedding import NOISE_CORRELATION
from medidiff.noise import NoiseEstimate, add_rician, estimate_noise, stabilise
from medidiff.prior import Denoiser, Prior
from medidiff.tasks.blind import refine_noise

KINDS = ("gaussian", "rician", "correlated-0.6", "correlated-0.8", "correlated-1.0", "varying")
LEVELS = (1.0, 3.0, 5.0, 9.0, 15.0)
TRAIN_SEED = 70_000


class Noisy(NamedTuple):
    """A scan with known noise, in its own unit; `truth` is a `NoiseEstimate` that is right."""

    clean: np.ndarray
    data: np.ndarray
    truth: NoiseEstimate


def corrupt(case: _cases.Case, kind: str, percent: float) -> Noisy:
    """The case with noise of that kind; the same case, kind and level give the same bits."""
    key = int.from_bytes(hashlib.sha256(f"{case.name} {kind} {percent:g}".encode()).digest()[:8], "little")
    rng = np.random.default_rng([_cases.SEED, key])
    clean = np.asarray(case.clean.data, dtype=np.float32)
    level = case.noise_std(percent)
    truth = NoiseEstimate(level, "gaussian", "known", white=True)
    if kind == "rician":
        clean = clean - min(float(clean.min()), 0.0)
        return Noisy(clean, add_rician(clean, level, rng), replace(truth, kind="rician"))
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    if kind == "varying":
        shape = smooth_map(clean.shape, rng)
        return Noisy(clean, clean + level * shape * noise, replace(truth, level_map=level * shape))
    if kind.startswith("correlated"):
        width = float(kind.partition("-")[2])
        size = (clean.shape[0], clean.shape[1], clean.shape[2])
        power = gaussian_power(size, (width, width, 0.0))
        noise = colour(torch.from_numpy(noise), power).numpy()
        near = correlations(power, size).tolist()
        truth = replace(truth, white=False, correlation=tuple(near))
    return Noisy(clean, clean + level * noise, truth)


def smooth_map(shape: tuple[int, ...], rng: np.random.Generator, most: float = 3.0) -> np.ndarray:
    """A level from 1 to `most` times the least, median 1: a slope and a slow wave."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    slope = rng.standard_normal(3)
    field = sum(a * s for a, s in zip(axes, slope / np.linalg.norm(slope), strict=True))
    field = field + 0.5 * np.cos(2 * axes[rng.integers(3)] + rng.uniform(0, 6))
    field = most ** ((field - field.min()) / np.ptp(field))
    return (field / np.median(field)).astype(np.float32)


def even(noisy: Noisy, estimate: NoiseEstimate) -> np.ndarray:
    """The scan with its variance made constant, where it is Rician."""
    return stabilise(noisy.data, estimate.level) if estimate.kind == "rician" else noisy.data


def found_psnr(noisy: Noisy, estimate: NoiseEstimate, denoiser: Denoiser, told: bool, case: _cases.Case) -> float:
    """PSNR of one evaluation, told this noise; in the stabilised scan's unit, without the Rician inverse."""
    scan = even(noisy, estimate)
    normalisation = Normalisation.fit(scan)
    level = estimate.level if estimate.level_map is None else estimate.level_map
    sigma = torch.as_tensor(normalisation.noise_forward(level), dtype=torch.float32)
    cond = {NOISE_CORRELATION: torch.tensor([estimate.correlation])} if told else None
    y = torch.from_numpy(normalisation.forward(scan).astype(np.float32))[None, None]
    out = denoiser(y, sigma if sigma.ndim == 0 else sigma[None, None], case.clean.spacing_mm, cond)
    clean = normalisation.inverse(out.mean[0, 0].cpu().numpy())
    if estimate.kind == "rician":
        from medidiff.noise import unstabilise

        clean = unstabilise(clean, estimate.level)
    return psnr(noisy.clean, clean, case.data_range)


def refined(
    noisy: Noisy, start: NoiseEstimate, denoiser: Denoiser, told: bool, case: _cases.Case
) -> tuple[NoiseEstimate, float]:
    """`start` refined by the prior, as `denoise --noise auto` does it, and the work in evaluations of the scan."""
    scan = even(noisy, start)
    normalisation = Normalisation.fit(scan)
    y = torch.from_numpy(normalisation.forward(scan).astype(np.float32))[None, None]
    level = start.level if start.level_map is None else start.level_map
    sigma = torch.as_tensor(normalisation.noise_forward(level), dtype=torch.float32)
    sigma = sigma if sigma.ndim == 0 else sigma[None, None]
    found = refine_noise(denoiser, y, sigma, start.correlation if told else None, case.clean.spacing_mm)
    if not found.trusted:
        return replace(start, trusted=False), found.nfe
    level_map = found.sigma[0, 0].numpy() * normalisation.scale if found.sigma.ndim else None
    level = float(np.median(level_map)) if level_map is not None else float(found.sigma) * normalisation.scale
    low, high = found.interval
    correlation = found.correlation or start.correlation
    return replace(
        start,
        level=level,
        level_map=level_map,
        interval=(level * low, level * high),
        correlation=correlation,  # type: ignore[arg-type]
    ), found.nfe


def measure(case: _cases.Case, kind: str, percent: float, args: argparse.Namespace, prior: Prior) -> list[dict]:
    """Rows of one noisy scan: one for the first estimate, or one for each wrong start."""
    denoiser, told = prior.denoiser("cpu", args.precision), prior.card.network.noise_correlation
    noisy = corrupt(case, kind, percent)
    starts: list[tuple[str, NoiseEstimate]] = []
    for factor in args.starts:
        level_map = noisy.truth.level_map
        wrong = replace(
            noisy.truth,
            level=noisy.truth.level * factor,
            level_map=None if level_map is None else level_map * np.float32(factor),
        )
        starts.append((f"{factor:g} x", wrong))
    if not starts:
        starts.append(("estimate", estimate_noise(noisy.data)))
    rows = []
    for name, start in starts:
        end, nfe = refined(noisy, start, denoiser, told, case)
        row: dict[str, Any] = {"kind": kind, "level": percent, "set": case.set_name, "start": name, "nfe": nfe}
        row |= {"first": start.level / noisy.truth.level, "found": end.level / noisy.truth.level}
        row |= {"trusted": end.trusted, "colour_first": _far(start, noisy.truth), "colour": _far(end, noisy.truth)}
        row["covered"] = end.interval[0] <= noisy.truth.level <= end.interval[1]
        if args.psnr:
            known = found_psnr(noisy, noisy.truth, denoiser, told, case)
            row["lost_first"] = known - found_psnr(noisy, start, denoiser, told, case)
            row["lost"] = known - found_psnr(noisy, end, denoiser, told, case)
        rows.append(row)
    return rows


def _far(estimate: NoiseEstimate, truth: NoiseEstimate) -> float:
    """Largest error of the six correlations."""
    return max(abs(a - b) for a, b in zip(estimate.correlation, truth.correlation, strict=True))


def table(rows: list[dict], keys: tuple[str, ...]) -> str:
    """Markdown, one line for each group of `keys`."""
    columns = ["first/true", "found/true", "first within 10%", "found within 10%", "trusted", "in interval"]
    columns += ["colour error first", "found", "lost first, dB", "lost, dB", "work"]
    lines = ["| " + " | ".join([*keys, "n", *columns]) + " |", "|" + "---|" * (len(keys) + 1 + len(columns))]
    for group in dict.fromkeys(tuple(r[k] for k in keys) for r in rows):
        own = [r for r in rows if tuple(r[k] for k in keys) == group]

        def column(name: str, own: list[dict] = own) -> np.ndarray:
            return np.array([r.get(name, np.nan) for r in own], dtype=float)

        first, found = column("first"), column("found")
        cells = [
            *(str(g) for g in group),
            str(len(own)),
            f"{np.median(first):.3f}",
            f"{np.median(found):.3f} ({found.min():.2f} to {found.max():.2f})",
            *(f"{100 * np.mean(np.abs(x - 1) <= 0.1):.0f}%" for x in (first, found)),
            f"{100 * column('trusted').mean():.0f}%",
            f"{100 * column('covered')[column('trusted') > 0].mean():.0f}%" if column("trusted").any() else "",
            *(f"{column(x).mean():.2f}" for x in ("colour_first", "colour", "lost_first", "lost", "nfe")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blind", description=__doc__)
    parser.add_argument("--prior", default="general", help="name or file of the prior")
    parser.add_argument("--precision", default="auto", help="auto, bf16 or float32")
    parser.add_argument("--sets", nargs="+", default=["head", "body", "procedural"])
    parser.add_argument("--split", choices=("val", "train"), default="val", help="train: phantoms only")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), help=f"among {', '.join(KINDS)}")
    parser.add_argument("--levels", type=float, nargs="+", default=list(LEVELS), help="percent of the range")
    parser.add_argument("--starts", type=float, nargs="*", default=[], help="wrong by these factors; none: estimated")
    parser.add_argument("--limit", type=int, help="scans a set")
    parser.add_argument("--psnr", action="store_true", help="also what it costs in PSNR")
    args = parser.parse_args()
    _cases.PHANTOM_SEEDS["train"] = TRAIN_SEED
    prior = Prior.load(args.prior)
    cases = [case for name in args.sets for case in _cases.load_cases(name, args.split, args.limit)]
    rows: list[dict] = []
    for kind in args.kinds:
        for level in args.levels:
            rows += [row for case in cases for row in measure(case, kind, level, args, prior)]
        print(table([r for r in rows if r["kind"] == kind], ("kind", "level", "start")), "\n", flush=True)
    print(table(rows, ("kind", "start")))


if __name__ == "__main__":
    main()
