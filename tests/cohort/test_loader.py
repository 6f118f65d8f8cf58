"""The same patches whoever loads them: any number of workers, processes and micro-batches, and after a restart."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.cohort.augment import Augmentation
from medidiff.cohort.datamodule import PatchDataModule
from medidiff.cohort.patches import PatchNumbers
from medidiff.cohort.sources import ProceduralSource
from medidiff.cohort.store import Store
from medidiff.cohort.store_source import StoreSource
from medidiff.errors import ConfigError

SCANS = [("ann", "train", 30.0, "f"), ("bob", "train", 70.0, "m"), ("bob", "train", None, "m")]
BATCH, STEPS = 12, 4


@pytest.fixture
def loader(make_store: Callable[..., Store], tmp_path: Path) -> Callable[..., dict[int, dict[str, torch.Tensor]]]:
    """Load a run with some workers as one process of several; its patches by number."""
    store = make_store(SCANS)
    sources = (StoreSource(name="cohort", url=store.url), ProceduralSource(volumes=2, size=24))

    def load(workers: int = 0, first: int = 0, world: tuple[int, int, int] = (1, 0, 1)) -> dict[int, Any]:
        data = PatchDataModule(
            sources,
            tmp_path,
            tmp_path,
            (16, 16, 16),
            BATCH,
            STEPS,
            Augmentation(),
            7,
            workers=workers,
            conditions=("age", "sex"),
            position=True,
        )
        data.setup()
        data.first_step = first
        processes, process, accumulate = world
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            world_size=processes, global_rank=process, accumulate_grad_batches=accumulate
        )
        batches = list(data.train_dataloader())
        assert len(batches) == (STEPS - first) * accumulate
        assert {len(batch["number"]) for batch in batches} == {BATCH // (processes * accumulate)}
        return {int(n): _item(batch, i) for batch in batches for i, n in enumerate(batch["number"])}

    return load


def _item(batch: dict[str, Any], i: int) -> dict[str, torch.Tensor]:
    flat = {k: v for k, v in batch.items() if k != "cond"} | batch["cond"]
    return {k: v[i] for k, v in flat.items()}


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k].nan_to_num(-1), b[k].nan_to_num(-1)) for k in a)


def test_processes_micro_batches_and_restarts(loader: Callable[..., dict[int, Any]]) -> None:
    whole = loader()
    assert list(whole) == list(range(BATCH * STEPS))
    assert not _same(whole[0], whole[1])
    for processes, accumulate in [(2, 1), (1, 3), (3, 2)]:
        parts = [loader(world=(processes, process, accumulate)) for process in range(processes)]
        assert sorted(n for part in parts for n in part) == list(whole)
        assert all(_same(part[n], whole[n]) for part in parts for n in part)
    resumed = loader(first=2, world=(2, 1, 2))
    assert min(resumed) == 2 * BATCH + 3
    assert all(_same(resumed[n], whole[n]) for n in resumed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_give_the_same_in_the_same_order(loader: Callable[..., dict[int, Any]], workers: int) -> None:
    whole, theirs = loader(), loader(workers=workers)
    assert list(theirs) == list(whole)
    assert all(_same(theirs[n], whole[n]) for n in whole)
    resumed = loader(workers=workers, first=3)
    assert list(resumed) == list(range(3 * BATCH, 4 * BATCH))
    assert all(_same(resumed[n], whole[n]) for n in resumed)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.data())
def test_a_step_has_the_same_patches_on_any_processes(
    processes: int, accumulate: int, micro: int, steps: int, data: st.DataObject
) -> None:
    batch, first = processes * accumulate * micro, data.draw(st.integers(0, steps))
    ranks = [
        list(PatchNumbers(batch, steps, first, processes=processes, process=rank, accumulate=accumulate))
        for rank in range(processes)
    ]
    assert {len(rank) for rank in ranks} == {(steps - first) * accumulate}
    for step in range(steps - first):
        own = [n for rank in ranks for part in rank[step * accumulate : (step + 1) * accumulate] for n in part]
        assert sorted(own) == list(range((first + step) * batch, (first + step + 1) * batch))
    for part in range(accumulate if steps > first else 0):  # a micro-step of all processes is one run of numbers
        together = [n for rank in ranks for n in rank[part]]
        assert together == list(
            range(first * batch + part * processes * micro, first * batch + (part + 1) * processes * micro)
        )


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    with pytest.raises(ConfigError, match="Give 12"):
        PatchNumbers(10, 5, processes=2, accumulate=3)
