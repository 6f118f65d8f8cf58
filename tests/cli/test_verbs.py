"""Each verb from end to end, with a prior of random weights: files, records, JSON, exit codes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from medidiff.io import read_nifti, write_nifti
from medidiff.volume import Volume

from .conftest import Run, make_scan

QUICK = ("--prior", "tiny", "--precision", "float32", "--device", "cpu")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_denoise_keeps_grid_codes_and_kind_of_number(scan: Path, tmp_path: Path, run: Run) -> None:
    done = run("denoise", scan, "-o", "clean.nii.gz", *QUICK)
    assert done.code == 0, done.err
    assert done.out.startswith("clean.nii.gz: denoised in ")
    assert names(tmp_path) == ["clean.json", "clean.nii.gz", "scan.nii.gz"]
    before, after = read_nifti(scan), read_nifti("clean.nii.gz")
    np.testing.assert_array_equal(after.affine_ras, before.affine_ras)
    assert before.header is not None
    assert after.header is not None
    for field in ("sform_code", "qform_code", "xyzt_units", "version", "byteorder"):
        assert getattr(after.header, field) == getattr(before.header, field), field
    assert after.header.dtype == "int16"


def test_everything_beside_the_output(scan: Path, tmp_path: Path, run: Run) -> None:
    args = ("--samples", 2, "--save", "uncertainty,residual,noise-map", "--report", "--noise-std", 40, "--seed", 3)
    done = run("denoise", "-i", scan, "-o", "out/", "--json", *args, *QUICK)
    assert done.code == 0, done.err
    assert names(tmp_path / "out") == [
        "scan.html", "scan.json", "scan.nii.gz", "scan_noise-map.nii.gz", "scan_residual.nii.gz",
        "scan_sample-1.nii.gz", "scan_sample-2.nii.gz", "scan_std.nii.gz", "scan_uncertainty.nii.gz",
    ]  # fmt: skip
    told = done.json
    assert (told["status"], told["done"], told["exit_code"]) == ("done", 1, 0)
    record = told["files"][0]["record"]
    assert record["request"]["settings"]["noise_std"] == 40
    assert record["result"]["provenance"]["seed"] == 3
    residual, output, before = (
        read_nifti(p) for p in ("out/scan_residual.nii.gz", "out/scan.nii.gz", scan)
    )  # the output is int16 in steps of at most range/60000, so the sum comes back to half a step
    step = float(np.ptp(output.data)) / 60000
    np.testing.assert_allclose(output.data + residual.data, before.data, atol=step)
    np.testing.assert_allclose(read_nifti("out/scan_noise-map.nii.gz").data, 40, rtol=1e-6)
    assert "Research use only" in (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")


def test_a_noise_map_and_the_same_bytes_twice(scan: Path, tmp_path: Path, run: Run) -> None:
    volume = read_nifti(scan)
    write_nifti(volume.with_data(np.full(volume.shape, 40, np.float32)), "map.nii.gz", "float32")
    for output, level in (("a.nii.gz", "map.nii.gz"), ("b.nii.gz", "40"), ("c.nii.gz", "40")):
        assert run("denoise", scan, "-o", output, "--noise", "gaussian", "--noise-std", level, *QUICK).code == 0
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()
    # a constant map is the number it holds, up to float32 rounding and one step of the stored integers
    a, b = read_nifti("a.nii.gz").data, read_nifti("b.nii.gz").data
    np.testing.assert_allclose(a, b, atol=1e-4 * float(np.ptp(b)))


def test_a_folder_resumes(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("a.nii.gz", "b.nii.gz")):
        make_scan(tmp_path / "in" / name, seed=i)
    args = ("denoise", "in", "-o", "out", *QUICK)
    first = run(*args)
    assert (first.code, first.out) == (0, "out: 2 done\n")
    assert "[1/2] a.nii.gz: denoised" in first.err
    assert run(*args).out == "out: 2 skipped\n"
    run(*args, "--seed", 1, "--noise", "rician").failed_cleanly(2, "--noise was auto, is rician", "--seed was 0, is 1")
    (tmp_path / "in" / "c.nii.gz").write_text("not a scan")
    again = run(*args, "--json")
    assert again.code == 4
    assert (again.json["skipped"], again.json["failed"], again.json["status"]) == (2, 1, "partly done")


def test_inpaint_fills_the_mask_and_leaves_the_rest(scan: Path, tmp_path: Path, run: Run) -> None:
    volume = read_nifti(scan)
    mask = np.zeros(volume.shape, np.uint8)
    mask[5:9, 5:9, 5:9] = 1
    write_nifti(volume.with_data(mask), "mask.nii.gz", "uint8")
    done = run("inpaint", scan, "--mask", "mask.nii.gz", "-o", "filled.nii.gz", "--samples", 2, "--report", *QUICK)
    assert done.code == 0, done.err
    assert {"filled.html", "filled_sample-2.nii.gz", "filled_std.nii.gz"} <= set(names(tmp_path))
    filled = read_nifti("filled.nii.gz")
    outside = mask == 0
    step = float(np.ptp(filled.data)) / 60000
    np.testing.assert_allclose(filled.data[outside], volume.data[outside], atol=step)
    assert (filled.data[~outside] != volume.data[~outside]).any()


def test_inpaint_refuses_masks_that_do_not_fit(scan: Path, tmp_path: Path, run: Run) -> None:
    volume = read_nifti(scan)
    for name, data, code, said in (
        ("none", np.zeros(volume.shape), 3, "empty"),
        ("all", np.ones(volume.shape), 3, "everywhere"),
        ("other", np.ones((4, 4, 4)), 7, "another grid"),
    ):
        write_nifti(Volume(data.astype(np.uint8), volume.affine_ras), f"{name}.nii.gz", "uint8")
        done = run("inpaint", scan, "--mask", f"{name}.nii.gz", "-o", "filled.nii.gz", *QUICK)
        done.failed_cleanly(code, said, f"{name}.nii.gz")
    run("inpaint", scan, "--mask", "nothing.nii.gz", "-o", "filled.nii.gz", *QUICK).failed_cleanly(3, "nothing.nii.gz")
    run("inpaint", tmp_path, "--mask", "all.nii.gz", "-o", "filled.nii.gz", *QUICK).failed_cleanly(2, "is a folder")
    assert "filled.nii.gz" not in names(tmp_path)


def test_priors_and_info(scan: Path, run: Run) -> None:
    assert "tiny" in run("priors").out
    tiny = next(p for p in run("priors", "--json").json["priors"] if p["name"] == "tiny")
    assert tiny["problem"] is None
    card = run("info", "tiny", "--json").json
    assert (card["kind"], card["card"]["name"], card["content_hash"]) == ("prior", "tiny", tiny["content_hash"])
    assert "weights licence: Apache-2.0" in run("info", "tiny").out
    told = run("info", scan, "--json").json
    assert (told["kind"], told["shape"], told["orientation"]) == ("scan", [17, 16, 20], "LAS")
    assert told["spacing_mm"] == [1.5, 1.0, 2.0]
    run("info", "nothing.nii.gz").failed_cleanly(3, "nothing.nii.gz")
    run("info", __file__).failed_cleanly(2, "NIfTI file")


def test_train_refuses_before_it_begins(tmp_path: Path, run: Run) -> None:
    run("train", "nothing.yaml").failed_cleanly(2, "no such config")
    (tmp_path / "run.yaml").write_text("colour: blue\n")
    run("train", "run.yaml", "--dry-run").failed_cleanly(2, "colour")
    run("train", "run.yaml", "--set", "x").failed_cleanly(2, "key=value")
    run("train", "run.yaml", "--hours", "-1").failed_cleanly(2, "--hours")


def test_doctor_tells_and_notices_a_prior_that_does_not_denoise(run: Run) -> None:
    assert run("doctor", "--no-test", *QUICK).code == 0
    done = run("doctor", "--json", *QUICK)
    assert done.json["precision"]["chosen"] == "float32"
    assert done.json["self_test"]["prior"] == "tiny"
    assert done.code == 5  # random weights
    assert done.json["status"] == "failed"
    assert run("doctor", "--prior", "nobody", "--json").code == 6


@pytest.mark.slow
def test_demo_prints_its_path_last(tmp_path: Path, run: Run) -> None:
    done = run("demo", "-o", "here", "--fast", *QUICK)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == str(Path("here") / "demo.html")
    page = (tmp_path / "here" / "demo.html").read_text(encoding="utf-8")
    for said in ("A head phantom", "A real scan", "From noise to scan", "A hole, filled", "PSNR after"):
        assert said in page
    assert names(tmp_path / "here") == ["demo.html"]
    assert run("demo", "-o", __file__, "--fast", *QUICK).code == 5  # a file is in the way


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_process_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    make_scan(tmp_path / "scan.nii.gz", shape=(96, 96, 96))
    command = [
        sys.executable,
        "-m",
        "medidiff",
        "denoise",
        "scan.nii.gz",
        "-o",
        "out.nii.gz",
        "--samples",
        "50",
        *QUICK,
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # tests run by a background job ignore SIGINT
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.partial")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob("*.partial")) or list(tmp_path.glob(".*.partial"))
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: interrupted" in err
    assert "Traceback" not in err
    assert names(tmp_path) == ["scan.nii.gz"]


def test_a_process_of_its_own(scan: Path, tmp_path: Path, shell: Run) -> None:
    done = shell("denoise", scan, "-o", "clean.nii.gz", "--json", *QUICK)
    assert done.code == 0, done.err
    assert done.json["files"][0]["status"] == "denoised"
    assert (tmp_path / "clean.nii.gz").exists()
