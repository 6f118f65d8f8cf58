"""What leaves the machine with a prior: all that it needs to load, and nothing of where or whose the scans are."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from medidiff.errors import UsageError
from medidiff.nets.lora import add_low_rank, low_rank_state
from medidiff.nets.unet import HaarUNet
from medidiff.prior import Prior
from medidiff.prior.adapter import save_adapted
from medidiff.training.config import load_config
from medidiff.training.export import _config_to_tell, _keep_base
from medidiff.training.lock import only_run


def adapted(base: Path, path: Path, seed: int) -> Path:
    prior = Prior.load(base)
    network = HaarUNet(prior.card.network)
    add_low_rank(network, rank=2, seed=seed)
    path.parent.mkdir(exist_ok=True)
    change = {name: tensor + 0.1 for name, tensor in low_rank_state(network.state_dict()).items()}
    save_adapted(prior.card.model_copy(update={"name": path.stem}), prior, change, path)
    return path


def test_every_prior_down_to_the_whole_one_is_kept(tiny_prior: Prior, tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    tiny_prior.save(whole)
    one = adapted(whole, tmp_path / "one" / "one.safetensors", 1)
    _keep_base(whole, one)
    whole.unlink()
    two = adapted(one, tmp_path / "two" / "two.safetensors", 2)
    _keep_base(one, two)
    wanted = Prior.load(one)
    for path in (tmp_path / "one").iterdir():
        path.unlink()
    assert sorted(path.name for path in two.parent.iterdir()) == [
        "two-base.safetensors", "two-base2.safetensors", "two.safetensors"]  # fmt: skip
    assert Prior.load(two.with_name("two-base.safetensors")).content_hash == wanted.content_hash
    assert not torch.equal(Prior.load(two).weights["stem.weight"], wanted.weights["stem.weight"])


def test_the_card_names_no_folder_and_no_patient(tiny_prior: Prior, tmp_path: Path) -> None:
    tiny_prior.save(tmp_path / "tiny.safetensors")
    store = {"type": "store", "name": "a", "url": f"{tmp_path}/ours/", "where": {"patient": ["Jane"], "sex": "f"}}
    folder = {"type": "folder", "name": "b", "files": "x/{case}.nii.gz", "table": f"{tmp_path}/p.tsv"}
    tree = {
        "name": "x", "output": str(tmp_path / "out"), "start_from": str(tmp_path / "tiny.safetensors"),
        "data": {"root": str(tmp_path), "cache": str(tmp_path), "sources": [store, folder]},
    }  # fmt: skip
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(tree))
    told = _config_to_tell(load_config(tmp_path / "x.yaml"))
    assert str(tmp_path) not in json.dumps(told)
    assert "Jane" not in json.dumps(told)
    first, second = told["data"]["sources"]
    assert (told["start_from"], first["url"], first["where"]["sex"]) == ("tiny.safetensors", "ours", "f")
    assert (second["files"], second["table"]) == ("x/{case}.nii.gz", "p.tsv")


def test_a_folder_holds_one_run_at_a_time(tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(UsageError, match="another `medidiff train` works there"):
        with only_run(tmp_path):
            pass
    with only_run(tmp_path):
        pass
