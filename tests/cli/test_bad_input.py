"""Whatever is given: the documented exit code, one clear line, no traceback, nothing half-written."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medidiff.volume import Volume

from .conftest import Run, make_scan

QUICK = ("--prior", "tiny", "--precision", "float32")


def truncated(path: Path) -> None:
    make_scan(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def text(path: Path) -> None:
    path.write_text("This is a text file.\n")


def absurd(path: Path) -> None:
    make_scan(path)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[42:48] = struct.pack("<3h", 32767, 32767, 32767)  # dim[1..3]
    path.write_bytes(gzip.compress(bytes(raw)))


def image_2d(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((16, 16), np.float32), np.eye(4)), path)  # pyright: ignore


def nan(path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    data[3, 4, 5] = np.nan
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)  # pyright: ignore


def constant(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full((16, 16, 16), 7, np.int16), np.eye(4)), path)  # pyright: ignore


def series_4d(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32), np.eye(4)), path)  # pyright: ignore


BAD = [
    (truncated, 3, "truncated"),
    (text, 3, "bad.nii.gz"),
    (absurd, 3, "declares shape"),
    (image_2d, 3, "2D image"),
    (nan, 3, "NaN"),
    (constant, 3, "every voxel is 7"),
    (series_4d, 3, "4D"),
]


@pytest.mark.parametrize(("make", "code", "said"), BAD, ids=[make.__name__ for make, *_ in BAD])
@pytest.mark.parametrize("how", ["file", "folder", "dry run"])
def test_a_bad_scan(make: Callable[[Path], None], code: int, said: str, how: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "bad.nii.gz")
    source = tmp_path / "in" if how == "folder" else tmp_path / "in" / "bad.nii.gz"
    more = ("--dry-run",) if how == "dry run" else ()
    run("denoise", source, "-o", "out/", *QUICK, *more).failed_cleanly(code, said, "bad.nii.gz")
    assert not (tmp_path / "out").exists()
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["bad.nii.gz"]


def test_no_traceback_from_a_process_of_its_own(tmp_path: Path, shell: Run) -> None:
    truncated(tmp_path / "bad.nii.gz")
    done = shell("denoise", "bad.nii.gz", "-o", "out.nii.gz", *QUICK)
    done.failed_cleanly(3, "truncated")
    assert done.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.nii.gz"]


def test_empty_folder_and_missing_file(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    run("denoise", "empty", "-o", "out", *QUICK).failed_cleanly(3, "no NIfTI files")
    run("denoise", "nothing.nii.gz", "-o", "out.nii.gz", *QUICK).failed_cleanly(3, "no such file")


@pytest.mark.parametrize("level", ["-3", "0", "nan", "inf", "-inf"])
def test_a_level_that_is_no_level_names_the_scans_range(level: str, scan: Path, tmp_path: Path, run: Run) -> None:
    done = run("denoise", scan, "-o", "out.nii.gz", "--noise-std", level, *QUICK)
    done.failed_cleanly(2, f"--noise-std {level}", "must be a positive number", "this scan runs from")
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_level_that_is_no_level_stops_a_folder_before_it_begins(scan: Path, tmp_path: Path, run: Run) -> None:
    run("denoise", tmp_path, "-o", "out", "--noise-std", "0", *QUICK).failed_cleanly(2, "--noise-std 0")


def test_a_noise_map_that_does_not_fit(scan: Path, tmp_path: Path, run: Run) -> None:
    run("denoise", scan, "-o", "o.nii.gz", "--noise-std", "abc", *QUICK).failed_cleanly(2, "existing NIfTI map")
    make_scan(tmp_path / "map.nii.gz", shape=(8, 8, 8))
    run("denoise", scan, "-o", "o.nii.gz", "--noise-std", "map.nii.gz", *QUICK).failed_cleanly(7, "another grid")


def test_unknown_and_damaged_priors(scan: Path, tmp_path: Path, run: Run) -> None:
    run("denoise", scan, "-o", "o.nii.gz", "--prior", "nobody").failed_cleanly(6, "nobody")
    (tmp_path / "p.safetensors").write_text("not a prior")
    run("denoise", scan, "-o", "o.nii.gz", "--prior", tmp_path / "p.safetensors").failed_cleanly(6, "p.safetensors")
    run("info", "nobody").failed_cleanly(6, "nobody")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--noise", "poisson"), ("--samples", "-1"), ("--save", "everything"), ("--threads", "0"), ("--max-gb", "0"),
     ("--precision", "fp8"), ("--shifts", "0"), ("--seed", "-1"), ("--device", "tpu")],
)  # fmt: skip
def test_options_out_of_range(option: str, value: str, scan: Path, tmp_path: Path, run: Run) -> None:
    done = run("denoise", scan, "-o", "o.nii.gz", option, value, *(QUICK if option != "--precision" else QUICK[:2]))
    done.failed_cleanly(2, f"{option} {value}")
    assert not (tmp_path / "o.nii.gz").exists()


def test_usage_of_in_and_out(scan: Path, run: Run) -> None:
    run("denoise", "-o", "o.nii.gz", *QUICK).failed_cleanly(2, "IN:")
    run("denoise", scan, "-i", scan, "-o", "o.nii.gz", *QUICK).failed_cleanly(2, "IN:")
    run("denoise", scan, *QUICK).failed_cleanly(2, "-o")
    run("denoise", scan, "-o", scan, "--overwrite", *QUICK).failed_cleanly(2, "is also an input")
    run("denoise", scan, "-o", "o.png", *QUICK).failed_cleanly(2, ".nii.gz")


def test_a_device_that_is_not_there(scan: Path, run: Run) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    run("denoise", scan, "-o", "o.nii.gz", "--device", "cuda", *QUICK).failed_cleanly(5, "--device cuda")


def test_json_of_a_failure_is_one_object(scan: Path, run: Run) -> None:
    done = run("denoise", scan, "-o", "o.nii.gz", "--noise-std", "-1", "--json", *QUICK)
    assert done.json["status"] == "failed"
    assert done.json["exit_code"] == done.code == 2
    assert done.json["error"] in done.err


def test_read_only_folder(scan: Path, run: Run, mounted: Callable[..., Path]) -> None:
    folder = mounted(read_only=True)
    run("denoise", scan, "-o", folder / "o.nii.gz", *QUICK).failed_cleanly(5, "cannot be written", str(folder))
    run("denoise", scan.parent, "-o", folder / "new", *QUICK).failed_cleanly(5, "cannot be written")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions as on Unix")
def test_folder_without_permission(scan: Path, tmp_path: Path, run: Run) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; test_read_only_folder covers it with a mount")
    (tmp_path / "closed").mkdir(mode=0o500)
    run("denoise", scan, "-o", "closed/o.nii.gz", *QUICK).failed_cleanly(5, "cannot be written")


@pytest.mark.parametrize("more", [(), ("--report",), ("--save", "residual")], ids=["scan", "page", "residual"])
def test_full_disk(more: tuple[str, ...], tmp_path: Path, run: Run, mounted: Callable[..., Path]) -> None:
    make_scan(tmp_path / "scan.nii", dtype="float32", shape=(24, 24, 24))  # 54 KiB for each volume
    folder = mounted(size="64k" if more else "32k")
    run("denoise", "scan.nii", "-o", folder / "o.nii", *more, *QUICK).failed_cleanly(5, "disk is full", str(folder))
    assert list(folder.iterdir()) == []


def test_full_disk_in_a_folder_run_keeps_what_is_done(tmp_path: Path, run: Run, mounted: Callable[..., Path]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.nii", "b.nii"):
        make_scan(tmp_path / "in" / name, dtype="float32", shape=(24, 24, 24))
    folder = mounted(size="96k")
    run("denoise", "in", "-o", folder, *QUICK).failed_cleanly(5, "disk is full")
    assert sorted(p.name for p in folder.iterdir()) == ["a.json", "a.nii"]


def test_unexpected_errors_are_short_unless_debugged(
    scan: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from medidiff.cli import denoise_task

    def explode(self: object, volume: Volume, missing: object = ()) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(denoise_task.DenoiseTask, "run", explode)
    run("denoise", scan, "-o", "o.nii.gz", *QUICK).failed_cleanly(1, "unexpected ZeroDivisionError: oops", "--debug")
    done = run("--debug", "denoise", scan, "-o", "o.nii.gz", *QUICK)
    assert done.code == 1
    assert "Traceback" in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.nii.gz"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 5, "out of memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"), 5, "--max-gb"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=["MemoryError", "torch", "Ctrl-C"],
)
def test_memory_and_interruption(
    error: BaseException, code: int, said: str, scan: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from medidiff.cli import denoise_task

    def explode(self: object, volume: Volume, missing: object = ()) -> None:
        raise error

    monkeypatch.setattr(denoise_task.DenoiseTask, "run", explode)
    run("denoise", scan, "-o", "new/o.nii.gz", *QUICK).failed_cleanly(code, said)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.nii.gz"]
