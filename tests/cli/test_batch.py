"""Folders: resume, refusal, one bad file among good ones, nothing half-written. With a task that needs no network."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medidiff.cli.batch import Batch
from medidiff.cli.discover import discover
from medidiff.cli.entries import summary
from medidiff.cli.jobs import Job, plan
from medidiff.cli.sources import NiftiSource
from medidiff.errors import InputError, OutputError, UsageError
from medidiff.io import read_nifti
from medidiff.result import Result
from medidiff.volume import Volume

from .conftest import Run, make_scan


@dataclass
class Halve:
    """Halves a scan; fails for the scan called `fails_on`."""

    factor: float = 0.5
    samples: int = 0
    save: Sequence[str] = ()
    report: bool = False
    fails_on: str = ""
    error: BaseException = field(default_factory=lambda: RuntimeError("boom"))
    name: str = "halve"
    prior: Mapping[str, str] = field(default_factory=lambda: {"name": "none", "hash": "0"})
    inputs: Sequence[Path] = ()
    calls: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"factor": self.factor, "samples": self.samples}

    def check_machine(self) -> None: ...

    def check_settings(self) -> None: ...

    def check(self, volume: Volume) -> None: ...

    def for_frames(self, volumes: Iterable[Volume], frames: int, diffusion: bool) -> "Halve":
        return self

    def foresee(self, volume: Volume, missing: Sequence[int] = ()) -> list[str]:
        return []

    def run(self, volume: Volume, missing: Sequence[int] = ()) -> Result:
        self.calls.append(volume.name)
        if volume.name == self.fails_on:
            raise self.error
        output = volume.with_data(volume.data * self.factor)
        samples = [volume.with_data(volume.data + i) for i in range(self.samples)]
        return Result(
            task="halve", status="halved", output=output, residual=volume.with_data(volume.data - output.data),
            samples=samples, warnings=["a warning"], figures={"factor": self.factor},
        )  # fmt: skip


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for i, name in enumerate(("a.nii.gz", "b.nii", "c.nii.gz")):
        make_scan(folder / name, seed=i)
    (folder / "notes.txt").write_text("not a scan")
    return folder


def run_batch(
    task: Halve, source: Path, output: Path, overwrite: bool = False, dry_run: bool = False
) -> dict[str, Any]:
    found = discover(source)
    jobs = plan(found, str(output))
    return summary(Batch(task, jobs, found.many, overwrite, dry_run).run(), dry_run)


def planned(source: Path, output: Path | str) -> list[Job]:
    return plan(discover(source), str(output))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*"))


def test_a_folder_keeps_names_and_gets_records(scans: Path, tmp_path: Path) -> None:
    told = run_batch(Halve(), scans, tmp_path / "out")
    assert (told["status"], told["exit_code"], told["done"]) == ("done", 0, 3)
    assert names(tmp_path / "out") == ["a.json", "a.nii.gz", "b.json", "b.nii", "c.json", "c.nii.gz"]
    before, after = read_nifti(scans / "a.nii.gz"), read_nifti(tmp_path / "out" / "a.nii.gz")
    np.testing.assert_array_equal(after.affine_ras, before.affine_ras)
    np.testing.assert_allclose(after.data, before.data / 2, atol=0.02)
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["result"]["status"] == record["status"] == "halved"
    assert record["request"]["settings"] == {"factor": 0.5, "samples": 0}
    assert len(record["request"]["input_file_sha256"]) == 64


def test_running_again_does_only_what_is_missing(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_batch(Halve(), scans, out)
    (out / "b.nii").unlink()
    kept = (out / "a.nii.gz").stat().st_mtime_ns
    again = Halve()
    told = run_batch(again, scans, out)
    assert again.calls == ["b"]
    assert (told["done"], told["skipped"]) == (1, 2)
    assert [f["status"] for f in told["files"]] == ["skipped", "halved", "skipped"]
    assert (out / "a.nii.gz").stat().st_mtime_ns == kept


def test_other_settings_are_refused_by_name_and_nothing_is_done(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_batch(Halve(), scans, out)
    (out / "a.nii.gz").unlink()
    (out / "a.json").unlink()
    task = Halve(factor=0.25)
    with pytest.raises(UsageError, match=r"settings\.factor was 0\.5, is 0\.25"):
        run_batch(task, scans, out)
    assert task.calls == []
    assert not (out / "a.nii.gz").exists()
    told = run_batch(task, scans, out, overwrite=True)
    assert told["done"] == 3


def test_a_changed_input_is_refused(scans: Path, tmp_path: Path) -> None:
    run_batch(Halve(), scans, tmp_path / "out")
    make_scan(scans / "a.nii.gz", seed=99)
    with pytest.raises(UsageError, match="the input file"):
        run_batch(Halve(), scans, tmp_path / "out")


def test_files_of_others_are_untouched(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.json").write_text('{"EchoTime": 0.01}')
    (out / "keep.nii.gz").write_text("mine")
    with pytest.raises(UsageError, match="was not written by medidiff"):
        run_batch(Halve(), scans, out, overwrite=True)
    (out / "a.json").unlink()
    (out / "a.nii.gz").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        run_batch(Halve(), scans, out)
    assert (out / "a.nii.gz").read_text() == "mine"
    (out / "a.nii.gz").unlink()
    run_batch(Halve(), scans, out)
    assert (out / "keep.nii.gz").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("boom"), 1), (InputError("b: bad"), 3), (MemoryError(), 5)], ids=lambda v: str(v)
)
def test_one_bad_file_does_not_stop_the_rest(
    scans: Path, tmp_path: Path, error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run_batch(Halve(fails_on="b", error=error), scans, tmp_path / "out")
    assert (told["status"], told["exit_code"], told["done"], told["failed"]) == ("partly done", 4, 2, 1)
    assert told["files"][1]["exit_code"] == code
    assert names(tmp_path / "out") == ["a.json", "a.nii.gz", "c.json", "c.nii.gz"]
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ") and "b.nii" in line]
    assert len(warned) == 1
    assert warned[0].count("b.nii") == 1


def test_a_full_disk_stops_the_run_and_keeps_what_is_done(scans: Path, tmp_path: Path) -> None:
    task = Halve(fails_on="b", error=OSError(28, "No space left on device"))
    with pytest.raises(OutputError, match="the disk is full"):
        run_batch(task, scans, tmp_path / "out")
    assert names(tmp_path / "out") == ["a.json", "a.nii.gz"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("no"), OutputError("full")], ids=lambda e: repr(e))
def test_nothing_remains_of_a_run_that_failed(tmp_path: Path, error: BaseException) -> None:
    make_scan(tmp_path / "a.nii.gz")
    with pytest.raises(type(error)):
        run_batch(Halve(fails_on="a", error=error), tmp_path / "a.nii.gz", tmp_path / "new" / "deep" / "out.nii.gz")
    assert names(tmp_path) == ["a.nii.gz"]


def test_all_failing_gives_their_code(scans: Path, tmp_path: Path) -> None:
    for path in scans.glob("*.nii*"):
        path.write_text("text")
    told = run_batch(Halve(), scans, tmp_path / "out")
    assert (told["status"], told["exit_code"], told["failed"]) == ("failed", 3, 3)
    assert not (tmp_path / "out").exists()


def test_samples_spread_residual_and_page_stand_beside(tmp_path: Path) -> None:
    make_scan(tmp_path / "a.nii.gz")
    task = Halve(samples=3, save=("residual",), report=True)
    run_batch(task, tmp_path / "a.nii.gz", tmp_path / "out" / "x.nii.gz")
    assert names(tmp_path / "out") == [
        "x.html", "x.json", "x.nii.gz", "x_residual.nii.gz", "x_sample-1.nii.gz", "x_sample-2.nii.gz",
        "x_sample-3.nii.gz", "x_std.nii.gz",
    ]  # fmt: skip
    # the samples are the scan plus 0, 1 and 2: their standard deviation is exactly 1
    spread = read_nifti(tmp_path / "out" / "x_std.nii.gz")
    np.testing.assert_allclose(spread.data, 1.0, atol=1e-6)
    assert spread.header is not None
    assert spread.header.dtype == "float32"


def test_overwriting_removes_what_would_be_outdated(tmp_path: Path) -> None:
    make_scan(tmp_path / "a.nii.gz")
    target = tmp_path / "out" / "x.nii.gz"
    run_batch(Halve(samples=3), tmp_path / "a.nii.gz", target)
    with pytest.raises(UsageError, match="--overwrite"):
        run_batch(Halve(), tmp_path / "a.nii.gz", target)
    run_batch(Halve(samples=1), tmp_path / "a.nii.gz", target, overwrite=True)
    assert names(tmp_path / "out") == ["x.json", "x.nii.gz", "x_sample-1.nii.gz"]


def test_dry_run_writes_nothing(scans: Path, tmp_path: Path) -> None:
    task = Halve()
    told = run_batch(task, scans, tmp_path / "out", dry_run=True)
    assert told["status"] == "checked"
    assert [f["status"] for f in told["files"]] == ["checked"] * 3
    assert (told["done"], told["checked"]) == (0, 3)
    assert task.calls == []
    assert not (tmp_path / "out").exists()


def test_plans_that_would_lose_a_file_are_refused(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="input folder"):
        planned(scans, scans)
    jobs = planned(scans / "a.nii.gz", scans / "a.nii.gz")
    with pytest.raises(UsageError, match="is also an input"):
        Batch(Halve(), jobs, folder=False, overwrite=True).run()
    (tmp_path / "link.nii.gz").symlink_to(scans / "a.nii.gz")
    with pytest.raises(UsageError, match="is also an input"):
        run_batch(Halve(), scans / "a.nii.gz", tmp_path / "link.nii.gz", overwrite=True)
    make_scan(scans / "a.nii")  # a.nii and a.nii.gz: both records would be a.json
    with pytest.raises(UsageError, match="two inputs"):
        run_batch(Halve(), scans, tmp_path / "out")


def test_where_outputs_go(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    scan = scans / "a.nii.gz"
    assert planned(scan, tmp_path / "there") == [Job(NiftiSource(scan), tmp_path / "there" / "a.nii.gz")]
    assert planned(scan, "new/") == [Job(NiftiSource(scan), Path("new/a.nii.gz"))]
    for output, said in (("x.png", r"\.nii\.gz"), ("x", "or be a folder")):
        with pytest.raises(UsageError, match=said):
            planned(scan, output)
    with pytest.raises(UsageError, match="must be one too"):
        planned(scans, "out.nii.gz")
    with pytest.raises(InputError, match="no such file"):
        planned(tmp_path / "nothing.nii.gz", "x.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no NIfTI files"):
        planned(tmp_path / "empty", "out")


def test_an_interrupted_folder_says_how_far_it_came(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from medidiff.cli import convert_task

    for name in "abc":
        make_scan(tmp_path / f"{name}.nii.gz")
    convert = convert_task.ConvertTask.run

    def interrupt(self: Any, volume: Volume, missing: Any = ()) -> Result:
        if volume.name == "b":
            raise KeyboardInterrupt
        return convert(self, volume, missing)

    with monkeypatch.context() as patch:
        patch.setattr(convert_task.ConvertTask, "run", interrupt)
        done = run("convert", tmp_path, "-o", "out", "--json")
        done.failed_cleanly(130, "1 of 3 done; run the same command again to resume.")
        assert (done.json["status"], done.json["done"], done.json["failed"]) == ("interrupted", 1, 0)
        assert [one["status"] for one in done.json["files"]] == ["converted", "interrupted"]
        run("convert", tmp_path, "-o", "out").failed_cleanly(130, "1 of 3 done")
    assert run("convert", tmp_path, "-o", "out").out == "out: 2 done, 1 skipped\n"
