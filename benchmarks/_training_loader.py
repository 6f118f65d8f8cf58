"""Patches a second straight from a store of 512 x 512 x 300 CT volumes, what training takes of them, and the memory.

The volumes are synthetic (a body of blobs with lungs, CT noise that is correlated in the plane, whole HU), written by
`Store.write_scan` into a scratch folder and deleted. Patches are 48^3 as `configs/general.yaml` trains on, with every
augmentation, conditions, balanced draws and the position. The step is that configuration's, on random numbers.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from scipy.ndimage import gaussian_filter, zoom

from medidiff.cohort.augment import Augmentation
from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.manifest import ScanRow
from medidiff.cohort.store import Store, content_hash, scan_id
from medidiff.cohort.store_source import StoreSource, store_cases

SHAPE, SPACING = (512, 512, 300), (0.8, 0.8, 1.5)
PATCH = (48, 48, 48)
CONFIG = Path(__file__).resolve().parents[1] / "configs" / "general.yaml"
TIMES = 10.0
"""How many times what training takes the loader must deliver."""
GROWTH_PERCENT = 1.0
"""Memory is flat if the upper end of its growth over the patches measured is less than this share of it."""


def synthetic_ct(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """A normalised CT (window -1024 to 1500 HU), float16: air, soft tissues of several HU, lungs, noise of 25 HU."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    coarse = gaussian_filter(rng.standard_normal([-(-n // 8) + 1 for n in shape]), 1.5)
    tissue = np.asarray(zoom(coarse, 8, order=1))[tuple(slice(0, n) for n in shape)]
    hu = np.where(tissue > 0, np.float32(60), np.float32(-90))
    hu[np.broadcast_to((np.abs(x) - 0.35) ** 2 / 0.06 + y**2 / 0.1 + z**2 / 0.5 < 1, shape)] = -850
    hu[np.broadcast_to((x / 0.75) ** 2 + (y / 0.55) ** 2 >= 1, shape)] = -1000
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0.7, 0.7, 0.4))
    hu += noise * np.float32(25 / noise[:64, :64, :32].std())
    return (np.clip(np.round(hu), -1024, 1500) / 1262 - (1500 - 1024) / 2 / 1262).astype(np.float16)


def write_store(folder: Path, volumes: int, shape: tuple[int, int, int], chunk: int | None = None) -> Store:
    """A store of train scans, one a patient; about 12 s a volume of full size."""
    store = Store.create(folder, {"benchmark": "loader"})
    store.meta["chunk"] = chunk or store.meta["chunk"]
    rows = []
    for number in range(volumes):
        image = synthetic_ct(shape, number)
        identity = scan_id(image, np.eye(4))
        size = store.write_scan(identity, image)
        affine = np.diag([*SPACING, 1.0])
        rows.append(
            ScanRow(
                scan_id=identity,
                patient=f"p{number}",
                split="train",
                modality="CT",
                shape=shape,
                spacing_mm=SPACING,
                affine_ras=tuple(affine.ravel().tolist()),
                body_low=(shape[0] // 8, shape[1] // 4, 0),
                body_high=(shape[0] * 7 // 8, shape[1] * 3 // 4, shape[2]),
                intensity_scale=1262.0,
                intensity_offset=238.0,
                tau=0.02,
                foreground=0.33,
                content_hash=content_hash(image),
                source=f"{number}",
                bytes=size,
                attributes={"age": 30.0 + 7 * number, "sex": "fm"[number % 2]},
            )
        )
    store.write_manifest(rows, {"age": "continuous", "sex": "categorical"})
    return Store.open(folder)


def data_module(store: Store, workers: int, patches: int, batch: int) -> PatchDataModule:
    """The loader as a run has it."""
    source = StoreSource(name="ct", url=store.url, balance=("sex", "age"))
    more: dict[str, Any] = {"workers": workers, "conditions": ("age", "sex"), "position": True}
    data = PatchDataModule((source,), Path(), Path(), PATCH, batch, patches // batch, Augmentation(), 1, **more)
    data.setup()
    return data


def deliver(store: Store, workers: int, patches: int, batch: int) -> dict[str, Any]:
    """Load patches as fast as they come; the first tenth, in which workers start, is not timed."""
    times, cpu, memory, seen = [], [], [], 0
    for item in data_module(store, workers, patches, batch).train_dataloader():
        seen += len(item["number"])
        times.append(time.perf_counter())
        cpu.append(time.process_time())
        if len(times) % 10 == 0:
            memory.append((seen, rss_mib()))
    start = len(times) // 10
    timed = (len(times) - 1 - start) * batch
    rate, own_ms = timed / (times[-1] - times[start]), 1e3 * (cpu[-1] - cpu[start]) / timed
    row = {"workers": workers, "patches": patches, "patches_per_s": rate, "trainer_cpu_ms": own_ms}
    return row | {"memory": memory[len(memory) // 10 :]}


def rss_mib() -> float:
    """Resident memory of this process and its children."""
    me = psutil.Process()
    total = 0
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def growth(memory: list[tuple[int, float]]) -> dict[str, float]:
    """Slope of memory against patches with its 95% interval, by least squares over ten blocks' means.

    Neighbouring samples are not independent; means over tenths of the run nearly are (t of 8 degrees of freedom: 2.31).
    """
    blocks = np.array_split(np.array(memory), 10)
    x, y = (np.array([block[:, i].mean() for block in blocks]) for i in (0, 1))
    slope, base = np.polyfit(x, y, 1)
    error = np.sqrt(((y - slope * x - base) ** 2).sum() / 8 / ((x - x.mean()) ** 2).sum())
    span = float(x[-1] - x[0])
    peak = max(value for _, value in memory)
    return {
        "growth_mib": float(slope) * span,
        "growth_low_mib": float(slope - 2.31 * error) * span,
        "growth_high_mib": float(slope + 2.31 * error) * span,
        "over_patches": span,
        "peak_mib": peak,
        "mean_mib": float(y.mean()),
    }


def chunk_sizes(folder: Path, shape: tuple[int, int, int], patches: int) -> list[dict[str, float]]:
    """Median CPU milliseconds of a box of 48^3 and of 96^3 out of chunks of several sizes, and what it reads."""
    rows = []
    for chunk in (32, 48, 64):
        store = write_store(folder / f"chunk{chunk}", 1, shape, chunk)
        case = store_cases(StoreSource(name="ct", url=store.url), "train")[0]
        row: dict[str, float] = {"chunk": chunk, "mb": case.row.bytes / 1e6}
        for edge in (48, 96):
            rng, took, voxels = np.random.default_rng(0), [], 0
            for _ in range(patches):
                low = [int(rng.integers(0, n - edge + 1)) for n in shape]
                start = time.process_time()
                case.read((slice(low[0], low[0] + edge), slice(low[1], low[1] + edge), slice(low[2], low[2] + edge)))
                took.append(time.process_time() - start)
                voxels += math.prod((a + edge - 1) // chunk - a // chunk + 1 for a in low) * chunk**3
            row[f"ms_{edge}"] = 1e3 * statistics.median(took)
            row[f"mb_{edge}"] = voxels / patches * row["mb"] / math.prod(shape)
        rows.append(row)
        shutil.rmtree(folder / f"chunk{chunk}")
    return rows


def consumption(store: Store) -> tuple[float, int]:
    """Patches a second that a training step of the configuration takes on two threads, and its batch."""
    from medidiff.training.config import load_config, with_data
    from medidiff.training.measure import measure_step

    config = load_config(CONFIG, ["start_from=null", "network.position=true"])
    data = data_module(store, 0, config.optimiser.batch, config.optimiser.batch)
    took = measure_step(with_data(config, data.slots, 1), data.kinds, 0.5, torch.get_num_threads())
    return config.optimiser.batch / took.step_s, config.optimiser.batch


def _line(row: dict[str, Any]) -> str:
    more = f"{row['growth_mib']:+.1f} ({row['growth_low_mib']:+.1f} to {row['growth_high_mib']:+.1f})"
    rate = f"{row['patches_per_s']:.0f} | {row['times']:.0f} | {row['trainer_cpu_ms']:.1f}"
    return f"| {row['workers']} | {rate} | {row['mean_mib']:.0f}, {row['peak_mib']:.0f} | {more} |"


def run(quick: bool) -> dict[str, Any]:
    """Measure; see the module."""
    shape = (256, 256, 150) if quick else SHAPE
    volumes, patches = (2, 400) if quick else (6, 2000)
    folder = Path(tempfile.mkdtemp(prefix="medidiff-loader-"))
    try:
        started = time.perf_counter()
        store = write_store(folder / "store", volumes, shape)
        wrote = (time.perf_counter() - started) / volumes
        takes, batch = consumption(store)
        rows = [deliver(store, workers, patches, batch) for workers in (0, 1, 2)]
        chunks = chunk_sizes(folder, shape, 20 if quick else 60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for row in rows:
        row |= {"times": row["patches_per_s"] / takes, **growth(row.pop("memory"))}
    flat = all(row["growth_high_mib"] < GROWTH_PERCENT / 100 * row["mean_mib"] for row in rows)
    lines = [
        f"{volumes} volumes {shape}, written in {wrote:.1f} s each (made and stored); load {os.getloadavg()[0]:.1f}",
        f"training takes {takes:.2f} patches/s ({CONFIG.name}, batch {batch}, {torch.get_num_threads()} threads)",
        "",
        "| workers | patches/s | times what training takes | CPU ms a patch (trainer) | MiB, peak | MiB more, 95% |",
        "|---|---|---|---|---|---|",
        *map(_line, rows),
        "",
        "| chunk | MB a volume | CPU ms for 48^3, MB read | CPU ms for 96^3, MB read |",
        "|---|---|---|---|",
        *(
            f"| {c['chunk']:.0f} | {c['mb']:.0f} | {c['ms_48']:.1f}, {c['mb_48']:.1f} "
            f"| {c['ms_96']:.1f}, {c['mb_96']:.1f} |"
            for c in chunks
        ),
    ]
    enough = max(row["times"] for row in rows) >= TIMES
    return {"rows": rows, "chunks": chunks, "takes": takes, "holds": bool(enough and flat), "lines": lines}
