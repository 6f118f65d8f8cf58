"""An adapted prior: a small file that loads like any other when its base is there, and says so when it is not."""

from pathlib import Path

import pytest
import torch

from medidiff.errors import PriorError
from medidiff.nets.lora import add_low_rank, low_rank_state
from medidiff.nets.unet import HaarUNet
from medidiff.prior import Prior, read_entry
from medidiff.prior.adapter import save_adapted


@pytest.fixture
def base(tiny_prior: Prior, tmp_path: Path) -> Prior:
    return tiny_prior.save(tmp_path / "tiny.safetensors")


@pytest.fixture
def change(base: Prior) -> dict[str, torch.Tensor]:
    network = HaarUNet(base.card.network)
    add_low_rank(network, rank=2, seed=0)
    state = low_rank_state(network.state_dict())
    generator = torch.Generator().manual_seed(1)
    return {name: t + 0.1 * torch.randn(t.shape, generator=generator) for name, t in state.items()}


def test_it_loads_like_any_prior(base: Prior, change: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    card = base.card.model_copy(update={"name": "mine"})
    saved = save_adapted(card, base, change, path)
    loaded = Prior.load(path)
    assert loaded.card.name == "mine"
    assert loaded.content_hash == saved.content_hash != base.content_hash
    assert all(torch.equal(loaded.weights[name], saved.weights[name]) for name in saved.weights)
    assert not torch.equal(loaded.weights["stem.weight"], base.weights["stem.weight"])
    entry = read_entry(path)
    assert entry.base == {"name": "tiny", "version": "0", "content_hash": base.content_hash}


def test_without_its_base_it_says_which(base: Prior, change: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "mine.safetensors"
    path.parent.mkdir()
    save_adapted(base.card, base, change, path)
    with pytest.raises(PriorError, match=f"tiny version 0.*{base.content_hash[:16]}.*beside"):
        Prior.load(path)


def test_another_prior_of_the_same_name_does_not_do(
    base: Prior, change: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    save_adapted(base.card, base, change, path)
    other = {name: tensor + 1 for name, tensor in base.weights.items()}
    Prior(base.card, other).save(tmp_path / "tiny.safetensors")
    with pytest.raises(PriorError, match="not here"):
        Prior.load(path)


def test_a_changed_file_is_refused(base: Prior, change: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_adapted(base.card, base, change, path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(PriorError, match="hash"):
        Prior.load(path)


def test_what_does_not_fit_is_refused(base: Prior, change: dict[str, torch.Tensor], tmp_path: Path) -> None:
    change = {**change, "stem.weight.lora_a": torch.zeros(2, 3)}
    with pytest.raises(PriorError, match=r"stem\.weight"):
        save_adapted(base.card, base, change, tmp_path / "mine.safetensors")
    assert not (tmp_path / "mine.safetensors").exists()
