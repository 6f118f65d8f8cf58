"""A run on a store from its configuration to its prior: conditions, position and workers arrive where they should."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from medidiff.cohort.store import Store
from medidiff.nets.embedding import POSITION, CategoricalSlot
from medidiff.prior import Prior
from medidiff.training import run

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]
SCANS = [
    ("ann", "train", 30.0, "f"),
    ("bob", "train", 70.0, "m"),
    ("cid", "train", None, None),
    ("dot", "val", 50.0, "m"),
]


def config(store: Store, folder: Path, **data: Any) -> Path:
    folder.mkdir()
    tree: dict[str, Any] = {
        "name": "tiny",
        "output": str(folder / "out"),
        "seed": 3,
        "threads": 1,
        "precision": "float32",
        "checkpoint_minutes": 100,
        "validate_every": 3,
        "data": {
            "patch": [16, 16, 16],
            "sources": [{"type": "store", "name": "cohort", "url": store.url, "balance": ["sex"], "licence": "none"}],
            "conditions": ["age", "sex"],
            **data,
        },
        "network": {"widths": [8, 8], "blocks": [1, 1], "embedding": 8, "position": True},
        "optimiser": {"batch": 2, "steps": 3, "warmup": 1},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_store_becomes_a_prior_that_takes_its_conditions(make_store: Callable[..., Store], tmp_path: Path) -> None:
    prior = Prior.load(run.run_training(config(make_store(SCANS), tmp_path / "a"), []))
    slots = prior.card.conditions
    age = slots.continuous["age"]
    assert (age.unit, age.low, age.high, len(age.quantiles)) == ("years", 30, 70, 21)
    assert slots.categorical["sex"].values == ("f", "m")
    assert sum(slots.categorical["sex"].counts) + slots.categorical["sex"].missing == age.known + age.missing
    assert slots.categorical["kind"] == CategoricalSlot(values=("cohort",))
    assert prior.card.training.patients == 3
    assert prior.card.training.sources[0].licence == "none"
    denoise, x = prior.denoiser("cpu", "float32"), torch.randn(1, 1, 16, 16, 16)
    frame = torch.eye(3, 4)[None] / 50
    given = {"age": torch.tensor([40.0]), "sex": torch.tensor([2]), POSITION: frame}
    outputs = [denoise(x, 0.3, cond=cond).mean for cond in ({}, given, {POSITION: frame})]
    assert all(bool(torch.isfinite(out).all()) for out in outputs)
    assert not torch.equal(outputs[0], outputs[1])


def test_the_store_s_licence_is_the_card_s(make_store: Callable[..., Store], tmp_path: Path) -> None:
    store = make_store(SCANS)
    store.meta["licence"] = "CC BY 4.0"
    store._write_meta()
    source = {"type": "store", "name": "cohort", "url": store.url}
    path = config(store, tmp_path / "a", sources=[source], conditions=[])
    card = Prior.load(run.run_training(path, ["optimiser.steps=1"])).card
    assert card.training.sources[0].licence == "CC BY 4.0"
    assert str(tmp_path) not in card.model_dump_json()


@pytest.mark.slow
def test_workers_change_nothing(make_store: Callable[..., Store], tmp_path: Path) -> None:
    store = make_store(SCANS)
    one, two = (
        Prior.load(run.run_training(config(store, tmp_path / str(workers), workers=workers), [])) for workers in (0, 2)
    )
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)


def test_masks_become_channels_of_the_prior_and_of_what_is_made_from_it(
    make_store: Callable[..., Store], tmp_path: Path
) -> None:
    """A prior of images and masks, then a low-rank change by scans whose masks are not given."""
    store = make_store(SCANS)
    source = {"type": "store", "name": "cohort", "url": store.url, "masks": ["mask:1"], "own_noise": "kept"}
    mirrored = {"flip": False, "axes": False, "contrast": 0, "invert": 0, "mirror": True}
    first = config(store, tmp_path / "a", sources=[source], augmentation=mirrored)
    noise = ["noise.sigma_max=100", "noise.levels=[{low: 0.01, high: 100}]"]
    prior = Prior.load(run.run_training(first, noise))
    card = prior.card
    assert (card.channels, card.shape, card.task) == (("image", "mask:1"), (16, 16, 16), "sample")
    assert card.typical is not None
    assert (card.typical.offset, card.typical.scale) == (0, 1)
    assert len(card.sigma_data) == 2
    assert prior.weights["head.weight"].shape[0] == 16
    tree = yaml.safe_load(first.read_text())
    tree |= {"output": str(tmp_path / "b"), "method": "lora", "start_from": str(tmp_path / "a/out/tiny.safetensors")}
    tree["data"]["sources"] = [{"type": "store", "name": "few", "url": make_store(SCANS[:2], name="few").url}]
    for inherited in ("augmentation", "patch", "conditions"):
        del tree["data"][inherited]
    del tree["network"]
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(tree))
    adapted = Prior.load(run.run_training(tmp_path / "few.yaml", ["card.version=two"]))
    assert adapted.card.channels == card.channels
    assert adapted.card.shape == card.shape
    assert adapted.card.training.config["data"]["augmentation"]["mirror"] is True
    assert not torch.equal(adapted.weights["head.weight"], prior.weights["head.weight"]) or any(
        not torch.equal(adapted.weights[name], prior.weights[name]) for name in prior.weights
    )
