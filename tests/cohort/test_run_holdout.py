"""The coin of a run: the one of `prepare`, patients and never scans, and what has been decided already."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medidiff.cohort.augment import PLAIN
from medidiff.cohort.cases import draw
from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.manifest import AttributeKind
from medidiff.cohort.prepare import Cohort, prepare
from medidiff.cohort.recipe import Recipe
from medidiff.cohort.run_holdout import RECORD, SHARE, RunCoin, run_coin, write_record
from medidiff.cohort.sources import FolderSource, load_source, source_holdout
from medidiff.cohort.split import Coin
from medidiff.cohort.store import Store
from medidiff.cohort.store_source import StoreSource
from medidiff.errors import ConfigError, InputError

from .prepare_items import several

KINDS: dict[str, AttributeKind] = {"age": "continuous", "sex": "categorical"}
MakeStore = Callable[..., Store]
NAMES = [f"p{k}" for k in range(12)]
SCANS = [(name, "train", 30.0, "f") for name in NAMES for _ in range(2)] + [("val", "val", 40.0, "m")]


def test_it_is_the_coin_of_prepare() -> None:
    coin = RunCoin(5)
    train_share = 1 - SHARE
    for name in NAMES:
        assert coin.keeps_out(name) == (Coin("coin", 5).number(name) < SHARE)
    n = 20_000
    held = sum(coin.keeps_out(f"p{k}") for k in range(n))
    canaries = [coin.keeps_out(f"p{k}") for k in range(n) if coin.is_canary(f"p{k}")]
    assert sum(canaries) == held
    assert abs(sum(canaries) / len(canaries) - 0.5) <= 2.5 * len(canaries) ** -0.5
    assert abs(held / n - SHARE) <= 5 * (SHARE * train_share / n) ** 0.5


def test_patients_of_a_store_are_kept_out_with_all_their_scans(make_store: MakeStore) -> None:
    store = make_store(SCANS, (8, 8, 8))
    source, coin = StoreSource(name="a", url=store.url), RunCoin(3)
    held = {name for name in NAMES if coin.keeps_out(name)}
    assert held  # of twelve
    train = load_source(source, Path(), Path(), "train", coin)
    assert {case.patient for case in train} == set(NAMES) - held
    assert len(train) == 2 * (len(NAMES) - len(held))
    assert {case.patient for case in load_source(source, Path(), Path(), "val", coin)} == {"val"}
    assert source_holdout(source, Path(), coin) == held
    assert source_holdout(source, Path()) == set()
    only = source.model_copy(update={"where": {"patient": tuple(sorted(held))}})
    with pytest.raises(InputError, match="is left by the coin"):
        load_source(only, Path(), Path(), "train", coin)


def test_a_store_with_holdout_of_its_own(make_store: MakeStore, tmp_path: Path) -> None:
    said = make_store([*SCANS, ("eve", "holdout", 50.0, "f")], (8, 8, 8), "said")
    source = StoreSource(name="a", url=said.url)
    with pytest.raises(ConfigError, match="holds out 1 patients already, as its table says"):
        load_source(source, Path(), Path(), "train", RunCoin(3))
    assert source_holdout(source, Path()) == {"eve"}
    done = prepare(Cohort(tuple(several(40)), kinds=KINDS), tmp_path / "tossed", Recipe(), seed=1)
    assert done.store.meta["coin"]["holdout"] == "coin"
    assert done.store.meta["coin"]["seed"] == 1
    tossed = StoreSource(name="b", url=done.store.url)
    held = {row.patient for row in done.rows if row.split == "holdout"}
    assert held
    whole = {case.patient for case in load_source(tossed, Path(), Path(), "train")}
    assert {case.patient for case in load_source(tossed, Path(), Path(), "train", RunCoin(3))} == whole
    assert source_holdout(tossed, Path(), RunCoin(3)) == held
    assert not held & whole


@pytest.mark.parametrize(
    "more", [{}, {"balance": ("sex",)}, {"label_patients": 2, "masks": ("mask",)}, {"where": {"patient": ("a", "eve")}}]
)
def test_nothing_that_a_source_may_say_brings_holdout_patients(make_store: MakeStore, more: dict[str, Any]) -> None:
    scans = [("a", "train", 1.0, "f"), ("b", "train", 2.0, "m"), ("v", "val", 3.0, "m"), ("eve", "holdout", 4.0, "f")]
    source = StoreSource(name="a", url=make_store(scans, (8, 8, 8)).url, **more)
    data = PatchDataModule((source,), Path(), Path(), (8, 8, 8), 2, 20, PLAIN, 0)
    data.setup()
    loaded = {case.patient for _, parts in data.loaded.items() for _, cases in parts for case in cases}
    assert loaded <= {"a", "b", "v"}
    rng = np.random.default_rng(0)
    ((_, cases),) = data.loaded["train"]
    assert {draw(cases, rng).patient for _ in range(60)} <= {"a", "b"}
    assert data.people() == [{"name": "a", "train": sorted(loaded - {"v"}), "holdout": ["eve"]}]
    with pytest.raises(InputError, match="no train scan"):
        load_source(source.model_copy(update={"where": {"patient": "eve"}}), Path(), Path(), "train")


def _folder(root: Path, splits: dict[str, str]) -> FolderSource:
    rows = ["case\tsplit"]
    for number, (name, split) in enumerate(splits.items()):
        data = np.random.default_rng(number).normal(size=(20, 20, 20)).astype(np.float32)
        nib.save(nib.Nifti1Image(data, np.eye(4)), root / f"{name}.nii.gz")  # type: ignore[attr-defined]
        rows.append(f"{name}\t{split}")
    (root / "p.tsv").write_text("\n".join(rows) + "\n")
    return FolderSource(name="f", files="{case}.nii.gz", table="p.tsv", tau=0.1)


def test_a_folder_needs_a_table_that_holds_nobody_out(tmp_path: Path) -> None:
    coin = RunCoin(3)
    source = _folder(tmp_path, dict.fromkeys(NAMES, "train"))
    train = {case.name for case in load_source(source, tmp_path, tmp_path, "train", coin)}
    assert train == {name for name in NAMES if not coin.keeps_out(name)}
    assert source_holdout(source, tmp_path, coin) == set(NAMES) - train
    with pytest.raises(ConfigError, match="a coin needs patients"):
        load_source(source.model_copy(update={"table": None}), tmp_path, tmp_path, "train", coin)
    _folder(tmp_path, {"a": "train", "b": "holdout"})
    with pytest.raises(ConfigError, match="holds out 1 patients already"):
        load_source(source, tmp_path, tmp_path, "train", coin)


def test_the_record_is_kept_and_not_drawn_again(tmp_path: Path) -> None:
    coin = run_coin(tmp_path, begun=False)
    assert run_coin(tmp_path, begun=False) != coin
    write_record(tmp_path, coin, [{"name": "a", "train": ["x"], "holdout": ["y"]}])
    assert run_coin(tmp_path, begun=True) == coin
    assert (tmp_path / RECORD).stat().st_mode & 0o077 == 0
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        run_coin(tmp_path, begun=True)
    (tmp_path / RECORD).unlink()
    with pytest.raises(ConfigError, match="it has seen"):
        run_coin(tmp_path, begun=True)
