"""A condition put into a scan: one region is sampled anew to fit what is asked for and what is around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medidiff.errors import PriorError, UsageError
from medidiff.io.hashing import hash_array
from medidiff.io.quantise import nearest_storable
from medidiff.prior import Prior
from medidiff.result import Result
from medidiff.tasks.condition_request import ConditionPlan, stream
from medidiff.tasks.conditions import Value, encode_conditions
from medidiff.tasks.draw_sample import check_steps, draw_sample
from medidiff.tasks.grids import keep_unmeasured
from medidiff.tasks.guidance import Guidance
from medidiff.tasks.inpaint import generation_warnings, hole_of, observe_around
from medidiff.tasks.known_noise import NoiseKind
from medidiff.tasks.measured import MEASURABLE, TOLERANCE, VOLUME, measure, missed
from medidiff.tasks.observation import Observation
from medidiff.tasks.remeasure import continued, remeasured
from medidiff.tasks.session import Session
from medidiff.volume import Volume

AROUND = 32
"""Voxels around the region that the prior sees when only the region is to change: what it can see, and twice as far as
tiles of a scan need (`tiling.MARGIN`)."""


def insert(
    volume: Volume,
    region: Volume,
    prior: Prior | str | Path,
    *,
    conditions: ConditionPlan | Mapping[str, Value] | None = None,
    noise: NoiseKind | str = "auto",
    noise_std: float | Volume | None = None,
    paste: bool = True,
    samples: int = 1,
    seed: int = 0,
    n_steps: int = 20,
    guidance: Guidance | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    max_gb: float | None = None,
) -> Result:
    """Sample a region anew: a posterior sample whose noise level is infinite in the region, the scan's own elsewhere.

    With `paste` nothing outside the region changes, and the region gets noise that goes on from what is around it (of
    a magnitude: noise of the level that was found). Without it the whole sample is returned: one plausible clean scan,
    which outside the region differs from the scan by about its noise.

    Args:
        volume: Scan; what it holds inside the region is ignored.
        region: On the scan's grid; nonzero where content may change (`tasks.spot.ball_at` makes a ball).
        prior: Trained denoiser with an image channel, its name, or its file. Its mask channels are sampled with it.
        conditions: What the region shall show: drawn by a plan for each sample, or the same for all.
        noise: Kind of noise outside the region: gaussian, rician or auto.
        noise_std: Its level, number or map, in the scan's unit. None estimates it.
        paste: Put what was observed back, voxel by voxel.
        samples: How many to draw. The first is the output; with more than one all of them are in `samples`.
        seed: Of the samples; sample i depends on the seed and i only.
        n_steps: Steps of the sampler.
        guidance: How strongly the conditions are followed.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto (measured), bf16 or float32.
        threads: Processor threads; None keeps PyTorch's number.
        max_gb: Memory (10^9 bytes) one evaluation may take.

    Returns:
        Result with the changed scan and, in `masks`, a label map of every sample (uint8): what the prior's mask
        channels show inside the region, or the region itself where it has none.

    Raises:
        InputError: The scan is not usable, or the region is empty or covers everything.
        GeometryError: The region lies on another grid.
        UsageError: A condition that the prior does not know, or a setting that is not acceptable.
        PriorError: The prior is missing or refused, or has no image channel.
    """
    check_steps(n_steps, samples)
    if samples < 1:
        raise UsageError(f"--samples {samples}: must be 1 or more.")
    volume.check()
    inside = hole_of(volume, region)
    session = Session(
        prior, volume.spacing_mm, device=device, precision=precision, threads=threads, max_gb=max_gb, seed=seed
    )
    card = session.card
    if "image" not in card.channels:
        raise PriorError(f"prior {card.name}: has no image channel, so it cannot change a scan. Give another.")
    if guidance is not None:
        guidance.check(session.prior)
    plan = conditions if isinstance(conditions, ConditionPlan) else None
    fixed = dict(conditions) if isinstance(conditions, Mapping) else {}
    encode_conditions(card.conditions, fixed)
    with session:
        seen = observe_around(session, volume, inside, noise, noise_std, correlated="auto")
        session.check_level(seen.sigma)
        work = _Work(session, volume, inside, seen, paste)
        asked = [plan.draw(seed, i) if plan is not None else fixed for i in range(samples)]
        made = [work.make(i, values, n_steps, guidance) for i, values in enumerate(asked)]
        noise_map = volume.with_data(np.where(inside, np.inf, seen.level_map()).astype(np.float32))
    output, beyond = made[0].image, [plan.extrapolated(values) if plan is not None else [] for values in asked]
    voxel_mm3 = abs(float(np.linalg.det(volume.affine_ras[:3, :3])))
    got = [measure(one.label.data if card.masks else None, voxel_mm3) for one in made]
    figures = {
        **seen.figures,
        "inserted_voxels": int(inside.sum()),
        "region_ml": measure(inside, voxel_mm3)[VOLUME],
        "measured": got,
        "observed_voxels_kept": paste,
        "rms_change_outside": _rms((output.data.astype(np.float64) - volume.data)[~inside]),
        "conditions": asked,
        "labels": [sorted(int(v) for v in np.unique(one.label.data) if v) for one in made],
    }
    settings: dict[str, Any] = {
        "noise": noise,
        "noise_std": seen.figures["noise_std"] if noise_std is not None else None,
        "paste": paste,
        "samples": samples,
        "n_steps": n_steps,
        "max_gb": max_gb,
        "conditions": plan.settings() if plan is not None else {"conditions": fixed},
        "guidance": None if guidance is None else guidance.settings(),
    }
    return Result(
        task="insert",
        status="inserted",
        output=output,
        residual=volume.with_data(volume.data.astype(np.float32) - output.data.astype(np.float32)),
        noise_map=noise_map,
        uncertainty=made[0].uncertainty,
        samples=[one.image for one in made] if samples > 1 else [],
        masks=[one.label for one in made],
        nfe=session.nfe,
        seconds=session.seconds,
        peak_memory_mib=session.peak_memory_mib,
        warnings=[
            *session.warnings,
            *seen.warnings,
            *generation_warnings(session.prior),
            *(plan.notes if plan is not None else ()),
            *beyond_warnings(beyond),
            *_not_reached(asked, got),
        ],
        provenance=session.provenance(
            settings,
            input_data_sha256=hash_array(volume.data),
            input_name=volume.name,
            region_data_sha256=hash_array(inside),
            synthetic_content="inside the region: sampled from the prior, not observed",
            output_licence=card.output_licence,
        ),
        figures=figures,
    )


def _not_reached(asked: list[dict[str, Value]], got: list[dict[str, float]]) -> list[str]:
    """What to know where a label map does not show what was asked for."""
    told = []
    for i, (wanted, measured) in enumerate(zip(asked, got, strict=True)):
        for name, value, found in missed(wanted, measured, dict.fromkeys(MEASURABLE, TOLERANCE)):
            told.append(
                f"sample {i + 1}: {name} {value:.3g} was asked for, the label map has {found:.3g}: the surroundings "
                "bind it, or it does not fit the region. Try --samples, another --seed or a larger region."
            )
    return told


def beyond_warnings(beyond: list[list[str]]) -> list[str]:
    """What to know where samples were asked for beyond the trained range."""
    names = sorted({name for one in beyond for name in one})
    return [
        f"{name}: beyond the trained range (--extrapolate): nobody knows what the prior makes there." for name in names
    ]


@dataclass(frozen=True, eq=False)
class _Made:
    image: Volume
    label: Volume
    uncertainty: Volume


class _Work:
    """A scan, its region, and the part of it that the prior works on: all of it, or what lies around the region."""

    def __init__(self, session: Session, volume: Volume, inside: np.ndarray, seen: Observation, paste: bool) -> None:
        self.session, self.volume, self.inside, self.seen, self.paste = session, volume, inside, seen, paste
        self.channels = session.card.channels
        self.image = self.channels.index("image")
        self.box = _around(inside) if paste else tuple(slice(0, n) for n in inside.shape)
        session.know_body_of(volume.affine_ras, seen.y, [part.start for part in self.box])
        level = np.broadcast_to(np.asarray(seen.sigma, dtype=np.float32), inside.shape)
        shape = (1, len(self.channels), *inside[self.box].shape)
        self.y, self.levels = torch.zeros(shape), torch.full(shape, torch.inf)
        self.y[0, self.image] = torch.from_numpy(np.where(inside, 0, seen.y)[self.box].astype(np.float32))
        self.levels[0, self.image] = torch.from_numpy(np.where(inside, np.inf, level)[self.box].astype(np.float32))
        self.y, self.levels = self.y.to(session.device), self.levels.to(session.device)

    def make(self, index: int, values: Mapping[str, Value], n_steps: int, guidance: Guidance | None) -> _Made:
        """Sample number `index`."""
        # A plan was held against the trained ranges when it was made.
        cond = encode_conditions(self.session.card.conditions, values, extrapolate=True)
        x, log_variance = draw_sample(self.session, self.y, self.levels, index, n_steps, cond=cond, guidance=guidance)
        sampled = x[0].float().cpu().numpy()
        clean = self._whole(sampled[self.image], self.seen.y)
        std = self.seen.std_to_scan(clean, self._whole(np.exp(_of(log_variance, self.image) / 2), np.zeros_like(clean)))
        within = np.where(self.inside, std, 0).astype(np.float32) if self.paste else std
        return _Made(self._image(clean, index), self._label(sampled), self.volume.with_data(within))

    def _image(self, clean: np.ndarray, index: int) -> Volume:
        data = self.seen.to_scan(clean)
        if not self.paste:
            return keep_unmeasured(self.volume, data)
        rng = stream(self.session.seed, index, "own noise")
        noisy = self._measured(clean[self.box], data[self.box], rng)
        filled = self.volume.data.astype(np.float32)
        stored = nearest_storable(noisy, self.volume.header)
        filled[self.box] = np.where(self.inside[self.box], stored, filled[self.box])
        return self.volume.with_data(filled)

    def _measured(self, clean: np.ndarray, data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The part that the prior works on, in the scan's unit, with noise like the scan's in the region."""
        known = self.seen.noise
        if known.magnitude:  # whose noise depends on the signal
            return remeasured(
                data, known, known.level[self.box] if isinstance(known.level, np.ndarray) else known.level, rng
            )
        noise = continued(self.seen.y[self.box] - clean, self.inside[self.box], rng)
        return self.seen.to_scan(clean + noise)

    def _label(self, sampled: np.ndarray) -> Volume:
        from medidiff.tasks.sample_maker import label_map

        found = label_map(sampled, self.channels)
        label = np.zeros(self.inside.shape, dtype=np.uint8)
        label[self.box] = 1 if found is None else found
        return self.volume.with_data(np.where(self.inside, label, 0).astype(np.uint8))

    def _whole(self, part: np.ndarray, rest: np.ndarray) -> np.ndarray:
        whole = rest.astype(np.float32, copy=True)
        whole[self.box] = part
        return whole


def _around(inside: np.ndarray) -> tuple[slice, ...]:
    """The region's bounding box and what the prior sees around it."""
    ends = [np.flatnonzero(inside.any(axis=tuple(k for k in range(3) if k != axis))) for axis in range(3)]
    return tuple(
        slice(max(0, int(found[0]) - AROUND), min(n, int(found[-1]) + 1 + AROUND))
        for found, n in zip(ends, inside.shape, strict=True)
    )


def _of(channels: Tensor, number: int) -> np.ndarray:
    return channels[0, number].float().cpu().numpy()


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


__all__ = ["AROUND", "insert"]
