"""A store as a source: splits, filters, who is drawn how often, conditions, and never a whole scan."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from medidiff.cohort.augment import Augmentation, random_patch
from medidiff.cohort.conditions import trained_conditions, unit_of
from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.draws import balanced_tree, draw_index
from medidiff.cohort.patches import condition_values
from medidiff.cohort.sources import ProceduralSource, load_source
from medidiff.cohort.store import Store
from medidiff.cohort.store_source import StoreCase, StoreCases, StoreSource
from medidiff.errors import ConfigError, InputError
from medidiff.nets.embedding import OWN_NOISE, CategoricalSlot, ConditionSlots, ContinuousSlot

MakeStore = Callable[..., Store]
SCANS = [
    ("ann", "train", 30.0, "f"),
    ("ann", "train", 31.0, "f"),
    ("ann", "train", 32.0, "f"),
    ("bob", "train", 70.0, "m"),
    ("cid", "train", None, "f"),
    ("dot", "val", 90.0, "d"),
    ("eve", "holdout", 99.0, "x"),
]
PLAIN = Augmentation(flip=False, axes=False, contrast=0, invert=0, scale=1, offset=0, coarser=0)


def load(store: Store, split: str = "train", **more: Any) -> StoreCases:
    cases = load_source(StoreSource(name="cohort", url=store.url, **more), Path(), Path(), split)
    assert isinstance(cases, StoreCases)
    return cases


def test_only_train_and_val_patients_are_there(make_store: MakeStore) -> None:
    store = make_store(SCANS, (8, 8, 8))
    assert load(store).patients == {"ann", "bob", "cid"}
    assert load(store, "val").patients == {"dot"}
    with pytest.raises(ConfigError, match="holdout patients are never touched"):
        load(store, "holdout")
    with pytest.raises(ConfigError, match="the split is not a choice"):
        load(store, where={"split": "holdout"})


def test_filters_and_what_meets_none(make_store: MakeStore) -> None:
    store = make_store(SCANS, (8, 8, 8))
    assert load(store, where={"sex": "m"}).patients == {"bob"}
    assert load(store, where={"age": (30, 70)}).patients == {"ann", "bob"}
    assert not load(store, "val", where={"sex": "m"})
    with pytest.raises(InputError, match="no train scan"):
        load(store, where={"sex": "d"})
    with pytest.raises(InputError, match="no such column"):
        load(store, where={"height": 180})
    with pytest.raises(ConfigError, match="not an attribute"):
        load(store, balance=("height",))


def test_a_case_is_its_scan(make_store: MakeStore) -> None:
    store = make_store(SCANS, (20, 30, 24))
    cases = load(store)
    assert len(cases) == 5
    assert [case.name for case in cases] == [cases[i].name for i in range(5)]
    assert cases[-1].name == cases[4].name
    case = cases[2]
    box = (slice(2, 9), slice(0, 30), slice(20, 24))
    assert np.array_equal(case.read(box), store.read(case.name)[box])
    patch = random_patch(case, (20, 30, 24), PLAIN, np.random.default_rng(0))
    assert np.array_equal(patch.data, store.read(case.name).astype(np.float32))
    assert (patch.tau, patch.spacing_mm) == (0.1, (1.0, 1.5, 2.0))
    mask = load(store, array="mask")[2]
    assert np.array_equal(mask.read(box) > 0, store.read(case.name, box, "mask") > 0)
    assert set(np.unique(mask.read(box))) == {-1, 1}
    assert mask.tau == 0


def test_a_patch_never_reads_the_scan(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    case = load(make_store([("ann", "train", 30.0, "f")], (96, 96, 96)))[0]
    read, sizes = Store.read, []

    def measured(self: Store, *args: Any) -> np.ndarray:
        sizes.append(read(self, *args).size)
        return read(self, *args)

    monkeypatch.setattr(Store, "read", measured)
    for seed in range(40):
        random_patch(case, (16, 16, 16), Augmentation(), np.random.default_rng(seed), position=True)
    assert max(sizes) <= 32**3  # a patch of coarser voxels is the mean over 2 x 2 x 2
    assert min(sizes) == 16**3


def test_small_scans_are_mirrored(make_store: MakeStore) -> None:
    case = load(make_store([("ann", "train", 30.0, "f")], (9, 20, 11)))[0]
    for seed in range(10):
        assert random_patch(case, (16, 16, 16), Augmentation(), np.random.default_rng(seed)).data.shape == (16, 16, 16)


def shares(cases: StoreCases, attribute: str, draws: int = 4000) -> dict[Any, float]:
    rng = np.random.default_rng(0)
    rows = list(cases)
    picked = [rows[draw_index(cases._tree, rng)] for _ in range(draws)]
    counts = Counter(
        cast(StoreCase, case).patient if attribute == "patient" else case.conditions[attribute] for case in picked
    )
    return {key: count / draws for key, count in counts.items()}


# 4000 draws: 4 standard errors of a third are 0.03
def test_patients_are_drawn_evenly_whatever_their_scans(make_store: MakeStore) -> None:
    drawn = shares(load(make_store(SCANS, (8, 8, 8))), "patient")
    assert drawn == pytest.approx(dict.fromkeys(("ann", "bob", "cid"), 1 / 3), abs=0.03)


def test_balanced_values_are_drawn_evenly(make_store: MakeStore) -> None:
    cases = load(make_store(SCANS, (8, 8, 8)), balance=("sex",))
    assert shares(cases, "sex") == pytest.approx({"f": 0.5, "m": 0.5}, abs=0.03)
    assert shares(cases, "patient") == pytest.approx({"ann": 0.25, "bob": 0.5, "cid": 0.25}, abs=0.03)


def test_the_unknown_keep_their_share(make_store: MakeStore) -> None:
    drawn = shares(load(make_store(SCANS, (8, 8, 8)), balance=("age",)), "patient")
    assert drawn == pytest.approx({"ann": 1 / 3, "bob": 1 / 3, "cid": 1 / 3}, abs=0.03)
    drawn = shares(load(make_store(SCANS[4:5], (8, 8, 8), "unknown"), balance=("age",)), "patient")
    assert drawn == {"cid": 1.0}


def test_ages_are_balanced_over_their_range() -> None:
    """90 patients about 30 and ten about 80: the bins count alike, so the old are drawn as often as the young."""
    rng = np.random.default_rng(0)
    ages = np.concatenate([rng.uniform(25, 35, 90), rng.uniform(75, 85, 10)])
    tree = balanced_tree([f"p{i}" for i in range(100)], {"age": ages.tolist()})
    old = np.mean([ages[draw_index(tree, rng)] > 60 for _ in range(4000)])
    assert old == pytest.approx(0.5, abs=0.03)
    both = balanced_tree([f"p{i}" for i in range(100)], {"sex": ["f", "m"] * 50, "age": ages.tolist()})
    picked = [draw_index(both, rng) for _ in range(4000)]
    assert np.mean([i % 2 for i in picked]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([ages[i] > 60 for i in picked if i % 2]) == pytest.approx(0.5, abs=0.045)


def test_conditions_have_the_range_of_the_train_scans(make_store: MakeStore) -> None:
    store = make_store(SCANS, (8, 8, 8))
    cases = load(store)
    slots = trained_conditions(("age", "sex"), [[], cases])
    ages = [case.conditions["age"] for case in cases if case.conditions["age"] == case.conditions["age"]]
    known = [float(age) for age in ages if age is not None]
    percentiles = tuple(np.percentile(known, range(0, 101, 5)).tolist())
    more = {"quantiles": percentiles, "known": len(known), "missing": len(cases) - len(known)}
    assert slots.continuous == {"age": ContinuousSlot(unit="years", low=30, high=70, **more)}  # type: ignore[arg-type]
    assert (percentiles[0], percentiles[-1]) == (30, 70)
    sexes = [case.conditions["sex"] for case in cases]
    counts = (sexes.count("f"), sexes.count("m"))
    assert slots.categorical == {"sex": CategoricalSlot(values=("f", "m"), counts=counts)}
    told = {cast(StoreCase, case).patient: condition_values(slots, case.conditions) for case in cases}
    assert float(told["bob"]["age"]) == 70
    assert np.isnan(float(told["cid"]["age"]))
    assert [int(told[name]["sex"]) for name in ("ann", "bob", "cid")] == [1, 2, 1]
    assert int(condition_values(slots, load(store, "val")[0].conditions)["sex"]) == 0  # "d" was not trained
    with pytest.raises(ConfigError, match=r"no store has a train scan with it\. There are: age, sex"):
        trained_conditions(("height",), [cases])
    with pytest.raises(ConfigError, match="every train scan has m"):
        trained_conditions(("sex",), [load(store, where={"sex": "m"})])


def test_own_noise_is_a_condition_where_it_is_kept(make_store: MakeStore) -> None:
    taus = (0.02, 0.05, 0.08)
    store = make_store(SCANS, (8, 8, 8), taus=taus)
    cases = load(store, own_noise="kept")
    slot = trained_conditions((OWN_NOISE,), [cases]).continuous[OWN_NOISE]
    assert (slot.unit, slot.low, slot.high, slot.known) == ("normalised", min(taus), max(taus), len(cases))
    assert {case.tau for case in cases} == {0}
    told = [condition_values(ConditionSlots(continuous={OWN_NOISE: slot}), case.conditions) for case in cases]
    rows = cases.table.column("tau").to_pylist()
    assert [float(values[OWN_NOISE]) for values in told] == pytest.approx(rows)
    with pytest.raises(ConfigError, match=r"no store has a train scan with it\. There are: age, sex\."):
        trained_conditions((OWN_NOISE,), [load(store)])  # removed: nothing is there to know
    with pytest.raises(ConfigError, match=r"There are: age, sex, own_noise\."):
        trained_conditions(("height",), [cases])


def test_units_stand_in_the_names() -> None:
    units = [unit_of(name) for name in ("age", "age_years", "volume_ml", "g", "score")]
    assert units == ["years", "years", "ml", "as in the table", "as in the table"]


def test_conditions_of_a_prior_keep_their_places(make_store: MakeStore) -> None:
    had = ConditionSlots(
        categorical={"sex": CategoricalSlot(values=("m", "x")), "kind": CategoricalSlot(values=("head",))},
        continuous={"age": ContinuousSlot(unit="a", low=50, high=90)},
    )
    slots = trained_conditions(("age", "sex"), [load(make_store(SCANS, (8, 8, 8)))], had)
    age = slots.continuous["age"]
    assert (age.unit, age.low, age.high) == ("a", 30, 90)
    assert (age.quantiles[0], age.quantiles[-1]) == (30, 70), "percentiles are those of the scans here"
    assert slots.categorical["sex"].values == ("m", "x", "f")
    assert slots.categorical["sex"].counts[1] == 0
    assert PatchDataModule((), Path(), Path(), (8, 8, 8), 1, 1, PLAIN, 0, had=had).kinds == ("head",)


def test_a_batch_holds_what_the_run_asks_for(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(SCANS, (20, 20, 20))
    sources = (StoreSource(name="cohort", url=store.url), ProceduralSource(volumes=1, size=16))
    more: dict[str, Any] = {"conditions": ("age", "sex"), "position": True}
    data = PatchDataModule(sources, tmp_path, tmp_path, (16, 16, 16), 4, 6, Augmentation(), 1, **more)
    data.setup()
    batches = list(data.train_dataloader())
    assert [batch["number"].tolist() for batch in batches] == [list(range(4 * s, 4 * s + 4)) for s in range(6)]
    for batch in batches:
        store_patch = batch["kind"] == 1
        assert batch["target"].shape == (4, 1, 16, 16, 16)
        assert batch["position"].shape == (4, 3, 4)
        assert (batch["position"].isfinite().all(dim=(1, 2)) == store_patch).all()
        assert ((batch["cond"]["sex"] > 0) == store_patch).all()
        assert batch["cond"]["age"].isnan()[~store_patch].all()
    for fixed in data.val_dataloader():
        assert {"cond", "position", "number"} <= set(next(iter(fixed)))
    plain = PatchDataModule(sources[1:], tmp_path, tmp_path, (16, 16, 16), 4, 6, Augmentation(), 1)
    plain.setup()
    assert set(next(iter(plain.train_dataloader()))) == {"target", "tau", "spacing_mm", "kind", "number"}


def test_a_store_without_val_patients_trains(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(SCANS[:5], (16, 16, 16))
    source = StoreSource(name="cohort", url=store.url)
    data = PatchDataModule((source,), tmp_path, tmp_path, (16, 16, 16), 2, 2, Augmentation(), 1)
    data.setup()
    assert data.fixed_splits == ("train",)
    assert len(data.val_dataloader()) == 1
    assert len(list(data.train_dataloader())) == 2
