"""Patients of several sources, and of a run that goes on: nobody who trains in one place is held out in another."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medidiff.cohort import PatchDataModule
from medidiff.cohort.augment import Augmentation
from medidiff.cohort.overlap import check_apart
from medidiff.cohort.sources import FolderSource, load_source
from medidiff.cohort.store import Store
from medidiff.cohort.store_source import StoreCases, StoreSource, store_cases
from medidiff.errors import ConfigError, InputError

MakeStore = Callable[..., Store]
SCANS = [("ann", "train", 30.0, "f"), ("bob", "train", 40.0, "m"), ("cid", "holdout", 50.0, "m")]


def source(store: Store, name: str, **more: object) -> StoreSource:
    return StoreSource.model_validate({"name": name, "url": store.url, **more})


def apart(*sources: StoreSource) -> list[str]:
    return check_apart(sources, [store_cases(one, "train") for one in sources], Path())


def test_a_scan_held_out_elsewhere_is_refused(make_store: MakeStore) -> None:
    one = source(make_store(SCANS, name="one"), "one")
    other = source(make_store([("ann", "holdout", 30.0, "f"), *SCANS[1:2]], name="other"), "other")
    with pytest.raises(ConfigError, match="1 scan of train of one is in holdout of other"):
        apart(one, other)
    with pytest.raises(ConfigError, match="of train of one is in holdout of other"):
        apart(other, one)
    assert apart(one, one.model_copy(update={"name": "again"})) == []


def test_a_scan_that_where_leaves_out_is_no_leak(make_store: MakeStore) -> None:
    one = source(make_store(SCANS, name="one"), "one", where={"patient": ["bob"]})
    other = source(make_store([("ann", "holdout", 30.0, "f"), *SCANS[1:2]], name="other"), "other")
    assert apart(one, other) == []


def test_a_patient_held_out_elsewhere_is_told(make_store: MakeStore) -> None:
    one = source(make_store(SCANS, name="one"), "one")
    others = [(patient, {"ann": "val"}.get(patient, "train"), age, sex) for patient, _, age, sex in SCANS]
    other = source(make_store(others, shape=(20, 20, 20), name="other"), "other")
    first, second = apart(one, other)
    assert first.startswith("1 patient identifier of train of one is in val of other")
    assert second.startswith("1 patient identifier of train of other is in holdout of one")


def test_a_folder_s_table_counts_too(make_store: MakeStore, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("case\tsplit\nann\tholdout\n")
    folder = FolderSource(name="folder", files="{case}.nii", table="p.tsv", licence="none")
    one = source(make_store(SCANS, name="one"), "one")
    assert list(load_source(folder, tmp_path, tmp_path, "val")) == []
    (told,) = check_apart([one, folder], [store_cases(one, "train"), []], tmp_path)
    assert "in holdout of folder" in told


def module(store: Store) -> PatchDataModule:
    data = PatchDataModule(
        (source(store, "one"),), Path(), Path(), (16, 16, 16), batch=1, steps=1, augmentation=Augmentation(), seed=0
    )
    data.setup()
    return data


def test_a_run_does_not_go_on_with_other_scans(make_store: MakeStore) -> None:
    store = make_store(SCANS)
    state = module(store).state_dict()
    module(store).load_state_dict(state)
    module(store).load_state_dict({})  # of a checkpoint before this was kept
    moved = [dataclasses.replace(row, split="holdout" if row.patient == "ann" else row.split) for row in store.scans()]
    store.write_manifest(moved, {"age": "continuous", "sex": "categorical"})
    with pytest.raises(InputError, match="changed since the run began"):
        module(store).load_state_dict(state)


def test_scans_without_a_mask_are_left_out_of_masks(make_store: MakeStore) -> None:
    store = make_store(SCANS)
    gone = next(row.scan_id for row in store.scans("train") if row.patient == "ann")
    shutil.rmtree(Path(store.url) / "scans" / gone[:2] / gone / "mask")
    masks = store_cases(source(store, "masks", array="mask"), "train")
    assert isinstance(masks, StoreCases)
    assert masks.patients == {"bob"}
    assert len(store_cases(source(store, "masks", array="mask"), "val")) == 0
