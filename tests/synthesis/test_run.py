"""Shards, restarts, damage and disputes: the set is the same, or the job says why not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medidiff.cohort.journal import Journal
from medidiff.errors import OutputError, UsageError
from medidiff.prior import Prior
from medidiff.synthesis import write
from medidiff.synthesis.controls import matched
from medidiff.synthesis.journals import journal_file, read_journal
from medidiff.synthesis.request import SetRequest
from medidiff.synthesis.run import Job, Where, run
from medidiff.tasks.condition_request import parse_requests
from medidiff.tasks.sample_maker import Sample, SampleMaker

from .conftest import SLOTS, Options, differing, files_of

COUNT = 7


@pytest.fixture(scope="module")
def request_of(priors_folder: Path) -> Callable[..., SetRequest]:
    def make_request(**changes: Any) -> SetRequest:
        plan = matched(parse_requests(SLOTS, ["volume_ml=p0:p20", "sex=F"]), "volume_ml", SLOTS)
        return SetRequest(priors_folder / "tinymask.safetensors", COUNT, plan=plan, **{"seed": 5, **Options, **changes})

    return make_request


@pytest.fixture(scope="module")
def whole(request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set made at once."""
    root = tmp_path_factory.mktemp("whole") / "set"
    go(request_of(), mask_prior, root)
    return root


def go(request: SetRequest, prior: Prior, root: Path, shard: tuple[int, int] = (0, 1), **more: Any) -> Job:
    progress = more.pop("progress", None)
    return run(request, request.maker(prior), Where(root, shard, **more), progress)


def test_shards_in_any_order_make_the_same_files(
    whole: Path, request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    jobs = [go(request_of(), mask_prior, tmp_path / "set", (i, 3)) for i in (2, 0, 1)]
    assert [job.made for job in jobs] == [2, 3, 2]
    assert [job.merged for job in jobs] == [False, False, True]
    assert [job.missing for job in jobs] == [5, 2, 0]
    assert differing(whole, tmp_path / "set") == []
    assert len(files_of(whole)) == 3 * COUNT + 5  # scan, mask, record; settings, manifest, labels, two cards


def test_a_stopped_job_goes_on_where_it_was(
    whole: Path, request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    root = tmp_path / "set"

    def stop(done: int, total: int, row: dict[str, Any]) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(request_of(), mask_prior, root, progress=stop)
    assert not (root / "manifest.parquet").exists()
    # What a power cut leaves: half a line, half a file beside its place, a file whose line was not written.
    journal = journal_file(root, (0, 1))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    (root / ".partial-0000-of-0001").mkdir()
    (root / ".partial-0000-of-0001" / "synthetic-000003.nii.gz").write_bytes(b"half")
    job = go(request_of(), mask_prior, root)
    assert (job.before, job.made) == (2, COUNT - 2)
    assert differing(whole, root) == []


def test_a_damaged_file_is_made_again_and_told(
    whole: Path, request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    go(request_of(), mask_prior, root, (0, 2))
    go(request_of(), mask_prior, root, (1, 2))
    changed = bytearray((root / "synthetic-000002.nii.gz").read_bytes())
    changed[-20] ^= 1
    (root / "synthetic-000002.nii.gz").write_bytes(changed)
    (root / "synthetic-000005_mask.nii.gz").unlink()
    job = go(request_of(), mask_prior, root)  # cut another way: one job for all
    assert job.damaged == [2, 5]
    assert (job.made, job.before) == (2, COUNT - 2)
    assert differing(whole, root) == []


def test_other_settings_are_refused_unless_they_replace_the_set(
    request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    go(request_of(layout="nnunet"), mask_prior, root)
    before = files_of(root)
    with pytest.raises(UsageError, match="holds a set with other settings"):
        go(request_of(seed=6), mask_prior, root)
    assert files_of(root) == before
    mine = root / "imagesTr" / "mine.txt"
    mine.write_text("kept")
    with pytest.raises(UsageError, match=r"not the set's, imagesTr/mine\.txt: nothing was removed"):
        go(replace(request_of(), seed=6), mask_prior, root, overwrite=True)
    assert mine.read_text() == "kept"
    mine.unlink()
    assert files_of(root) == before
    fresh = go(replace(request_of(), seed=6), mask_prior, root, overwrite=True)
    assert fresh.made == COUNT
    assert go(replace(request_of(), seed=6), mask_prior, root, overwrite=True).made == 0  # the same set: gone on with


def test_what_a_killed_job_had_not_noted_is_replaced_too(
    request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    """Killed between the files' renaming and the journal's line: they are the set's, though no journal says so."""
    root = tmp_path / "set"
    go(request_of(), mask_prior, root)
    journal = journal_file(root, (0, 1))
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    stranger = root / "synthetic-000900.nii.gz"  # of another set
    stranger.write_text("mine")
    there = files_of(root)
    with pytest.raises(UsageError, match=r"not the set's, synthetic-000900\.nii\.gz: nothing was removed"):
        go(replace(request_of(), seed=6), mask_prior, root, overwrite=True)
    assert files_of(root) == there
    stranger.unlink()
    assert go(replace(request_of(), seed=6), mask_prior, root, overwrite=True).merged


def test_a_folder_of_somebody_else_is_not_touched(
    request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"no set of medidiff synth, such as thesis\.txt"):
            go(request_of(), mask_prior, tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_one_process_a_shard_and_one_cut_at_a_time(
    whole: Path, request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    go(request_of(), mask_prior, root, (0, 2))
    identity = json.loads(journal_file(root, (0, 2)).read_text().splitlines()[0])["identity"]
    with Journal(journal_file(root, (0, 2)), identity):
        with pytest.raises(UsageError, match="--shard 0/2: another process works on this shard"):
            go(request_of(), mask_prior, root, (0, 2))
        with pytest.raises(UsageError, match="with another number of shards"):
            go(request_of(), mask_prior, root, (0, 1))
        assert go(request_of(), mask_prior, root, (1, 2)).merged
    assert differing(whole, root) == []


def test_a_full_disk_keeps_what_is_finished(
    whole: Path,
    request_of: Callable[..., SetRequest],
    mask_prior: Prior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, written = tmp_path / "set", []

    def full(volume: Any, path: Path, *args: Any, **more: Any) -> None:
        if len(written) == 5:
            raise OutputError("the disk is full")
        written.append(path)
        write_nifti(volume, path, *args, **more)

    write_nifti = write.write_nifti
    monkeypatch.setattr(write, "write_nifti", full)
    with pytest.raises(OutputError, match="full"):
        go(request_of(), mask_prior, root)
    assert sorted(path.name for path in root.glob("*.nii.gz")) == [
        f"synthetic-00000{i}{kind}.nii.gz" for i in (0, 1) for kind in ("", "_mask")
    ]
    assert not list(root.glob(".partial*"))
    monkeypatch.undo()
    assert go(request_of(), mask_prior, root).before == 2
    assert differing(whole, root) == []


class Fickle(SampleMaker):
    """Draws no scan until the attempt whose number is the sample's, and none at all for number 6."""

    def make(self, index: int, attempt: int = 0, conditions: Any = None, callback: Any = None) -> Sample:
        made = super().make(index, attempt, conditions, callback)
        if index == 6 or attempt < index % 3:
            return replace(made, image=np.full_like(made.image, np.nan))
        return made


def test_what_is_thrown_away_is_drawn_again_and_counted(
    request_of: Callable[..., SetRequest], mask_prior: Prior, tmp_path: Path
) -> None:
    request = request_of()
    maker = request.maker(mask_prior)
    maker.__class__ = Fickle
    job = run(request, maker, Where(tmp_path / "set"))
    assert job.merged
    rows = [job.rows[i] for i in range(COUNT)]
    assert [row["attempt"] for row in rows] == [0, 1, 2, 0, 1, 2, 4]
    assert [row["status"] for row in rows] == ["done"] * 6 + ["failed"]
    assert rows[2]["rejected"] == ["not finite: 4096 voxels"] * 2
    assert not (tmp_path / "set" / "synthetic-000006.nii.gz").exists()
    card = (tmp_path / "set" / "README.md").read_text()
    assert "11 of 17 draws" in card  # 0 + 1 + 2 + 0 + 1 + 2 thrown away and six kept, then five more for number 6
    assert "- not finite: 11" in card
    assert "Given up: 6." in card
    lines = (tmp_path / "set" / "labels.csv").read_text().splitlines()
    assert len(lines) == 1 + 6


def test_the_journal_tells_of_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "shard-0000-of-0001.jsonl"
    with Journal(path, "x") as journal:
        journal.add("1", {"index": 1})
        journal.add("2", {"index": 2})
    assert [row["index"] for row in read_journal(path, "x")] == [1, 2]
    assert list(read_journal(path, "y")) == []
    path.write_bytes(path.read_bytes()[:-3])
    assert [row["index"] for row in read_journal(path, "x")] == [1]


def test_bad_requests_are_refused(prior_file: Path, tmp_path: Path) -> None:
    for changes, said in (
        ({"count": 0}, "-n 0"),
        ({"first": -1}, "--first -1"),
        ({"layout": "zip"}, "--layout zip: must be flat, bids, nnunet"),
        ({"layout": "bids", "form": "dicom"}, "holds NIfTI files"),
        ({"max_attempts": 0}, "--max-attempts 0"),
    ):
        with pytest.raises(UsageError, match=said):
            SetRequest(prior_file, **{"count": 1, **changes})
    with pytest.raises(UsageError, match="--shard 4/4"):
        Where(tmp_path, (4, 4))
    with pytest.raises(UsageError, match="--engine slurm: must be local"):
        Where(tmp_path, engine="slurm")
