"""`medidiff synth` as a person and as a scheduler use it."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medidiff.prior import AdvisedGuidance, Prior
from medidiff.synthesis.dataset import read_settings

from .conftest import Run, differing, files_of

FAST = ("--steps", 3, "--precision", "float32", "--check", "none")


def test_a_set_and_what_is_told(run: Run, tmp_path: Path) -> None:
    asked = ("synth", "-p", "tinymask", "-n", 4, "-o", "set", "--cond", "volume_ml=p0:p20", "--balance", "volume_ml")
    plan = run(*asked, *FAST, "--dry-run", "--json")
    assert plan.code == 0, plan.err
    told = json.loads(plan.out)
    assert told["status"] == "checked"
    assert told["evaluations_a_scan"] == 4
    assert told["seconds"] >= 0
    assert not (tmp_path / "set").exists()
    done = run(*asked, *FAST)
    assert done.code == 0, done.err
    assert "set: 4 synthetic scans" in done.out
    assert "groups: case 2, control 2" in done.out
    again = json.loads(run(*asked, *FAST, "--json").out)
    assert (again["made"], again["before"], again["merged"]) == (0, 4, True)
    assert again["settings_hash"] == told["settings_hash"]
    other = run(*asked, "--steps", 4, "--precision", "float32", "--check", "none")
    assert other.code == 2
    assert "--steps was 3, is 4" in other.err


def test_what_changes_nothing_or_leaves_one_alone_is_told(run: Run) -> None:
    asked = ("synth", "-p", "tinymask", "-n", 3, "-o", "set", *FAST, "--dry-run", "--json")
    for options, said in (
        (("--guidance-prior", "tinymask"), "--guidance 1 is none"),
        (("--guidance", 2), "nothing was asked, so there is nothing to follow"),
        (("--cond", "sex=F", "--balance", "sex"), "give an even --first and -n"),
    ):
        warnings = json.loads(run(*asked, *options).out)["warnings"]
        assert any(said in text for text in warnings)
    assert not json.loads(run(*asked, "--cond", "sex=F", "--guidance", 2).out)["warnings"]


def test_guidance_is_the_priors_unless_it_is_said(run: Run, mask_prior: Prior, tmp_path: Path) -> None:
    card = mask_prior.card.model_copy(update={"guidance": AdvisedGuidance(weight=2, low=0.3)})
    Prior(card, mask_prior.weights).save(tmp_path / "advised.safetensors")
    for options, weight, interval in (
        (("--cond", "sex=F"), 2, [0.3, None]),
        (("--cond", "sex=F", "--guidance", 3), 3, [0.0, None]),
        (("--cond", "sex=F", "--guidance", 1), None, None),
        ((), None, None),
    ):
        done = run("synth", "-p", "advised.safetensors", "-n", 1, "-o", "set", "--overwrite", *options, *FAST)
        assert done.code == 0, done.err
        told = read_settings(tmp_path / "set")
        assert told is not None
        assert told["guidance"] == (None if weight is None else {"weight": weight, "interval": interval})
    assert run("verify", "set", "-p", "advised.safetensors").code == 0


def test_what_cannot_be_kept_ends_with_4(run: Run) -> None:
    asked = ("synth", "-p", "tinymask", "-n", 2, "-o", "set", "--cond", "volume_ml=1:1.1", "--steps", 3)
    done = run(*asked, "--check", "volume_ml=1%", "--max-attempts", 2, "--json")
    assert done.code == 4
    told = json.loads(done.out)
    assert (told["scans"], told["failed"], told["rejected"]) == (0, [0, 1], 4)
    assert told["reasons"] == {"volume_ml": 4}
    assert "given up after 2 draws" in done.err
    assert json.loads(run(*asked, "--check", "volume_ml=1%", "--max-attempts", 2, "--json").out)["made"] == 0


def test_tables(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("volume_ml,sex\n1.5,F\n2.5,M\n")
    done = run("synth", "-p", "tinymask", "-n", 3, "-o", "a", "--cond-table", "rows.csv", *FAST)
    assert done.code == 0, done.err
    lines = (tmp_path / "a" / "labels.csv").read_text().splitlines()
    assert [line.split(",")[3:5] for line in lines[1:]] == [["F", "1.5"], ["M", "2.5"], ["F", "1.5"]]
    (tmp_path / "cohort.tsv").write_text(
        "patient\tvolume_ml\tsex\n" + "".join(f"p{i}\t2.{i}\tF\n" for i in range(8)) + "q\t3\tM\n"
    )
    done = run("synth", "-p", "tinymask", "-n", 12, "-o", "b", "--like", "cohort.tsv", "--balance", "sex", *FAST)
    assert done.code == 0, done.err
    assert "every scan is labelled with one row of cohort.tsv" in done.err
    assert "sex: every scan has those of one row of cohort.tsv" in (tmp_path / "b" / "README.md").read_text()
    sexes = [line.split(",")[3] for line in (tmp_path / "b" / "labels.csv").read_text().splitlines()[1:]]
    assert 3 <= sexes.count("M") <= 9  # evenly: 6 expected of 12; as in the table it would be 1.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cond", "volume_ml=9"), "must be from 1 to 5 ml"),
        (("--cond", "ankle=9"), "ankle"),
        (("--balance", "sex"), "say what the cases show"),
        (("--cond", "sex=F", "--balance", "volume_ml"), "say what the cases show"),
        (("--controls", "some"), "--controls some: must be matched or none"),
        (("--shard", "3"), "--shard 3: must be i/k"),
        (("--shape", "9"), "--shape 9: must be three numbers"),
        (("--like", "a.csv", "--cond-table", "b.csv"), "two tables"),
        (("--engine", "slurm"), "--engine slurm"),
        (("--guidance-interval", "3"), "--guidance-interval 3"),
    ],
)
def test_slips_are_refused_before_any_work(options: tuple[str, ...], said: str, run: Run, tmp_path: Path) -> None:
    done = run("synth", "-p", "tinymask", "-n", 1, "-o", "set", *options)
    assert done.code == 2, done.err
    assert said in done.err
    assert not (tmp_path / "set").exists()


def test_a_prior_that_is_not_there(run: Run) -> None:
    assert run("synth", "-p", "nobody", "-n", 1, "-o", "set").code == 6


def test_numbers_beyond_the_trained_range_are_marked(run: Run, tmp_path: Path) -> None:
    done = run("synth", "-p", "tinymask", "-n", 1, "-o", "set", "--cond", "volume_ml=9", "--extrapolate", *FAST)
    assert done.code == 0, done.err
    assert "beyond the trained range: 1 scan, marked" in done.out
    assert json.loads((tmp_path / "set" / "synthetic-000000.json").read_text())["extrapolated"] == ["volume_ml"]


def test_extending_by_first_gives_the_numbers_that_come_next(run: Run, tmp_path: Path) -> None:
    common = ("--cond", "volume_ml=1:2", *FAST)
    assert run("synth", "-p", "tinymask", "-n", 3, "-o", "a", *common).code == 0
    assert run("synth", "-p", "tinymask", "-n", 1, "-o", "b", "--first", 2, *common).code == 0
    names = ("synthetic-000002.nii.gz", "synthetic-000002_mask.nii.gz")
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_a_full_disk_ends_with_5_and_room_goes_on(run: Run, small_disk: Path, tmp_path: Path) -> None:
    asked = ("synth", "-p", "tinymask", "-n", 25, "--cond", "volume_ml=1:2", *FAST)
    done = run(*asked, "-o", small_disk / "set")
    assert done.code == 5, done.err
    finished = sorted(path.name for path in (small_disk / "set").glob("synthetic-*.json"))
    assert 2 <= len(finished) < 25
    assert f"{len(finished)} of 25 scans done; the same command goes on" in done.err
    assert not list((small_disk / "set").glob(".partial*"))
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    more = run(*asked, "-o", small_disk / "set", "--json")
    assert more.code == 0, more.err
    assert json.loads(more.out)["before"] == len(finished)
    assert run(*asked, "-o", "whole").code == 0
    assert differing(small_disk / "set", tmp_path / "whole") == []


@pytest.mark.slow
def test_kill_9_loses_nothing_finished(start: Callable[..., Any], tmp_path: Path) -> None:
    asked = ("synth", "-p", "tinymask", "-n", 150, "--cond", "volume_ml=1:2", *FAST)
    job = start(*asked, "-o", "killed")
    deadline = time.monotonic() + 120
    while (
        len(list((tmp_path / "killed").glob("synthetic-*.json"))) < 20
        and job.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    job.kill()
    job.communicate()
    finished = files_of(tmp_path / "killed")
    assert 20 <= len(list((tmp_path / "killed").glob("*_mask.nii.gz"))) < 150
    for folder in ("killed", "whole"):
        job = start(*asked, "-o", folder)
        assert job.communicate()[1] is not None
        assert job.returncode == 0
    assert differing(tmp_path / "killed", tmp_path / "whole") == []
    after = files_of(tmp_path / "killed")
    assert all(after[name] == content for name, content in finished.items() if not name.startswith(".partial"))


@pytest.mark.slow
def test_ray_makes_the_same_files(start: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    asked = ("synth", "-p", "tinymask", "-n", 12, "--cond", "volume_ml=p0:p20", "--threads", 1, *FAST)
    for folder, engine in (("ray", ("--engine", "ray", "--workers", 2)), ("local", ())):
        job = start(*asked, "-o", folder, "--json", *engine)
        out, told = job.communicate()
        assert job.returncode == 0, told
        assert json.loads(out)["made"] == 12
    assert differing(tmp_path / "ray", tmp_path / "local") == []
    logged = (tmp_path / "ray" / "runs" / "shard-0000-of-0001.log").read_text()
    assert '"engine": "ray"' in logged
