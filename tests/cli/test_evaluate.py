"""`medidiff evaluate denoise`: pairs made, scored, shown to readers; folders that are never replaced."""

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from medidiff.io import read_nifti, write_nifti

from .conftest import Run, make_scan

EVALUATE = ("evaluate", "denoise")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    for seed, name in enumerate(("a", "b", "c")):
        make_scan(tmp_path / "scans" / f"{name}.nii.gz", seed)
    return tmp_path / "scans"


@pytest.fixture
def pairs(scans: Path, run: Run) -> Path:
    assert (
        run(*EVALUATE, "--make-pairs", scans, "-o", "pairs", "--noise", "gaussian,varying", "--percent", 15).code == 0
    )
    return scans.parent / "pairs"


def results(pairs: Path, name: str, share: float) -> Path:
    """A method that removes a share of the noise: its PSNR is known."""
    folder = pairs.parent / name
    folder.mkdir()
    manifest = json.loads((pairs / "pairs.json").read_text())
    for pair in manifest["pairs"]:
        noisy, clean = read_nifti(pairs / pair["noisy"]), read_nifti(pairs / pair["clean"])
        data = noisy.data + share * (clean.data - noisy.data)
        write_nifti(noisy.with_data(data.astype(np.float32)), folder / Path(pair["noisy"]).name, "float32")
    return folder


def test_made_pairs_say_what_they_are(pairs: Path, run: Run) -> None:
    told = json.loads((pairs / "pairs.json").read_text())
    assert [scan["clean"] for scan in told["scans"]] == [f"clean/{name}.nii.gz" for name in "abc"]
    assert {scan["patient"] for scan in told["scans"]} == {"a", "b", "c"}
    one = next(pair for pair in told["pairs"] if pair["noisy"] == "noisy/b_varying-15.nii.gz")
    assert (one["clean"], one["condition"], one["percent"]) == ("clean/b.nii.gz", "varying 15%", 15)
    levels = read_nifti(pairs / one["noise_map"])
    assert np.median(levels.data) == pytest.approx(one["noise_std"], rel=0.01)
    assert len(list((pairs / "noisy").iterdir())) == 6


def test_pairs_are_the_same_again_and_nothing_is_replaced(pairs: Path, run: Run) -> None:
    before = (pairs / "pairs.json").read_bytes()
    again = (*EVALUATE, "--make-pairs", "scans", "-o", "pairs", "--noise", "gaussian,varying", "--percent", 15)
    run(*again).failed_cleanly(2, "pairs/clean", "--overwrite")
    assert run(*again, "--overwrite").code == 0
    assert (pairs / "pairs.json").read_bytes() == before
    (pairs / "noisy" / "mine.nii.gz").write_bytes(b"")
    run(*again, "--overwrite").failed_cleanly(2, "did not write noisy/mine.nii.gz")
    assert (pairs / "noisy" / "mine.nii.gz").exists()
    assert not list(pairs.glob(".*"))


def test_noise_too_weak_against_the_scans_own_is_said(scans: Path, run: Run) -> None:
    done = run(*EVALUATE, "--make-pairs", scans, "-o", "weak", "--percent", "1,90", "--json")
    (first, *_) = [text for text in done.json["warnings"] if "own noise is" in text]
    assert "so 1% is less than 3 times that" in first
    assert "--downsample" in first


def test_a_scan_that_cannot_be_a_magnitude_fails_alone(scans: Path, run: Run) -> None:
    below = read_nifti(scans / "b.nii.gz")
    write_nifti(below.with_data(below.data - 500), scans / "b.nii.gz", "float32")
    done = run(*EVALUATE, "--make-pairs", scans, "-o", "pairs", "--noise", "rician,gaussian", "--percent", 15, "--json")
    # The noise of the other two goes below zero as well where they are dark: only kinds that suit are made.
    assert done.code == 4
    assert any(one["scan"] == "b_rician-15" and "negative" in one["error"] for one in done.json["failed"])
    assert any(pair["noisy"] == "noisy/b_gaussian-15.nii.gz" for pair in done.json["pairs"])


def test_scores_are_those_of_methods_that_are_known(pairs: Path, run: Run) -> None:
    results(pairs, "half", 0.5)
    results(pairs, "most", 0.9)
    done = run(
        *EVALUATE, "--clean", "pairs/clean", "--noisy", "pairs/noisy", "--results", "most=most",
        "--results", "half=half", "-o", "scores", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = done.json
    assert [one["noise"] for one in told["conditions"]] == ["gaussian 15%", "varying 15%"]
    for one in told["conditions"]:
        against = {two["against"]: two["psnr_db"] for two in one["differences"] if two["method"] == "most"}
        # The error falls by 1 / 0.1 and 1 / 0.5 in every scan: 20 dB, and 20 log10(5) = 13.98 dB, without spread.
        assert [against["noisy"][key] for key in ("mean", "low", "high")] == pytest.approx([20.0] * 3, abs=0.01)
        assert against["half"]["mean"] == pytest.approx(13.979, abs=0.01)
        assert (one["scans"], one["patients"]) == (3, 3)
    rows = list(csv.DictReader((pairs.parent / "scores" / "scores.csv").read_text().splitlines()))
    assert len(rows) == 6 * 3
    page = (pairs.parent / "scores" / "evaluation.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "most minus half" in page
    text = run(*EVALUATE, "--clean", "pairs/clean", "--noisy", "pairs/noisy", "--results", "most=most").out
    assert "gaussian 15%: 3 scans of 3 patients" in text
    assert re.search(r"most minus noisy +\+20\.00 \[\+20\.00, \+20\.00\]", text)


def test_what_cannot_be_scored_is_named_and_the_rest_is_done(pairs: Path, run: Run) -> None:
    folder = results(pairs, "half", 0.5)
    (folder / "a_gaussian-15.nii.gz").unlink()
    cut = read_nifti(folder / "b_gaussian-15.nii.gz")
    write_nifti(type(cut)(cut.data[:-1], cut.affine_ras), folder / "b_gaussian-15.nii.gz")
    moved = cut.affine_ras.copy()
    moved[0, 3] += 1
    write_nifti(type(cut)(cut.data, moved), folder / "c_gaussian-15.nii.gz")
    ask = (*EVALUATE, "--clean", "pairs/clean", "--noisy", "pairs/noisy", "--results", "half=half")
    done = run(*ask, "--json")
    assert (done.code, done.json["scored"]) == (4, 3)
    said = {one["scan"]: (one["exit_code"], one["error"]) for one in done.json["failed"]}
    assert said["a_gaussian-15"][0] == 3
    assert "no result called a_gaussian-15 in half" in said["a_gaussian-15"][1]
    assert said["b_gaussian-15"][0] == said["c_gaussian-15"][0] == 7
    assert "shape" in said["b_gaussian-15"][1]
    assert "lies elsewhere" in said["c_gaussian-15"][1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--clean"),
        (("--clean", "x"), "--noisy"),
        (("--results", "x"), "--clean"),
        (("--clean", "x", "--noisy", "y", "--results", "half"), "NAME=FOLDER"),
        (("--clean", "x", "--noisy", "y", "--results", "noisy=half"), "meaning of its own"),
        (("--clean", "x", "--noisy", "y", "--seed", "1"), "--seed: does not go with"),
        (("--make-pairs", "x"), "-o: --make-pairs needs it"),
        (("--make-pairs", "x", "-o", "y", "--percent", "high"), "must be numbers"),
        (("--make-pairs", "x", "-o", "y", "--noise", "pink"), "gaussian, rician"),
        (("--make-pairs", "x", "-o", "y", "--percent", "3,3"), "each once"),
        (("--make-pairs", "x", "--reader-pack", "y"), "give one of them"),
        (("--reader-pack", "y", "--results", "a=a"), "needs two results"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], said: str, run: Run) -> None:
    if "half" in arguments or "x" in arguments[1:2]:
        Path("x").mkdir(exist_ok=True)
    run(*EVALUATE, *arguments).failed_cleanly(2, said)


def test_another_task_and_a_missing_folder(run: Run) -> None:
    run("evaluate", "segment").failed_cleanly(2, "must be denoise, fidelity, utility, calibration")
    run(*EVALUATE, "--clean", "no", "--noisy", "no").failed_cleanly(3, "no such folder")


# --- readers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pack(pairs: Path, run: Run) -> Path:
    results(pairs, "half", 0.5)
    results(pairs, "most", 0.9)
    two = ("--results", "m1=half", "--results", "m2=most")
    done = run(*EVALUATE, "--reader-pack", "pack", *two, "--noisy", "pairs/noisy", "--seed", 3)
    assert done.code == 0, done.err
    return pairs.parent / "pack"


def test_nothing_in_a_pack_tells_the_method_or_the_scan(pack: Path) -> None:
    names = sorted(path.relative_to(pack).as_posix() for path in pack.rglob("*") if path.is_file())
    assert {"README.txt", "scores.csv", "pack.json", "images/item-001.png", "images/item-006_B.nii.gz"} <= set(names)
    assert "images/item-001_input.nii.gz" in (pack / "README.txt").read_text()
    for path in pack.rglob("*"):
        assert not re.search(r"m1|m2|half|most|gaussian|varying", path.name)
        if path.suffix in (".txt", ".csv", ".json"):
            assert not re.search(r"\bm1\b|\bm2\b|half|most|gaussian|varying", path.read_text())
    for first in pack.glob("images/*_A.nii.gz"):
        second = first.with_name(first.name.replace("_A", "_B"))
        a, b = (gzip.decompress(path.read_bytes()) for path in (first, second))
        assert a[:352] == b[:352]  # the whole header
        assert a != b
        assert first.read_bytes()[4:8] == bytes(4)  # no time in gzip's header
        assert read_nifti(first).header.descrip == read_nifti(second).header.descrip  # type: ignore[union-attr]


def test_a_pack_is_unblinded_with_its_own_key_only(pack: Path, run: Run) -> None:
    key = json.loads((pack.parent / "pack-key" / "key.json").read_text())
    side = {one["item"]: "A" if one["A"] == "m2" else "B" for one in key["items"]}
    assert len(set(side.values())) == 2
    filled = (pack / "scores.csv").read_text().splitlines()
    rows = [f"{line.split(',')[0]},{side[line.split(',')[0]]},5,2,no,no," for line in filled[1:]]
    (pack / "scores.csv").write_text("\n".join([filled[0], *rows]))
    done = run(*EVALUATE, "--score-pack", pack, "--json")
    (one,) = done.json["readers"]["scores"]["preferences"]
    assert one["better"] == {"m1": 0, "m2": 6}
    assert one["interval_95"] == pytest.approx([0.0, 0.4593], abs=1e-4)  # 1 - 0.025^(1/6)
    assert one["p_value"] == pytest.approx(2 / 64)
    text = run(*EVALUATE, "--score-pack", pack).out
    assert "m1 better in 0, m2 better in 6" in text
    assert "6 items of 3 patients" in text
    (pack.parent / "pack-key" / "key.json").write_text(json.dumps({**key, "seed": 4}, indent=2) + "\n")
    run(*EVALUATE, "--score-pack", pack).failed_cleanly(3, "was changed")


def test_a_pack_that_was_read_is_never_replaced(pack: Path, run: Run) -> None:
    again = (*EVALUATE, "--reader-pack", "pack", "--results", "m1=half", "--results", "m2=most")
    run(*again).failed_cleanly(2, "--overwrite")
    assert run(*again, "--overwrite").code == 0
    assert "input" not in (pack / "README.txt").read_text()  # --noisy was left out
    (pack / "scores.csv").write_text((pack / "scores.csv").read_text().replace("item-001,,", "item-001,A,"))
    run(*again, "--overwrite").failed_cleanly(2, "filled in")
    run(*again, "--key", "pack/key.json").failed_cleanly(2, "lies inside the pack")


def test_images_that_were_changed_and_empty_tables_are_refused(pack: Path, run: Run) -> None:
    run(*EVALUATE, "--score-pack", pack).failed_cleanly(3, "no row filled in")
    first, second = pack / "images" / "item-001_A.nii.gz", pack / "images" / "item-001_B.nii.gz"
    first.write_bytes(second.read_bytes())
    run(*EVALUATE, "--score-pack", pack).failed_cleanly(3, "item-001_A.nii.gz is not what was sealed")
    run(*EVALUATE, "--score-pack", pack.parent).failed_cleanly(3, "no pack.json")
