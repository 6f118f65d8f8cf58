"""`medidiff prepare`: 50 000 tiny scans in linear time, quick queries; the same store after shuffling and kills."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SIZES, QUICK_SIZES = (2_000, 8_000, 50_000), (100, 600, 1_600)
SHAPE = (8, 8, 8)
LARGEST_GROWTH = 1.3
"""Processor time of one more scan between the two largest sizes, over that between the two smallest: 1 is linear."""

SLOWEST_QUERY_S = 1.0
OBJECTS = "all as ScanRow"
"""Told, but no query: the loader asks for rows and makes an object of a scan when it draws it."""

KILLS, QUICK_KILLS = 20, 3
JOBS = "1"


def run(quick: bool) -> dict[str, Any]:
    """Everything below; the folders lie in memory where there is one: a disk's fsync is not what is timed."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="medidiff-prepare-") as name:
        root = Path(name)
        os.environ["MEDIDIFF_HOME"] = str(root / "home")
        linear = linearity(root / "many", QUICK_SIZES if quick else SIZES)
        same = shuffled(root / "shuffled", 60 if quick else 400)
        killed = kills(root / "kills", 60 if quick else 400, QUICK_KILLS if quick else KILLS)
    with tempfile.TemporaryDirectory(prefix="medidiff-prepare-") as name:
        on_disk = linearity(Path(name) / "disk", (200 if quick else 1_000,))
        ct = large(Path(name) / "ct", (96, 96, 60) if quick else (512, 512, 300))
    parts = {"linear": linear, "shuffled": same, "killed": killed}
    return {
        **parts,
        "ct": ct,
        "on_disk_ms": on_disk["rows"][0]["ms_a_scan"],
        "folder": place or tempfile.gettempdir(),
        "jobs": int(JOBS),
        "load": os.getloadavg()[0],
        "holds": all(part["holds"] for part in parts.values()),
        "lines": [*lines(linear, same, killed, on_disk["rows"][0]["ms_a_scan"], place or "a disk"), _ct_line(ct)],
    }


def _ct_line(ct: dict[str, Any]) -> str:
    return (
        f"one CT of {ct['shape']}: {ct['cpu_s']:.0f} s of processor and {ct['peak_gib']:.2f} GiB at most, of a NIfTI "
        f"file of {ct['mb_in']:.0f} MB; {ct['mb_out']:.0f} MB in the store"
    )


def lines(linear: dict[str, Any], same: dict[str, Any], killed: dict[str, Any], disk: float, place: str) -> list[str]:
    """For the table."""
    times = ", ".join(f"{r['scans']} in {r['seconds']:.0f} s ({r['cpu_s']:.0f} s of processor)" for r in linear["rows"])
    steps = ", ".join(f"{step:.2f}" for step in linear["cpu_ms_a_further_scan"])
    queries = ", ".join(f"{name} {s * 1000:.0f} ms" for name, s in linear["rows"][-1]["queries"].items())
    return [
        f"prepare, tiny scans (8^3), one process, files in {place}: {times}; a further scan costs {steps} "
        f"ms of processor from size to size (limit: the last at most {LARGEST_GROWTH} times the first): "
        f"{_word(linear['holds'])}",
        f"the same on a disk, whose fsync each scan waits for twice: {disk:.1f} ms a scan",
        f"queries over {linear['rows'][-1]['scans']} scans: {queries} (limit 1 s each)",
        f"{same['scans']} scans shuffled, in folders of other names, by 1 and by 2 processes: the same content hash "
        f"and manifest bytes: {_word(same['holds'])}",
        f"kill -9 at {killed['kills']} random moments of {killed['scans']} scans: {killed['redone']} finished scans "
        f"done again, the same content hash and manifest bytes: {_word(killed['holds'])}",
    ]


def _word(holds: bool) -> str:
    return "holds" if holds else "FAILS"


def large(root: Path, shape: tuple[int, int, int]) -> dict[str, Any]:
    """One synthetic CT through the whole command, less what starting it costs."""
    from benchmarks._training_loader import synthetic_ct

    root.mkdir(parents=True)
    hu = np.round(synthetic_ct(shape, 1).astype(np.float32) * 1262 + 238).astype(np.int16)
    (root / "scans").mkdir()
    nib.save(nib.Nifti1Image(hu, np.diag([0.8, 0.8, 1.25, 1])), root / "scans" / "ct.nii.gz")  # type: ignore[attr-defined]
    (root / "participants.tsv").write_text("case\tsplit\nct\ttrain\n", encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = command(root / "scans", root / "store", root / "participants.tsv", JOBS)
    measured = [sys.executable, "-c", _PEAK, *arguments, "--intensity", "window:-1024,1500", "--modality", "CT"]
    done = subprocess.run(measured, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    stored = sum(path.stat().st_size for path in (root / "store" / "scans").rglob("*") if path.is_file())
    return {
        "shape": list(shape),
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_gib": int(done.stdout.splitlines()[-1]) / 2**20,
        "mb_in": (root / "scans" / "ct.nii.gz").stat().st_size / 1e6,
        "mb_out": stored / 1e6,
    }


_PEAK = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""


# Linear -------------------------------------------------------------------------------------------------------------


def linearity(root: Path, sizes: tuple[int, ...]) -> dict[str, Any]:
    """The whole command, from files and a table to the card, for cohorts of several sizes."""
    rows = []
    for count in sizes:
        shutil.rmtree(root, ignore_errors=True)
        make_cohort(root, count)
        start = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = prepare(root / "scans", root / "store", root / "participants.tsv")
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        row = {"scans": told["scans"], "seconds": seconds, "cpu_s": cpu, "ms_a_scan": seconds / count * 1000}
        rows.append(row | {"queries": queries(root / "store"), "rejected": len(told["rejected"])})
        print(row, file=sys.stderr)
    # Processor time, for others use the machine too; differences, for starting costs the same at every size.
    steps = np.diff([row["cpu_s"] for row in rows]) / np.diff(sizes) * 1000
    slowest = max(s for row in rows for name, s in row["queries"].items() if name != OBJECTS)
    growth = float(steps[-1] / steps[0]) if len(steps) > 1 else 1.0
    complete = all(row["scans"] == count for row, count in zip(rows, sizes, strict=True))
    holds = growth <= LARGEST_GROWTH and slowest < SLOWEST_QUERY_S and complete
    return {
        "rows": rows,
        "cpu_ms_a_further_scan": steps.tolist(),
        "growth": growth,
        "slowest_query_s": slowest,
        "holds": holds,
    }


def queries(store: Path) -> dict[str, float]:
    """Seconds of opening a store, of asking its manifest which scans, and of a Python object for every scan."""
    import pyarrow.compute as pc
    import pyarrow.parquet  # noqa: F401  not what is timed

    from medidiff.cohort.manifest import select
    from medidiff.cohort.store import Store

    def ids(split: str | None = None, where: Any = None) -> list[str]:
        return select(opened.manifest, split, where).column("scan_id").to_pylist()

    timed, opened = {"open": float("inf")}, Store.open(store)  # which loads libraries
    for _ in range(3):
        start = time.perf_counter()
        opened = Store.open(store)
        timed["open"] = min(timed["open"], time.perf_counter() - start)
    questions: dict[str, Any] = {
        "train": lambda: ids("train"),
        "women in train": lambda: ids("train", {"sex": "F"}),
        "over 60": lambda: ids(None, pc.field("age") > 60),
        "one patient": lambda: ids(None, {"patient": "P1"}),
        "all": lambda: ids(),
        OBJECTS: lambda: opened.scans(),
    }
    for name, question in questions.items():
        timed[name] = float("inf")
        for _ in range(3):  # the quickest of three: others use the machine too
            start = time.perf_counter()
            if not question():
                raise RuntimeError(f"query {name} found nothing")
            timed[name] = min(timed[name], time.perf_counter() - start)
    return timed


# The same store -----------------------------------------------------------------------------------------------------


def shuffled(root: Path, count: int) -> dict[str, Any]:
    """Two preparations: folders in order and one process; files linked into other folders, and two processes."""
    make_cohort(root, count)
    order = sorted((root / "scans").rglob("*.nii"))
    random.Random(1).shuffle(order)
    for k, file in enumerate(order):
        folder = root / "other" / f"{k % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(file, folder / file.name)
    first = prepare(root / "scans", root / "a", root / "participants.tsv")
    second = prepare(*sorted((root / "other").iterdir(), reverse=True), root / "b", root / "participants.tsv", jobs="2")
    # the manifest names each scan's path below SRC, which differs here by intention: its bytes are compared in `kills`
    third = prepare(root / "scans", root / "c", root / "participants.tsv", jobs="2")
    hashes = {told["content_hash"] for told in (first, second, third)}
    holds = len(hashes) == 1 and fingerprint(root / "a") == fingerprint(root / "c")
    return {"scans": count, "content_hash": first["content_hash"], "holds": holds}


def kills(root: Path, count: int, times: int) -> dict[str, Any]:
    """One preparation killed again and again, against one left alone."""
    make_cohort(root, count)
    whole = prepare(root / "scans", root / "whole", root / "participants.tsv")
    rng = np.random.default_rng(0)
    after = np.sort(rng.choice(np.arange(1, count - 2), size=times, replace=False))
    killed = 0
    for lines_wanted in after:
        process = subprocess.Popen(command(root / "scans", root / "s", root / "participants.tsv", "2"), **_QUIET)
        while process.poll() is None and finished(root / "s") < lines_wanted:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    before = finished(root / "s")
    told = prepare(root / "scans", root / "s", root / "participants.tsv")
    redone = before - told["resumed"]
    same = told["content_hash"] == whole["content_hash"] and fingerprint(root / "s") == fingerprint(root / "whole")
    return {"scans": count, "kills": killed, "redone": redone, "holds": same and redone == 0 and killed == times}


_QUIET: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def finished(store: Path) -> int:
    """Scans that the journal names."""
    journal = store / "prepare.jsonl"
    return journal.read_bytes().count(b'"key"') if journal.exists() else 0


def fingerprint(store: Path) -> str:
    """Of the manifest's bytes."""
    return hashlib.sha256((store / "manifest.parquet").read_bytes()).hexdigest()


def command(*places: Path | str) -> list[str]:
    """SRC..., STORE, table, jobs."""
    *sources, store, table, jobs = map(str, places)
    args = ["prepare", *sources, "-o", store, "--table", table, "--seed", "1", "--jobs", jobs, "--json"]
    return [sys.executable, "-m", "medidiff", *args]


def prepare(*places: Path, jobs: str = JOBS) -> dict[str, Any]:
    """Run the command."""
    done = subprocess.run(command(*places, jobs), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


def make_cohort(root: Path, count: int) -> None:
    """Tiny noisy blobs of patients with two scans each, 500 to a folder, and their table."""
    folder = root / "scans"
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    blob = 100 * np.exp(-(x**2 + y**2 + z**2)).astype(np.float32)
    rng = np.random.default_rng(0)
    rows = ["case\tpatient\tage\tsex"]
    for k in range(count):
        place = folder / f"{k // 500:03d}"
        if k % 500 == 0:
            place.mkdir(parents=True)
        data = blob + rng.normal(0, 3, SHAPE).astype(np.float32)
        image = nib.Nifti1Image(data, np.eye(4))  # type: ignore[no-untyped-call]
        (place / f"c{k:06d}.nii").write_bytes(image.to_bytes())  # type: ignore[no-untyped-call]
        rows.append(f"c{k:06d}\tP{k // 2}\t{20 + k // 2 % 70}\t{'FM'[k // 2 % 2]}")
    (root / "participants.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from_here = run("--quick" in sys.argv)
    print(json.dumps(from_here, indent=1))
