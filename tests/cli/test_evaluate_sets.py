"""`medidiff evaluate fidelity|utility|calibration`: files, JSON and exit codes, on scans that are known."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medidiff.io import write_nifti
from medidiff.volume import Volume

from .conftest import Run

SHAPE = (14, 12, 13)


def scan(
    path: Path,
    rng: np.random.Generator,
    blur: bool = False,
    mask: bool = False,
    shape: tuple[int, int, int] = SHAPE,
) -> None:
    """A noisy ball of random size."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    radius = float(rng.uniform(0.4, 0.8))
    inside = (grid**2).sum(axis=0) < radius**2
    noise = rng.normal(0, 60, shape)
    if blur:
        noise = gaussian_filter(noise, 1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(Volume((600 * inside + 200 + noise).astype(np.float32), np.eye(4)), path, "float32")
    if mask:
        name = path.name.replace(".nii.gz", "_mask.nii.gz")
        write_nifti(Volume(inside.astype(np.uint8), np.eye(4)), path.with_name(name), "uint8")


def folder(root: Path, count: int, seed: int, each: int = 1, **options: Any) -> Path:
    """Scans with a table of patient, sex, age and split."""
    rng = np.random.default_rng(seed)
    lines = ["case\tpatient\tsex\tage_years\tsplit"]
    for i in range(count):
        scan(root / f"s{seed}x{i:02d}.nii.gz", rng, **options)
        patient = f"q{seed}x{i // each:02d}"
        split = "train" if i % (2 * each) < each else "holdout"
        lines.append(f"s{seed}x{i:02d}\t{patient}\t{'FM'[i // each % 2]}\t{30 + i // each}\t{split}")
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    folder(root / "real", 40, 1, each=2, mask=True)
    folder(root / "made", 24, 2, mask=True)
    folder(root / "blurred", 24, 3, blur=True)
    folder(root / "few", 6, 4)
    folder(root / "large", 6, 5, each=2, shape=(28, 26, 24))
    return root


def test_fidelity_tells_the_same_source_from_another(sets: Path, tmp_path: Path, run: Run) -> None:
    done = run("evaluate", "fidelity", sets / "made", "--real", sets / "real", "--draws", 60, "-o", "out", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert (told["kind"], told["inside"]) == ("fidelity", True)
    assert told["about"]["window_voxels"] == [14, 12, 12]  # even sides
    assert told["about"]["real_patients"] == 20
    for one in told["features"].values():
        assert one["size"] == 19
        assert one["distances"]["rbf"]["verdict"] == "inside"
    assert told["ms_ssim"]["synthetic"]["pairs"] == 100
    groups = {f"{row['attribute']} {row['label']}": row for row in told["subgroups"]["rows"]}
    assert {"sex F", "sex M", "age_years 20 to 40", "age_years 40 to 60"} == set(groups)
    assert (groups["sex F"]["patients"], groups["sex F"]["synthetic"], groups["sex F"]["status"]) == (
        10,
        12,
        "compared",
    )
    assert any("--split holdout" in text for text in told["warnings"])
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == told
    page = (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for text in ("Research use only", "sex F", "Given as synthetic", "band of real patients"):
        assert text in page
    words = re.sub(r"data:[^\"]*", "", page)  # three letters stand in a picture by chance
    assert "q1x" not in words, "no patient is named"
    blurred = run("evaluate", "fidelity", sets / "blurred", "--real", sets / "real", "--draws", 60)
    assert blurred.code == 0
    assert "outside" in blurred.out
    assert "differ by more than two groups of real patients do" in blurred.out


def test_utility_of_pairs_and_of_attributes(sets: Path, tmp_path: Path, run: Run) -> None:
    done = run(
        "evaluate",
        "utility",
        sets / "made",
        "--real",
        sets / "real",
        "--steps",
        15,
        "--scans",
        20,
        "-o",
        "out",
        "--json",
    )
    assert done.code == 0, done.err
    told = done.json
    (task,) = told["tasks"]
    assert (task["name"], task["figure"], task["patients"]) == ("segmentation", "Dice", 10)
    assert 0 <= task["synthetic"]["mean"] <= 1
    assert task["difference"]["mean"] == pytest.approx(task["synthetic"]["mean"] - task["real"]["mean"])
    assert 0 <= told["shortcut"]["auc"]["low"] <= told["shortcut"]["auc"]["high"] <= 1
    assert all(row["utility"] is not None for row in told["subgroups"]["rows"] if row["patients"])
    assert "Shortcut test" in (tmp_path / "out" / "report.html").read_text()
    plain = run("evaluate", "utility", sets / "blurred", "--real", sets / "real", "--steps", 3, "--json")
    assert plain.code == 0, plain.err
    assert [task["name"] for task in plain.json["tasks"]] == ["sex", "age_years"]
    assert "No label maps on both sides" in plain.json["why_tasks"]


def test_calibration_counts_patients(sets: Path, tmp_path: Path, run: Run) -> None:
    ask = ("evaluate", "calibration", sets / "large", "-p", "tiny", "--patients", 2)
    done = run(*ask, "--noise", "gaussian,varying", "--percent", "40,80", "-o", "out", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert [one["noise"] for one in told["kinds"]] == ["gaussian", "varying"]
    first = told["kinds"][0]
    assert (first["patients"], first["scans"]) == (2, 8)  # two scans of each, two levels
    assert not first["calibrated"]
    assert first["factor"] == pytest.approx(1.6449)
    assert 0 <= first["coverage"]["mean"] <= 1
    assert [level["percent"] for level in first["levels"]] == [40, 80]
    assert told["about"]["prior"] == "tiny 0"
    assert "90% intervals" in (tmp_path / "out" / "report.html").read_text()
    low = run(*ask, "--noise", "gaussian", "--percent", "1")
    low.failed_cleanly(3, "its own noise")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fidelity", "made"), 2, "--real: must be given"),
        (("fidelity", "made", "--real", "real", "--draws", "0"), 2, "--draws 0"),
        (("fidelity", "made", "--real", "real", "--seed", "-1"), 2, "--seed -1"),
        (("fidelity", "made", "--real", "real", "-o", "real/participants.tsv"), 2, "is a file"),
        (("fidelity", "few", "--real", "real"), 3, "6 synthetic and 40 real scans"),
        (("fidelity", "made", "--real", "nowhere"), 3, "no such folder"),
        (("fidelity", "made", "--real", "few", "--split", "val"), 3, "no scan of the split val"),
        (("utility", "made", "--real", "few", "--steps", "1"), 3, "6 real patients"),
        (("utility", "made", "--real", "real", "--steps", "0"), 2, "--steps 0"),
        (("calibration", "real", "-p", "tiny", "--patients", "0"), 2, "--patients 0"),
        (("calibration", "real", "-p", "tiny", "--noise", "pink"), 2, "gaussian, rician"),
        (("calibration", "real", "-p", "tiny", "--percent", "low"), 2, "must be numbers"),
        (("calibration", "real", "-p", "nobody"), 6, "nobody"),
    ],
)
def test_what_cannot_be_is_refused(
    sets: Path, arguments: tuple[str, ...], code: int, said: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sets)
    run("evaluate", *arguments).failed_cleanly(code, said)


def test_a_report_is_replaced_only_when_told_and_only_ours(sets: Path, tmp_path: Path, run: Run) -> None:
    ask = ("evaluate", "fidelity", sets / "made", "--real", sets / "real", "--draws", 10, "-o", "out")
    assert run(*ask).code == 0
    run(*ask).failed_cleanly(2, "report.html: exists. --overwrite")
    assert run(*ask, "--overwrite").code == 0
    (tmp_path / "out" / "report.json").write_text('{"format": "mine"}')
    run(*ask, "--overwrite").failed_cleanly(2, "did not write it")


def test_grids_that_differ_are_refused(sets: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "coarse").mkdir()
    for i in range(9):
        data = np.random.default_rng(i).normal(size=SHAPE).astype(np.float32)
        write_nifti(Volume(data, np.diag([2.0, 2, 2, 1])), tmp_path / "coarse" / f"c{i}.nii.gz", "float32")
    run("evaluate", "fidelity", sets / "made", "--real", "coarse").failed_cleanly(7, "different grids")
