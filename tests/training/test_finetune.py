"""From a prior to a cohort's own: what is inherited, what is trained, and the judgement at the end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from medidiff.cohort import Case
from medidiff.errors import ConfigError, PriorError
from medidiff.io import write_nifti
from medidiff.prior import Prior, read_entry
from medidiff.training import run
from medidiff.training.config import load_config
from medidiff.training.heldout import _spread, compare, told
from medidiff.volume import Volume

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]


@pytest.fixture
def base(tiny_prior: Prior, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    tiny_prior.save(path)
    return path


def blob(seed: int, size: int = 16) -> np.ndarray:
    """A smooth scan."""
    coarse = torch.randn(1, 1, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(size,) * 3, mode="trilinear")[0, 0].numpy()


def cohort(folder: Path, splits: dict[str, str]) -> Path:
    """A config, four lines long but for what keeps the test short, and NIfTI scans with a participants table."""
    (folder / "scans").mkdir()
    lines = ["case\tpatient\tsplit"]
    for seed, (case, split) in enumerate(splits.items()):
        write_nifti(Volume(100 + 50 * blob(seed), np.eye(4)), folder / "scans" / f"{case}.nii.gz")
        lines.append(f"{case}\t{case}\t{split}")
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n")
    source = {"type": "folder", "name": "blobs", "files": "scans/{case}.nii.gz", "table": "participants.tsv"}
    config = {
        "name": "mine", "output": str(folder / "out"), "threads": 1, "precision": "float32", "validate_every": 4,
        "data": {"root": str(folder), "cache": str(folder), "patch": [16, 16, 16], "sources": [source]},
        "optimiser": {"batch": 2, "steps": 4, "warmup": 1},
    }  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    return folder / "mine.yaml"


SPLITS = {"a": "train", "b": "train", "c": "val", "d": "val", "e": "holdout"}


def test_what_is_left_out_is_the_prior_s(base: Path, tmp_path: Path, tiny_prior: Prior) -> None:
    path = tmp_path / "short.yaml"
    short: dict[str, Any] = {
        "name": "x",
        "output": "x",
        "start_from": str(base),
        "data": {"sources": [{"type": "procedural"}]},
    }
    path.write_text(yaml.safe_dump(short))
    config = load_config(path)
    assert config.network == tiny_prior.card.network
    assert config.noise.sigma_max == tiny_prior.card.sigma_max
    assert config.optimiser.name == "muon"
    assert "tiny version 0" in config.card.weights_licence
    assert "Apache-2.0" in config.card.weights_licence
    lora = load_config(path, ["method=lora", "noise.sigma_max=50"])
    assert (lora.optimiser.name, lora.noise.sigma_max) == ("adamw", 50)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["start_from=null", "method=lora"], "--from"),
        (["method=lora", "network.widths=[8, 8, 8]"], "widths"),
        (["method=both"], "method"),
    ],
)
def test_what_cannot_be_is_refused(base: Path, tmp_path: Path, settings: list[str], words: str) -> None:
    path = cohort(tmp_path, SPLITS)
    with pytest.raises(ConfigError, match=words):
        load_config(path, [f"start_from={base}", *settings])


def test_a_prior_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(PriorError, match=r"nowhere.*general"):
        load_config(cohort(tmp_path, SPLITS), ["start_from=nowhere"])


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_from_a_prior(base: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = cohort(tmp_path, SPLITS)
    made = run.run_training(config, [f"start_from={base}", f"method={method}"])
    prior, entry = Prior.load(base), read_entry(made)
    new = Prior.load(made)
    assert new.card.network.slots.categorical["kind"].values == ("blobs",)
    assert new.card.training.patients == 2
    assert not torch.equal(new.weights["stem.weight"], prior.weights["stem.weight"])
    if method == "lora":
        assert entry.base is not None
        assert entry.base["content_hash"] == prior.content_hash
        assert entry.parameters < 0.5 * prior.parameters
        assert torch.equal(new.weights["head_norm.gain"], prior.weights["head_norm.gain"])
    else:
        assert entry.base is None
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert (comparison["patients"], comparison["old"], comparison["new"]) == (2, prior.content_hash, new.content_hash)
    assert "2 held-out patients" in capsys.readouterr().err


def cases(count: int) -> list[Case]:
    return [
        Case(f"{i}", blob(i, 24).astype(np.float16), (1.0, 1.0, 1.0), 0.02, "blobs", of_patient=f"p{i // 2}")
        for i in range(count)
    ]


def test_as_many_patients_and_sources_as_can_be_are_judged() -> None:
    first = cases(4)  # p0 p0 p1 p1
    other = [Case("x", blob(9), (1.0, 1.0, 1.0), 0.0, "second", of_patient="q")]
    assert [case.name for case in _spread([*first, *other])] == ["0", "x", "2", "1", "3"]


def test_the_judgement_goes_by_patient(tiny_prior: Prior) -> None:
    same = compare(tiny_prior, tiny_prior, cases(6), (16, 16, 16), 0)
    assert (same["patients"], same["scans"], same["difference_db"]) == (3, 6, 0)
    assert same["verdict"] == "no difference shown"
    head = {name: t * 0 if name.startswith("head.") else t for name, t in tiny_prior.weights.items()}
    plain = Prior(tiny_prior.card, head)  # random weights are worse than none: F = 0 is the best linear guess
    for new, old, verdict in ((plain, tiny_prior, "better"), (tiny_prior, plain, "worse")):
        judged = compare(new, old, cases(6), (16, 16, 16), 0)
        assert judged["verdict"] == verdict
        assert verdict.upper() in told(judged, "new", "old")
        assert [level["percent"] for level in judged["levels"]] == [3, 9, 15]
    assert "keep using old" in told(judged, "new", "old")


def test_without_enough_patients_nothing_is_claimed(tiny_prior: Prior) -> None:
    one = compare(tiny_prior, tiny_prior, cases(2), (16, 16, 16), 0)
    assert (one["patients"], one["low"], one["verdict"]) == (1, None, "unknown")
    assert "one patient cannot tell" in told(one, "new", "old")
    none = compare(tiny_prior, tiny_prior, [], (16, 16, 16), 0)
    assert none["verdict"] == "unknown"
    assert "no held-out scans" in told(none, "new", "old")
