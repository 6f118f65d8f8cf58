"""`medidiff audit` from folders to a verdict, a page and an exit code; what makes it worthless is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from medidiff.cli.audit_run_folder import CHECKED, by_coin, check_list, coin_in
from medidiff.cohort.commitment import commitment, site_key
from medidiff.cohort.run_holdout import RunCoin, write_record
from medidiff.cohort.scan_set import find_scan_set
from medidiff.errors import InputError
from medidiff.io import write_nifti
from medidiff.prior import Prior
from medidiff.privacy.report_record import read_audit, set_hash
from medidiff.privacy.thresholds import Thresholds
from medidiff.volume import Volume

from .conftest import Run

SHAPE = (16, 16, 16)


def person(seed: int) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.0).astype(np.float32)


def folder(root: Path, images: list[np.ndarray], name: str, spacing_mm: float = 1.0) -> Path:
    root.mkdir(parents=True)
    for i, image in enumerate(images):
        affine = np.diag([spacing_mm] * 3 + [1.0])
        write_nifti(Volume(image, affine, None, f"{name}{i}"), root / f"{name}{i}.nii.gz")
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    folder(root / "train", [person(i) for i in range(10)], "t")
    folder(root / "holdout", [person(100 + i) for i in range(10)], "h")
    folder(root / "copies", [person(i) * 3 + 7 for i in range(8)] + [person(200 + i) for i in range(8)], "s")
    (root / "quick.yaml").write_text("{permutations: 999, planted: 10, must_see: [exact], encoder_steps: 2}\n")
    return root


def audit(run: Run, world: Path, synthetic: str, *more: str) -> tuple[int, str, str]:
    done = run(
        "audit", world / synthetic, "--train", world / "train", "--holdout", world / "holdout",
        "--thresholds", world / "quick.yaml", "--threads", 1, *more,
    )  # fmt: skip
    return done.code, done.out, done.err


def test_copies_fail_with_a_page_that_shows_no_patient(run: Run, world: Path, tmp_path: Path) -> None:
    code, out, err = audit(run, world, "copies", "-o", str(tmp_path / "out"), "--json")
    assert code == 10, err
    told = json.loads(out)
    assert told["verdict"] == "FAIL"
    report = read_audit(tmp_path / "out" / "audit.json")
    assert report.verdict == "FAIL"
    assert report.synthetic_hash == set_hash(world / "copies")
    assert (report.samples, report.references["train_patients"]) == (16, 10)
    assert report.thresholds == Thresholds(permutations=999, planted=10, must_see=("exact",), encoder_steps=2)
    assert {note.file for note in report.worst_samples} >= {f"s{i}.nii.gz" for i in range(8)}
    assert {*told["look_first_at"]} == {f"s{i}.nii.gz" for i in range(8)}
    assert not {n.file for n in report.worst_samples} & {n.file for n in report.random_samples}
    assert report.words.startswith("By thresholds other than the usual ones (permutations 999 for 9999")
    text = (tmp_path / "out" / "audit.json").read_text() + (tmp_path / "out" / "audit_card.md").read_text()
    page = (tmp_path / "out" / "audit.html").read_text()
    for i in range(10):
        assert f"t{i}.nii" not in text + page
        assert f"h{i}.nii" not in text + page
    assert "INTERNAL" not in page
    notes = (*report.worst_samples, *report.random_samples)
    assert page.count("<img") == len(notes)
    assert "cannot see" in page
    again, _, err = audit(run, world, "copies", "-o", str(tmp_path / "out"))
    assert again == 2
    assert "--overwrite" in err


def test_sides_that_are_swapped_are_no_pass_and_a_person_is_shown_them(run: Run, world: Path, tmp_path: Path) -> None:
    done = run(
        "audit", world / "copies", "--train", world / "holdout", "--holdout", world / "train", "--thresholds",
        world / "quick.yaml", "--threads", 1, "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    assert done.code == 11, done.err
    told = json.loads(done.out)
    assert "8 synthetics ARE scans of holdout patients" in told["words"]
    assert {*told["look_first_at"]} == {f"s{i}.nii.gz" for i in range(8)}
    worst = read_audit(tmp_path / "out" / "audit.json").worst_samples
    assert "to one holdout patient is" in worst[0].why


def test_one_person_under_two_names_is_named_on_the_terminal_alone(run: Run, world: Path, tmp_path: Path) -> None:
    twice = folder(tmp_path / "twice", [person(100 + i) for i in range(10)], "h")
    write_nifti(Volume(person(3) * 1.5 + 4, np.eye(4), None, "again"), twice / "again.nii.gz")
    done = run(
        "audit", world / "copies", "--train", world / "train", "--holdout", twice, "--thresholds", world / "quick.yaml",
        "--threads", 1, "-o", tmp_path / "out",
    )  # fmt: skip
    assert "t3.nii.gz (train) and again.nii.gz (holdout) look like one person" in done.err
    assert "1 pairs of scans look like one person" in done.out
    assert all("again.nii" not in path.read_text() for path in (tmp_path / "out").iterdir())


def test_the_internal_page_says_that_it_must_stay(run: Run, world: Path, tmp_path: Path) -> None:
    code, _, err = audit(run, world, "copies", "-o", str(tmp_path / "out"), "--internal")
    assert code == 10, err
    assert "must not leave the site" in (tmp_path / "out" / "audit.html").read_text()


def test_what_makes_an_audit_worthless_is_refused(run: Run, world: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    few = folder(tmp_path / "few", [person(300 + i) for i in range(3)], "f")
    coarse = folder(tmp_path / "coarse", [person(300 + i) for i in range(10)], "c", 2.0)
    bad = person(400)
    bad[3, 3, 3] = np.nan
    broken = folder(tmp_path / "broken", [person(300 + i) for i in range(10)], "b")
    nan = Volume.from_array(person(1))
    nan.data[3, 3, 3] = np.nan
    write_nifti(nan, broken / "b0.nii.gz")
    (tmp_path / "empty").mkdir()
    masks = folder(tmp_path / "masks", [(person(500 + i) > 0).astype(np.float32) for i in range(10)], "m")
    small, small_train, small_holdout = (
        folder(tmp_path / f"small{j}", [person(600 + 20 * j + i)[:10] for i in range(10)], f"l{j}") for j in range(3)
    )
    given = {"set": world / "copies", "train": world / "train", "holdout": world / "holdout"}
    for changed, code, words in (
        ({"holdout": world / "train"}, 3, "in train and in holdout"),
        ({"holdout": few}, 3, "3 patients"),
        ({"holdout": coarse}, 7, "one spacing"),
        ({"set": broken}, 3, "finite"),
        ({"set": tmp_path / "empty"}, 3, "no scan"),
        ({"set": tmp_path / "nowhere"}, 3, "no such folder"),
        ({"set": masks}, 3, "a label map"),
        ({"set": small, "train": small_train, "holdout": small_holdout}, 3, "an audit needs 16"),
    ):
        paths = {**given, **changed}
        done = run("audit", paths["set"], "--train", paths["train"], "--holdout", paths["holdout"], *out)
        assert done.code == code, (changed, done.err)
        assert words in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(run: Run, world: Path) -> None:
    code, _, err = audit(run, world, "copies", "-o", "/proc/medidiff-audit")
    assert code == 5
    assert "cannot be written" in err
    assert "compared" not in err


def test_arguments_that_mean_nothing_are_refused(run: Run, world: Path, tmp_path: Path) -> None:
    assert run("audit").code == 2
    assert run("audit", world / "copies", "--train", world / "train").code == 2
    assert run("audit", "--plan", 2).code == 2
    assert "DIR, --output cannot be given" in run("audit", world / "copies", "-o", "x", "--plan", 100).err
    sides = ("--train", world / "train", "--holdout", world / "holdout")
    assert "--plan alone" in run("audit", world / "copies", *sides, "--samples", 5).err
    wrong = tmp_path / "wrong.yaml"
    for text in ("alpha: 0.2\n", "must_see: [exact, wobble]\n", "must_see: []\n"):
        wrong.write_text(text)
        code, _, err = audit(run, world, "copies", "-o", str(tmp_path / "o"), "--thresholds", str(wrong))
        assert code == 2
        assert "configs/audit.yaml" in err
        assert ("Known: alpha_primary" in err) == (text == "alpha: 0.2\n")


def test_the_runs_coin_parts_patients_and_its_key_checks_them(world: Path, tmp_path: Path, tiny_prior: Any) -> None:
    train = find_scan_set(world / "train")
    assert coin_in(None) is None
    with pytest.raises(InputError, match="no such folder"):
        coin_in(tmp_path / "nowhere")
    assert coin_in(tmp_path) is None
    assert by_coin(train, train, None) == (train, train)
    coin = RunCoin(7, 0.4)
    write_record(tmp_path, coin, [])
    trained, held = by_coin(train, train, coin_in(tmp_path))
    assert trained.patients | held.patients == train.patients
    assert held.patients == {name for name in train.patients if coin.keeps_out(name)}
    card = tiny_prior.card.training.model_copy(update={"commitment": commitment(trained.patients, site_key(tmp_path))})
    prior = Prior(tiny_prior.card.model_copy(update={"training": card}), tiny_prior.weights)
    assert check_list(tmp_path, prior, trained) == CHECKED
    assert check_list(None, prior, trained) != CHECKED
    with pytest.raises(InputError, match="not those that the prior tiny says"):
        check_list(tmp_path, prior, train)


def test_a_plan_tells_what_could_be_shown(run: Run) -> None:
    done = run("audit", "--plan", 200)
    assert done.code == 0
    assert done.out.count("holdout patients and 200 synthetics") == 3
    told = json.loads(run("audit", "--plan", 200, "--json").out)
    assert [p["n_holdout"] for p in told["plans"]] == [50, 67, 100]
    few = json.loads(run("audit", "--plan", 200, "--samples", 40, "--json").out)["plans"]
    assert [p["n_synthetic"] for p in few] == [40] * 3
    assert not any(p["can_pass"] for p in few)
    assert run("audit", "--plan", 200, "--samples", 0).code == 2


def test_the_shipped_thresholds_are_the_defaults() -> None:
    from medidiff.cli.audit_run import read_thresholds

    assert read_thresholds(Path(__file__).parents[2] / "configs" / "audit.yaml") == Thresholds()
