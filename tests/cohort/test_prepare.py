"""A cohort into a store: what is stored, what is refused, copies, and that order and kills change nothing."""

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medidiff.cohort import prepare as preparation
from medidiff.cohort.checks import Rejection, doubtful_units
from medidiff.cohort.manifest import AttributeKind
from medidiff.cohort.prepare import Cohort, NothingUsable, Prepared, prepare
from medidiff.cohort.prepare_scan import Item, body_box, prepare_scan
from medidiff.cohort.recipe import Recipe, Window
from medidiff.cohort.store import META, Store
from medidiff.errors import InputError, OutputError, UsageError
from medidiff.io import hash_array

from .prepare_items import Ball, Scans, ball, several

KINDS: dict[str, AttributeKind] = {"age": "continuous", "sex": "categorical"}


def cohort(items: list[Item]) -> Cohort:
    return Cohort(tuple(items), kinds=KINDS)


def manifest_of(store: Path) -> str:
    return hashlib.sha256((store / "manifest.parquet").read_bytes()).hexdigest()


def only(ball: Ball, folder: Path, recipe: Recipe | None = None) -> Prepared:
    scans = Scans().add(ball, "p").add(Ball(999, shape=(32, 32, 32)), "q").add(Ball(998, shape=(32, 32, 32)), "r")
    return prepare(Cohort(tuple(scans.items)), folder / "s", recipe or Recipe(), seed=1)


def row_of(done: Prepared, source: str = "scan-000.nii.gz"):
    return next(row for row in done.rows if row.source == source)


# What is stored -----------------------------------------------------------------------------------------------------


def test_values_in_the_store_are_the_scan_normalised(tmp_path: Path) -> None:
    reading = Ball(5)()
    done = only(Ball(5), tmp_path)
    row = row_of(done)
    stored = Store.open(tmp_path / "s").read(row.scan_id).astype(np.float64)
    back = stored * row.intensity_scale + row.intensity_offset
    # float16 has 11 significant bits: half a step of values up to 2 is 2^-11
    np.testing.assert_allclose(back, reading.volume.data, atol=row.intensity_scale * 2**-11 * 1.01)
    low, high = np.percentile(reading.volume.data, [0.5, 99.5])
    assert row.intensity_offset - row.intensity_scale == pytest.approx(low, rel=1e-5)
    assert row.intensity_offset + row.intensity_scale == pytest.approx(high, rel=1e-5)
    assert (row.patient, row.shape, row.spacing_mm) == ("p", (20, 18, 16), (1.0, 1.0, 1.0))
    Store.open(tmp_path / "s").check_scan(row)


@pytest.mark.parametrize("sd", [1.0, 3.0, 6.0])
@pytest.mark.parametrize("spacing", ["native", (2.0, 2.0, 2.0), (1.6, 1.6, 1.0)])
def test_tau_is_the_noise_that_is_left_on_the_stored_grid(
    sd: float, spacing: tuple[float, float, float], tmp_path: Path
) -> None:
    shape = (96, 96, 96)
    clean = prepare_of(Ball(1, shape, noise=1e-6), tmp_path / "c", Recipe(spacing_mm=spacing))
    noisy = prepare_of(Ball(1, shape, noise=sd), tmp_path / "n", Recipe(spacing_mm=spacing))
    left = noisy[0] * noisy[1]["intensity_scale"] - clean[0] * clean[1]["intensity_scale"]
    left += noisy[1]["intensity_offset"] - clean[1]["intensity_offset"]
    truth = left.std() / noisy[1]["intensity_scale"]
    # The quietest tenth of blocks of 216 coefficients is read: that is a few percent below the true level.
    assert noisy[1]["tau"] == pytest.approx(truth, rel=0.15)


def prepare_of(ball: Ball, folder: Path, recipe: Recipe) -> tuple[np.ndarray, dict]:
    store = Store.create(folder, recipe.model_dump(mode="json"))
    measured = prepare_scan(Item("a", "p", "k", ball), recipe, store)
    assert isinstance(measured, dict), measured
    return store.read(measured["scan_id"]).astype(np.float64), measured


def test_a_window_is_the_same_for_every_scan_and_clips(tmp_path: Path) -> None:
    recipe = Recipe(intensity=Window(low=20, high=100))
    stored, measured = prepare_of(Ball(2, modality="CT"), tmp_path / "s", recipe)
    assert (measured["intensity_offset"], measured["intensity_scale"]) == (60, 40)
    assert stored.min() == -1
    assert stored.max() == 1
    expected = np.clip((Ball(2)().volume.data - 60) / 40, -1, 1).astype(np.float16)
    np.testing.assert_array_equal(stored, expected)


def test_clipping_does_not_hide_the_noise(tmp_path: Path) -> None:
    # The plateau of 110 lies above the window: stored it is 1 everywhere, and still its noise is 3 of 25.
    recipe = Recipe(intensity=Window(low=50, high=100))
    stored, measured = prepare_of(Ball(6, shape=(48, 48, 48), noise=3), tmp_path / "s", recipe)
    assert (stored == 1).mean() > 0.1
    assert measured["tau"] == pytest.approx(3 / 25, rel=0.15)


def test_the_body_box_and_cropping_to_it(tmp_path: Path) -> None:
    data = np.full((60, 50, 40), -1.0, dtype=np.float32)
    data[20:41, 10:30, 5:35] = 0.5
    data[0, 0, 0] = 1.0  # a speck that is not the body
    assert body_box(data) == ((20, 10, 5), (41, 30, 35))
    recipe = Recipe(crop_to_body=True, crop_margin_mm=3, least_foreground=0.001)
    big = Ball(3, shape=(40, 40, 40), spacing_mm=(1.5, 1.5, 1.5), noise=0.5, radius=0.4)
    plain, before = prepare_of(big, tmp_path / "a", Recipe())
    cut, after = prepare_of(big, tmp_path / "b", recipe)
    first = [n - 2 for n in before["body_low"]]
    assert min(first) > 2
    box = tuple(slice(a, a + n) for a, n in zip(first, cut.shape, strict=True))
    np.testing.assert_array_equal(cut, plain[box])
    moved = np.array(after["affine_ras"]).reshape(4, 4)[:3, 3] - np.array(before["affine_ras"]).reshape(4, 4)[:3, 3]
    np.testing.assert_allclose(moved, 1.5 * np.array(first))
    np.testing.assert_array_equal(np.array(after["body_low"]) + first, before["body_low"])


def test_masks_go_with_the_scan(tmp_path: Path) -> None:
    _, measured = prepare_of(Ball(4, mask=2), tmp_path / "s", Recipe(spacing_mm=(2, 2, 2)))
    store = Store(str(tmp_path / "s"), json.loads((tmp_path / "s" / META).read_text()))
    mask = store.read(measured["scan_id"], array="mask")
    assert mask.dtype == np.uint8
    assert mask.shape == tuple(measured["shape"])
    assert (mask == 2).all()


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ball", "recipe", "kind", "said"),
    [
        (Ball(0, change="nan"), Recipe(), "not finite", "NaN or infinite"),
        (Ball(0, change="constant"), Recipe(), "constant", "every voxel is 7"),
        (Ball(0, change="flat"), Recipe(), "geometry", "spacing"),
        (Ball(0, change="empty"), Recipe(), "near-empty", "above the background"),
        (Ball(0, change="noise"), Recipe(), "near-empty", "nothing but noise"),
        (Ball(0, change="hot"), Recipe(), "intensity", "times the scan's range"),
        (Ball(0, change="labels"), Recipe(), "label map", "holds only the values 0, 1"),
        (Ball(0, change="unreadable"), Recipe(), "unreadable", "damaged (bad magic)"),
        (Ball(0, change="crash"), Recipe(), "unreadable", "unexpected RuntimeError"),
        (Ball(0, shape=(20, 20, 6)), Recipe(), "too small", "20x20x6"),
        (Ball(0), Recipe(spacing_mm=(4, 4, 4)), "too small", "5x4x4"),
        (Ball(0, modality="MR"), Recipe(intensity=Window(low=-100, high=200)), "intensity", "window is for CT"),
        (Ball(0), Recipe(intensity=Window(low=-3000, high=-2000)), "intensity", "is it CT in HU"),
        (Ball(0), Recipe(intensity=Window(low=2000, high=3000)), "near-empty", "0.00%"),
    ],
)
def test_each_kind_of_bad_scan(ball: Ball, recipe: Recipe, kind: str, said: str, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", {})
    outcome = prepare_scan(Item("a/b.nii.gz", "p", "k", ball), recipe, store)
    assert isinstance(outcome, Rejection)
    assert (outcome.kind, outcome.source, outcome.failed) == (kind, "a/b.nii.gz", True)
    assert said in outcome.reason
    assert "Doe" not in outcome.reason
    assert not list((tmp_path / "s").glob("scans/*/*"))


def test_bad_scans_are_listed_and_the_rest_is_done(tmp_path: Path) -> None:
    scans = Scans(several(8)).add(Ball(50, change="nan")).add(Ball(51, change="constant"))
    done = prepare(cohort(scans.items), tmp_path / "s", Recipe(), seed=1)
    assert len(done.rows) == 8
    assert done.failed == 2
    listed = (tmp_path / "s" / "rejected.tsv").read_text().splitlines()
    assert listed[0] == "file\tkind\treason\tfailed"
    assert [line.split("\t")[:2] for line in listed[1:]] == [
        ["scan-008.nii.gz", "not finite"], ["scan-009.nii.gz", "constant"]]  # fmt: skip


def test_a_cohort_of_constant_scans_leaves_no_store_that_can_be_trained_on(tmp_path: Path) -> None:
    scans = Scans().add(Ball(0, change="constant")).add(Ball(1, change="constant"))
    with pytest.raises(NothingUsable, match="2 refused \\(2 constant\\)") as caught:
        prepare(cohort(scans.items), tmp_path / "s", Recipe())
    assert len(caught.value.rejections) == 2
    assert caught.value.exit_code == 3
    with pytest.raises(InputError, match="not finished"):
        Store.open(tmp_path / "s")


def test_a_cohort_of_one_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cohort of one"):
        prepare(cohort(Scans().add(Ball(0), "p").add(Ball(1), "p").items), tmp_path / "s", Recipe())
    assert not (tmp_path / "s").exists()


# Copies -------------------------------------------------------------------------------------------------------------


def test_copies_are_found_also_with_other_axes_and_headers(tmp_path: Path) -> None:
    scans = Scans(several(6))
    scans.add(Ball(0, shape=(16, 15, 14)), "patient-0").add(Ball(2, shape=(18, 15, 14), change="turned"), "patient-1")
    done = prepare(cohort(scans.items), tmp_path / "s", Recipe(), seed=1)
    assert [(one.source, one.kind, one.failed) for one in done.rejections] == [
        ("scan-006.nii.gz", "duplicate", False), ("scan-007.nii.gz", "duplicate", False)]  # fmt: skip
    assert len(done.rows) == 6
    assert done.failed == 0


def test_one_scan_of_two_patients_is_left_out_under_every_name(tmp_path: Path) -> None:
    scans = Scans(several(6)).add(Ball(0, shape=(16, 15, 14)), "somebody-else")
    scans.add(Ball(0, shape=(16, 15, 14)), "patient-0")  # and once more the first one's
    for name, order in (("s", scans.items), ("t", scans.items[::-1])):
        done = prepare(cohort(order), tmp_path / name, Recipe(), seed=1)
        assert [(one.source, one.kind, one.failed) for one in done.rejections] == [
            (f"scan-{k:03d}.nii.gz", "duplicate of another patient", True) for k in (0, 6, 7)]  # fmt: skip
        assert "scan-006.nii.gz, WHICH" in done.rejections[0].reason
        assert "scan-000.nii.gz, WHICH" in done.rejections[1].reason
        assert any("TWO PATIENTS" in text for text in done.warnings)
        assert [row.source for row in sorted(done.rows, key=lambda row: row.source)] == [
            f"scan-{k:03d}.nii.gz" for k in range(1, 6)]  # fmt: skip


@pytest.mark.parametrize(("modality", "shift", "told"), [("", 0, True), ("CT", 0, False), ("", -1000, False)])
def test_a_window_on_values_that_do_not_look_like_hu(modality: str, shift: float, told: bool) -> None:
    volume = Ball(0)().volume
    volume = volume.with_data(volume.data + np.float32(shift))
    said = doubtful_units(volume, modality, Recipe(intensity=Window(low=-1000, high=1000)))
    assert bool(said) == told
    assert not told or "--modality CT" in said[0]
    assert not doubtful_units(volume, modality, Recipe())


def test_of_copies_with_different_masks_the_first_by_path_is_stored_whatever_the_order(tmp_path: Path) -> None:
    items = Scans(several(6)).add(Ball(100, mask=1), "a").add(Ball(100, mask=2), "a").items
    hashes = set()
    for name, order in (("x", items), ("y", items[::-1])):
        done = prepare(cohort(order), tmp_path / name, Recipe(), seed=1)
        row = row_of(done, "scan-006.nii.gz")
        assert (done.store.read(row.scan_id, array="mask") == 1).all()
        done.store.check_scan(row)
        hashes.add(done.store.content_hash)
    assert len(hashes) == 1


# The same whatever happens ------------------------------------------------------------------------------------------


def test_order_processes_and_interruption_change_nothing(tmp_path: Path) -> None:
    items = [*several(16), *Scans().add(Ball(0, shape=(16, 15, 14)), "patient-0").items[:0]]
    shuffled = random.Random(3).sample(items, len(items))
    plain = prepare(cohort(items), tmp_path / "a", Recipe(), seed=4)
    parallel = prepare(cohort(shuffled), tmp_path / "b", Recipe(), seed=4, jobs=2)
    prepare(cohort(shuffled[:7]), tmp_path / "c", Recipe(), seed=4)
    resumed = prepare(cohort(items), tmp_path / "c", Recipe())  # the seed is the store's own by now
    assert resumed.resumed == 7
    remote = prepare(cohort(shuffled), f"memory://prepare-{tmp_path.name}", Recipe(), seed=4)
    hashes = {done.store.content_hash for done in (plain, parallel, resumed, remote)}
    assert len(hashes) == 1
    assert len({manifest_of(tmp_path / name) for name in "abc"}) == 1
    assert Store.open(f"memory://prepare-{tmp_path.name}").content_hash in hashes
    splits = {row.patient: row.split for row in plain.rows}
    assert {row.patient: row.split for row in parallel.rows} == splits


def test_another_seed_recipe_or_holdout_is_refused_with_what_differs(tmp_path: Path) -> None:
    items = several(6)
    prepare(cohort(items), tmp_path / "s", Recipe(), seed=4)
    before = manifest_of(tmp_path / "s")
    with pytest.raises(UsageError, match=r"spacing_mm: native -> \[1\.0, 1\.0, 1\.0\]"):
        prepare(cohort(items), tmp_path / "s", Recipe(spacing_mm=(1, 1, 1)))
    with pytest.raises(UsageError, match="seed: 4 -> 5"):
        prepare(cohort(items), tmp_path / "s", Recipe(), seed=5)
    with pytest.raises(UsageError, match="holdout: coin -> none"):
        prepare(cohort(items), tmp_path / "s", Recipe(), holdout="none")
    assert manifest_of(tmp_path / "s") == before


def test_a_coin_that_decided_nothing_may_change(tmp_path: Path) -> None:
    items = several(6)
    said = {f"patient-{k}": "train" for k in range(3)}
    whole = replace(cohort(items), splits=said)
    prepare(whole, tmp_path / "s", Recipe())
    done = prepare(whole, tmp_path / "s", Recipe(), seed=9, holdout="none")
    assert done.assignment.record["seed"] is None
    done = prepare(cohort(items), tmp_path / "s", Recipe(), seed=9, holdout="none")  # now it is needed
    assert done.assignment.record["seed"] == 9
    with pytest.raises(UsageError, match="seed: 9 -> 8"):
        prepare(cohort(items), tmp_path / "s", Recipe(), seed=8, holdout="none")


def test_a_seed_that_was_drawn_is_kept_by_a_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = several(10)
    real = preparation.prepare_all

    def stopped(todo, recipe, store, jobs, finished):
        real(todo[:4], recipe, store, jobs, finished)
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "prepare_all", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(cohort(items), tmp_path / "s", Recipe())
    noted = json.loads((tmp_path / "s" / "prepare.jsonl").read_text().splitlines()[1])["value"]["seed"]
    with pytest.raises(InputError, match="not finished"):
        Store.open(tmp_path / "s")
    monkeypatch.setattr(preparation, "prepare_all", real)
    done = prepare(cohort(items), tmp_path / "s", Recipe())
    assert done.resumed == 4
    assert done.assignment.record["seed"] == noted


def test_half_a_line_in_the_journal_and_a_half_written_scan_do_no_harm(tmp_path: Path) -> None:
    items = several(8)
    whole = prepare(cohort(items), tmp_path / "a", Recipe(), seed=1).store.content_hash
    prepare(cohort(items[:5]), tmp_path / "s", Recipe(), seed=1)
    journal = tmp_path / "s" / "prepare.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"key": "key-5", "scan_id": "00')
    partial = tmp_path / "s" / "scans" / "ab"
    (partial / ".abcdef.1234.partial").mkdir(parents=True)
    done = prepare(cohort(items), tmp_path / "s", Recipe(), seed=1)
    assert done.resumed == 5
    assert done.store.content_hash == whole
    assert prepare(cohort(items), tmp_path / "s", Recipe()).resumed == 8
    assert not list((tmp_path / "s").glob("scans/*/.*"))


def test_a_changed_file_is_read_again_and_a_removed_one_leaves_the_manifest(tmp_path: Path) -> None:
    items = several(6)
    prepare(cohort(items), tmp_path / "s", Recipe(), seed=1)
    changed = [replace(items[0], key="key-0 changed", read=Ball(77)), *items[1:5]]
    done = prepare(cohort(changed), tmp_path / "s", Recipe(), seed=1)
    assert done.resumed == 4
    assert len(done.rows) == 5
    fresh = prepare(cohort(changed), tmp_path / "fresh", Recipe(), seed=1)
    assert fresh.store.content_hash == done.store.content_hash


def test_scans_that_were_removed_from_a_store_are_prepared_again(tmp_path: Path) -> None:
    import shutil

    import fsspec

    items = several(6)
    whole = prepare(cohort(items), tmp_path / "s", Recipe(), seed=1)
    row = whole.rows[2]
    shutil.rmtree(tmp_path / "s" / "scans" / row.scan_id[:2] / row.scan_id)
    assert prepare(cohort(items), tmp_path / "s", Recipe()).resumed == 5
    assert Store.open(tmp_path / "s").read(row.scan_id).shape == row.shape
    url = f"memory://removed-{tmp_path.name}"
    prepare(cohort(items), url, Recipe(), seed=1)
    assert prepare(cohort(items), url, Recipe()).resumed == 6
    fsspec.filesystem("memory").rm(f"/removed-{tmp_path.name}", recursive=True)
    again = prepare(cohort(items), url, Recipe(), seed=1)
    assert (again.resumed, again.store.content_hash) == (0, whole.store.content_hash)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    from medidiff.cohort.journal import Journal, journal_path

    with Journal(journal_path(tmp_path / "s"), "x"), pytest.raises(UsageError, match="another `medidiff prepare`"):
        Journal(journal_path(tmp_path / "s"), "x").__enter__()


def test_a_full_disk_leaves_what_was_finished_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = several(8)
    before = prepare(cohort(items[:3]), tmp_path / "s", Recipe(), seed=1).store.content_hash
    write, calls = Store.write_scan, []

    def full(self: Store, *args: object) -> int:
        calls.append(1)
        if len(calls) > 2:
            raise OutputError("s: the disk is full.")
        return write(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "write_scan", full)
    with pytest.raises(OutputError, match="disk is full"):
        prepare(cohort(items), tmp_path / "s", Recipe(), seed=1)
    assert Store.open(tmp_path / "s").content_hash == before
    monkeypatch.setattr(Store, "write_scan", write)
    done = prepare(cohort(items), tmp_path / "s", Recipe(), seed=1)
    assert done.resumed == 5
    assert len(done.rows) == 8


def test_the_hash_of_the_stored_voxels_does_not_hang_on_layout() -> None:
    data = ball((8, 9, 10)).astype(np.float16)
    assert hash_array(data) == hash_array(np.asfortranarray(data))
