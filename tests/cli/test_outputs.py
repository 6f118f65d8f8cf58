"""What is written is what is told: residuals, records, warnings, and a prior that is built once."""

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medidiff.io import read_nifti, write_nifti
from medidiff.prior import Prior

from .conftest import Run, make_scan

QUICK = ("--prior", "tiny", "--precision", "float32", "--device", "cpu")


def save_scan(path: Path, dtype: str, slope: float | None = None) -> None:
    noisy = np.random.default_rng(0).normal(120, 30, (16, 17, 18)).clip(0, 250)
    image = nib.Nifti1Image(noisy.astype(dtype), np.eye(4))  # pyright: ignore
    image.header.set_data_dtype(dtype)
    if slope is not None:
        image = nib.Nifti1Image(noisy * slope + 7, np.eye(4))  # pyright: ignore
        image.header.set_data_dtype(dtype)
        image.header.set_slope_inter(slope, 7)
    nib.save(image, path)  # pyright: ignore


@pytest.mark.parametrize(
    ("dtype", "slope"), [("int16", 0.37), ("int16", None), ("uint8", None), ("float32", None)], ids=str
)
@pytest.mark.parametrize("verb", ["denoise", "inpaint"])
def test_the_residual_is_the_scan_minus_the_output_as_written(
    verb: str, dtype: str, slope: float | None, tmp_path: Path, run: Run
) -> None:
    save_scan(tmp_path / "scan.nii.gz", dtype, slope)
    scan = read_nifti("scan.nii.gz")
    more: tuple[object, ...] = ("--noise-std", 30)
    if verb == "inpaint":
        hole = np.zeros(scan.shape, np.uint8)
        hole[4:8, 4:8, 4:8] = 1
        write_nifti(scan.with_data(hole), "hole.nii.gz", "uint8")
        more = (*more, "--mask", "hole.nii.gz")
    done = run(verb, "scan.nii.gz", "-o", "o.nii.gz", "--save", "residual", *more, *QUICK)
    assert done.code == 0, done.err
    assert np.array_equal(read_nifti("o_residual.nii.gz").data, scan.data - read_nifti("o.nii.gz").data)
    told = [w for w in json.loads(Path("o.json").read_text())["result"]["warnings"] if w.startswith("stored as")]
    assert len(told) == (dtype != "float32")


def test_save_all_and_a_record_that_says_what_was_written(scan: Path, tmp_path: Path, run: Run) -> None:
    assert run("denoise", scan, "-o", "a.nii.gz", "--save", "all", *QUICK).code == 0
    assert {"a_residual.nii.gz", "a_noise-map.nii.gz", "a_uncertainty.nii.gz"} <= {p.name for p in tmp_path.iterdir()}
    run("denoise", scan, "-o", "b.nii.gz", "--save", "residual", *QUICK)
    result = json.loads(Path("b.json").read_text())["result"]
    assert (result["output"]["written"], result["output"]["file"]) == (True, "b.nii.gz")
    assert (result["residual"]["written"], result["residual"]["file"]) == (True, "b_residual.nii.gz")
    assert result["uncertainty"]["written"] is result["noise_map"]["written"] is False
    assert len(result["provenance"]["input_data_sha256"]) == 64


def test_a_folder_loads_and_builds_the_prior_once(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        make_scan(tmp_path / "in" / f"{i}.nii.gz", seed=i)
    calls: list[str] = []
    load, build = Prior.load.__func__, Prior.build  # type: ignore[attr-defined]
    monkeypatch.setattr(Prior, "load", classmethod(lambda cls, path: calls.append("load") or load(cls, path)))
    monkeypatch.setattr(Prior, "build", lambda self: calls.append("build") or build(self))
    done = run("denoise", "in", "-o", "out", "--shifts", 2, "--json", *QUICK)
    assert done.code == 0, done.err
    assert calls == ["load", "build"]
    for result in (entry["record"]["result"] for entry in done.json["files"]):  # two passes, and a look at the noise
        assert result["nfe"] == 2 + math.ceil(result["figures"]["noise_refining_evaluations"])


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_noise_map_is_judged_by_its_file_in_a_dry_run_too(
    more: tuple[str, ...], scan: Path, tmp_path: Path, run: Run
) -> None:
    volume = read_nifti(scan)
    level = np.full(volume.shape, 40, np.float32)
    holed = level.copy()
    holed[3, 4, 5] = np.nan
    write_nifti(volume.with_data(holed), "nan.nii.gz", "float32")
    moved = volume.affine_ras.copy()
    moved[2, 3] += 0.5
    nib.save(nib.Nifti1Image(level, moved), "moved.nii.gz")  # pyright: ignore
    nib.save(nib.Nifti1Image(level[:8], volume.affine_ras), "short.nii.gz")  # pyright: ignore
    for name, code, said in (
        ("nan", 2, "1 of 5440 are NaN"),
        ("moved", 7, "0.5 mm apart"),
        ("short", 7, "its shape is (8, 16, 20), the scan's (17, 16, 20)"),
    ):
        done = run("denoise", scan, "-o", "o.nii.gz", "--noise-std", f"{name}.nii.gz", *more, *QUICK)
        done.failed_cleanly(code, f"{name}.nii.gz", said)
    hole = nib.Nifti1Image((level > 50).astype(np.uint8), moved)  # pyright: ignore
    nib.save(hole, "mask.nii.gz")  # pyright: ignore
    done = run("inpaint", scan, "-o", "o.nii.gz", "--mask", "mask.nii.gz", *more, *QUICK)
    done.failed_cleanly(7, "--mask mask.nii.gz", "0.5 mm apart")


def test_a_dry_run_warns_like_the_run(scan: Path, run: Run) -> None:
    args = ("denoise", scan, "-o", "o.nii.gz", "--noise-std", "4e7", "--noise", "gaussian", "--json", *QUICK)
    dry, real = run(*args, "--dry-run"), run(*args)
    foreseen = dry.json["files"][0]["warnings"]
    assert any("times the largest the prior tiny was trained on" in text for text in foreseen)
    warned = real.json["files"][0]["record"]["result"]["warnings"]
    # What the network's own output tells cannot be foreseen.
    assert [text for text in warned if not text.startswith(("stored as", "structure in the residual"))] == foreseen
    assert foreseen[0] in dry.err


def test_a_scan_too_small_is_named_once(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    make_scan(tmp_path / "in" / "small.nii.gz", shape=(6, 6, 6))
    for more in ((), ("--dry-run",)):
        for source in ("in", "in/small.nii.gz"):
            done = run("denoise", source, "-o", "out/", *more, *QUICK)
            done.failed_cleanly(3, "small.nii.gz", "too few to estimate the noise")
            assert max(line.count("small.nii.gz") for line in done.err.splitlines()) == 1


PARSER = [
    ("denoise", "--no-such-option", "No such option"),
    ("denoise", "--samples", "many", "--samples"),
    ("inpaint", "scan.nii.gz", "-o", "o.nii.gz", "--mask"),
    ("denoize", "denoize"),
]


@pytest.mark.parametrize("args", PARSER, ids=lambda args: args[-1])
def test_what_the_parser_refuses_is_one_line_and_one_object(args: tuple[str, ...], run: Run) -> None:
    *command, said = args
    done = run(*command, "--json")
    done.failed_cleanly(2, said, "--help`")
    assert len(done.err.splitlines()) == 1
    assert (done.json["status"], done.json["exit_code"]) == ("failed", 2)
    assert done.json["error"] in done.err
    assert ("files" in done.json) == (command[0] != "denoize")
    assert run(*command).out == ""


def test_the_object_of_a_run_has_the_same_keys_however_it_ends(scan: Path, tmp_path: Path, run: Run) -> None:
    good = run("denoise", scan, "-o", "o.nii.gz", "--json", *QUICK).json
    (tmp_path / "bad.nii.gz").write_text("text")
    for source, output, failed in (
        ("bad.nii.gz", "b.nii.gz", 1),
        (scan, "o.nii.gz", 1),
        ("none.nii.gz", "n.nii.gz", 0),
    ):
        bad = run("denoise", source, "-o", output, "--json", *QUICK).json
        assert set(bad) == {*good, "error"}
        assert (bad["status"], bad["done"], bad["failed"], len(bad["files"])) == ("failed", 0, failed, failed)


def test_info_of_a_prior_is_one_screen_unless_asked_for_more(run: Run) -> None:
    short, full = run("info", "tiny").out, run("info", "tiny", "--full").out
    assert len(short.splitlines()) <= 30
    assert max(map(len, short.splitlines())) <= 110
    assert "sigma data" not in short
    assert "sigma data" in full
    assert "training" in run("info", "tiny", "--json").json["card"]
