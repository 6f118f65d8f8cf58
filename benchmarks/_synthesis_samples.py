"""Samples of a prior of ours, made once and kept: any part may be interrupted and goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._synthesis_data import Pairs, made_pairs, read_made, real_pairs
from benchmarks._synthesis_settings import Settings, key
from medidiff.prior import Prior

_CHUNK = 25


@dataclass(frozen=True)
class Made:
    """Samples and what one cost."""

    pairs: Pairs
    nfe: float
    seconds: float
    """Of the processor, a sample."""
    draws: float = 1.0
    """Draws of a sample, those thrown away among them."""


def our_pairs(
    settings: Settings,
    prior: str,
    count: int,
    *,
    steps: int | None = None,
    seed: int = 1,
    volumes: np.ndarray | None = None,
    guided: bool = True,
    checked: bool = False,
) -> Made:
    """Pairs of a prior; volumes are asked for as they occur among the train scans.

    Sample i is the same whatever the number of samples; the first ones of a larger set are the smaller set.

    Args:
        settings: Where samples are kept, and the volumes' cohort.
        prior: Name or file.
        count: Samples.
        steps: Of the sampler; None: `settings.sample_steps`.
        seed: Of the samples.
        volumes: What is asked for is drawn from these, ml; None: those of all train scans.
        guided: As the prior's card advises; False: not.
        checked: Draw again, as `medidiff synth` does, where a draw is not kept.
    """
    if settings.samples is not None and prior == settings.prior and steps is None:
        pairs = read_made(settings.samples)
        return Made(pairs.take(slice(0, count)), float("nan"), float("nan"))
    from medidiff.synthesis.checks import default_checks, problems
    from medidiff.synthesis.request import SetRequest
    from medidiff.tasks.guidance import Guidance, advised
    from medidiff.tasks.measured import VOLUME, measure
    from medidiff.tasks.sample_maker import SampleMaker

    loaded, steps = Prior.load(prior), steps or settings.sample_steps
    volumes = real_pairs(settings.store, "train").volume_ml if volumes is None else volumes
    slots = loaded.card.conditions.continuous
    other = [word for word, said in (("unguided", not guided), ("checked", checked)) if said]
    folder = settings.folder("samples", key(loaded.content_hash, steps, seed, volumes, *other))
    guidance = Guidance(*advised(loaded.card, None, None, asked=guided and VOLUME in slots))
    maker = SampleMaker(loaded, seed=seed, n_steps=steps, guidance=guidance, device="cpu", threads=1)
    checks, attempts = default_checks(loaded.card), SetRequest.max_attempts if checked else 1

    def draw(index: int) -> dict[str, np.ndarray]:
        before, asked = time.process_time(), _volume(volumes, slots.get(VOLUME), seed, index)
        conditions, attempt = {} if np.isnan(asked) else {VOLUME: asked}, 0
        sample = maker.make(index, conditions=conditions)
        while attempt + 1 < attempts and problems(sample, measure(sample.mask, maker.voxel_mm3), checks):
            attempt += 1
            sample = maker.make(index, attempt, conditions=conditions)
        return {
            "image": sample.image.astype(np.float16),
            "mask": np.zeros(sample.image.shape, np.uint8) if sample.mask is None else sample.mask,
            "volume_ml": np.array(asked),
            "draws": np.array(attempt + 1),
            "nfe": np.array(sample.nfe),
            "seconds": np.array(time.process_time() - before),
        }

    found = kept_samples(folder, count, draw)
    mask = found["mask"] if found["mask"].any() else None
    pairs = made_pairs(found["image"], mask, found["volume_ml"])
    return Made(pairs, *(float(found[name].mean()) for name in ("nfe", "seconds", "draws")))


def kept_samples(folder: Path, count: int, draw: Callable[[int], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Samples 0 to count - 1, each an array by name; what was drawn before is read, 25 to a file.

    Args:
        folder: Of these samples alone.
        count: How many.
        draw: Makes sample i.
    """
    chunks = []
    for first in range(0, count, _CHUNK):
        size, path = min(_CHUNK, count - first), folder / f"{first:05d}.npz"
        stored = _stored(path)
        have = len(next(iter(stored.values()))) if stored else 0
        if have < size:
            drawn = [draw(first + i) for i in range(have, size)]
            fresh = {name: np.stack([sample[name] for sample in drawn]) for name in drawn[0]}
            stored = {n: np.concatenate([stored[n], fresh[n]]) for n in fresh} if stored else fresh
            partial = path.with_name(f"{path.stem}.partial.npz")
            np.savez_compressed(partial, **stored)  # pyright: ignore[reportArgumentType]
            partial.replace(path)
        chunks.append({name: array[:size] for name, array in stored.items()} if stored else {})
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _stored(path: Path) -> dict[str, np.ndarray] | None:
    if not path.is_file():
        return None
    with np.load(path) as found:
        return dict(found)


def _volume(volumes: np.ndarray, slot: object, seed: int, index: int) -> float:
    """A train scan's volume, a function of (seed, index); nan where the prior has no such condition."""
    if slot is None:
        return float("nan")
    chosen = float(np.random.default_rng([seed, index]).choice(volumes))
    return float(np.clip(chosen, slot.low, slot.high))  # type: ignore[attr-defined]
