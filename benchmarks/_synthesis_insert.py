"""Insertion: what changes outside the region, and whether its border can be seen. A part of `benchmarks.synthesis`.

Hippocampi of val patients, redrawn small inside their surroundings; tumours of sarcoma patients (of train: the set has
no val), redrawn in their masks, and balls of healthy tissue. The border is compared with the real scan's there.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks._synthesis_settings import ROOT, Settings
from medidiff.errors import PriorError
from medidiff.evaluate.seam import seam_ratio
from medidiff.io import read_nifti
from medidiff.prior import Prior
from medidiff.tasks.condition_request import ConditionPlan, parse_requests
from medidiff.tasks.insert import insert
from medidiff.tasks.spot import ball_at
from medidiff.volume import Volume

DATA = ROOT.parent / "shared" / "data"
AROUND = 2
"""Voxels around a hippocampus that may change with it."""
TUMOURS = ("STS_019", "STS_025", "STS_002")
"""The smallest of the train patients."""
BALL_MM = 30.0
SEAM_WITHIN = 0.15
"""The border's ratio may differ from the real one's by so much in the median, of priors that were trained to sample."""
Case = tuple[str, str, Volume, np.ndarray]


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Insert, measure, tell.

    Args:
        quick: One scan of each kind and few steps.
        settings: Which priors; `extra["ct_prior"]` is that of the CT, `extra["data"]` the folder of the scans.
    """
    settings = settings or Settings()
    data, steps = Path(settings.extra.get("data", DATA)), 3 if quick else 20
    jobs = [(settings.prior, _hippocampi(data, 1 if quick else 12), ["volume_ml=p0:p5"])]
    jobs.append(
        (settings.extra.get("ct_prior", "general"), _tumours(data, 1 if quick else len(TUMOURS)), ["kind=body_ct"])
    )
    rows, missing = [], []
    for name, cases, wanted in jobs:
        try:
            prior = Prior.load(name)
        except PriorError as error:
            missing.append(str(error))
            continue
        plan = _plan(prior, wanted)
        rows += [_row(prior, plan, case, number, steps) for number, case in enumerate(cases)]
    return _told(rows, missing)


def _hippocampi(data: Path, count: int) -> Iterator[Case]:
    folder = data / "hippocampus"
    with (folder / "participants.tsv").open() as file:
        names = [row["case"] for row in csv.DictReader(file, delimiter="\t") if row["split"] == "val"]
    for name in names[:count]:
        labels = read_nifti(folder / "labels" / f"{name}.nii.gz").data > 0
        yield "hippocampus", name, read_nifti(folder / "images" / f"{name}.nii.gz"), _grown(labels)


def _tumours(data: Path, count: int) -> Iterator[Case]:
    for name in TUMOURS[:count]:
        scan = replace(read_nifti(data / "sarcoma" / name / "CT_image.nii.gz"), modality="CT")
        tumour = read_nifti(data / "sarcoma" / name / "CT_mask.nii.gz").data > 0
        yield "tumour, CT", name, scan, tumour
        yield "healthy ball, CT", name, scan, _healthy(scan, tumour)


def _grown(region: np.ndarray) -> np.ndarray:
    return ndimage.binary_dilation(region, iterations=AROUND)


def _healthy(scan: Volume, tumour: np.ndarray) -> np.ndarray:
    """A ball in soft tissue: where there is most of it around, and no tumour."""
    soft = (scan.data > 0) & (scan.data < 150)
    smooth = ndimage.gaussian_filter(soft.astype(np.float32), [BALL_MM / 3 / s for s in scan.spacing_mm])
    away = ndimage.distance_transform_edt(~tumour, sampling=scan.spacing_mm)
    inner = np.zeros(scan.shape, dtype=bool)
    margin = [int(np.ceil(BALL_MM / 2 / s)) for s in scan.spacing_mm]
    inner[tuple(slice(m, n - m) for m, n in zip(margin, scan.shape, strict=True))] = True
    score = np.where(inner & (away > BALL_MM / 2 + 5), smooth, -1)  # type: ignore[operator]
    centre = np.unravel_index(int(np.argmax(score)), scan.shape)
    return ball_at(scan, BALL_MM, at_voxel=[float(v) for v in centre]).data


def _plan(prior: Prior, wanted: list[str]) -> ConditionPlan:
    """The conditions among those wanted that the prior has."""
    slots = prior.card.conditions
    has = [text for text in wanted if text.partition("=")[0] in {*slots.categorical, *slots.continuous}]
    return parse_requests(slots, has)


def _row(prior: Prior, plan: ConditionPlan, case: Case, number: int, steps: int) -> dict[str, Any]:
    kind, name, scan, region = case
    mask = scan.with_data(region)
    begun = time.perf_counter()
    pasted = insert(scan, mask, prior, conditions=plan, seed=number, n_steps=steps)
    seconds = time.perf_counter() - begun
    whole = insert(scan, mask, prior, conditions=plan, seed=number, n_steps=steps, paste=False)
    noise = float(pasted.figures["noise_std"])
    span = float(np.subtract(*np.percentile(scan.data, [99.5, 0.5])))
    bare = np.where(region, whole.output.data, scan.data)
    label = pasted.masks[0].data > 0
    return {
        "kind": kind,
        "case": name,
        "prior": prior.card.name,
        "trained_to": prior.card.task,
        "asked": pasted.figures["conditions"][0],
        "region_ml": pasted.figures["region_ml"],
        "label_ml": float(label.sum() * np.prod(scan.spacing_mm) / 1000),
        "noise_share_of_range": noise / span,
        "change_outside_pasted": pasted.figures["rms_change_outside"] / noise,
        "change_outside_whole": whole.figures["rms_change_outside"] / noise,
        "seam_real": seam_ratio(scan.data, region),
        "seam_inserted": seam_ratio(pasted.output.data, region),
        "seam_without_noise": seam_ratio(bare, region),
        "evaluations": pasted.nfe,
        "seconds": seconds,
    }


def _told(rows: list[dict[str, Any]], missing: list[str]) -> dict[str, Any]:
    lines = [
        "| region | scans | change outside / noise: pasted, whole | seam: real | inserted | without own noise | s |",
        "|---|---|---|---|---|---|---|",
    ]
    figures: dict[str, Any] = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of = [row for row in rows if row["kind"] == kind]
        middle = {key: float(np.median([row[key] for row in of])) for key in of[0] if isinstance(of[0][key], float)}
        worst = {key: float(max(row[key] for row in of)) for key in ("change_outside_pasted", "change_outside_whole")}
        figures[kind] = {"scans": len(of), "median": middle, "worst": worst}
        lines.append(
            f"| {kind} | {len(of)} | {worst['change_outside_pasted']:.2g}, {middle['change_outside_whole']:.2f} "
            f"(worst {worst['change_outside_whole']:.2f}) | {middle['seam_real']:.2f} | "
            f"{middle['seam_inserted']:.2f} | {middle['seam_without_noise']:.2f} | {middle['seconds']:.1f} |"
        )
    unchanged = all(row["change_outside_pasted"] == 0 for row in rows)
    below = all(one["median"]["change_outside_whole"] <= 1 for one in figures.values())
    samplers = {row["kind"] for row in rows if row["trained_to"] == "sample"}
    ratios = [figures[kind]["median"]["seam_inserted"] / figures[kind]["median"]["seam_real"] for kind in samplers]
    unseen = bool(ratios) and all(abs(ratio - 1) <= SEAM_WITHIN for ratio in ratios)
    lines += ["", *(f"Not run: {text}" for text in missing)]
    holds = bool(rows) and not missing and unchanged and below and unseen
    figures["claims"] = {"pasted_changes_nothing": unchanged, "whole_below_noise": below, "seam_as_real": unseen}
    return {"rows": rows, "figures": figures, "holds": holds, "lines": lines}
