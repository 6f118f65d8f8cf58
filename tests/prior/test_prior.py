"""The prior file: what is saved is what is loaded, and anything else is refused."""

import json
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from medidiff.errors import PriorError
from medidiff.prior import Card, Prior, list_priors, read_entry, resolve_prior
from medidiff.prior.model import content_hash


@pytest.fixture
def saved(tiny_prior: Prior, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    tiny_prior.save(path)
    return path


def rewrite(path: Path, **metadata: str) -> None:
    """Change entries of the file's metadata, leaving the weights alone."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"].update(metadata)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def test_round_trip_is_exact(tiny_prior: Prior, saved: Path) -> None:
    loaded = Prior.load(saved)
    assert loaded.card == tiny_prior.card
    assert loaded.content_hash == tiny_prior.content_hash
    assert all(torch.equal(loaded.weights[name], tiny_prior.weights[name]) for name in tiny_prior.weights)


def test_float16_halves_the_file_and_keeps_the_hash(tiny_prior: Prior, saved: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    stored = tiny_prior.save(small, dtype="float16")
    assert Prior.load(small).content_hash == stored.content_hash != tiny_prior.content_hash
    weights_bytes = tiny_prior.parameters * 4
    assert saved.stat().st_size - small.stat().st_size == pytest.approx(weights_bytes / 2, abs=200)


def test_card_is_read_from_the_header_alone(saved: Path, tiny_prior: Prior) -> None:
    entry = read_entry(saved)
    assert (entry.name, entry.content_hash) == (tiny_prior.card.name, tiny_prior.content_hash)
    assert entry.parameters == tiny_prior.parameters
    assert Card.model_validate(entry.card) == tiny_prior.card


def test_names_resolve_and_errors_list_what_exists(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIDIFF_PRIORS", str(saved.parent))
    assert resolve_prior("tiny") == saved
    assert saved in [entry.path for entry in list_priors()]
    with pytest.raises(PriorError, match=r"'nothing': not found. There are: .*tiny"):
        resolve_prior("nothing")
    with pytest.raises(PriorError, match="no such prior file"):
        resolve_prior(saved.parent / "none.safetensors")
    (saved.parent / "copy.safetensors").write_bytes(saved.read_bytes())
    with pytest.raises(PriorError, match="2 files have this name"):
        resolve_prior("tiny")


def test_a_broken_file_is_listed_with_its_problem(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIDIFF_PRIORS", str(saved.parent))
    saved.write_bytes(b"not a prior")
    (entry,) = [entry for entry in list_priors() if entry.path == saved]
    assert "not a safetensors file" in str(entry.problem)


def test_changed_bytes_are_noticed(saved: Path) -> None:
    raw = bytearray(saved.read_bytes())
    raw[-3] ^= 1
    saved.write_bytes(raw)
    with pytest.raises(PriorError, match="does not match its hash"):
        Prior.load(saved)


@pytest.mark.parametrize("cut", [0, 5, 100, -10])
def test_a_truncated_file_is_refused(saved: Path, cut: int) -> None:
    saved.write_bytes(saved.read_bytes()[:cut])
    with pytest.raises(PriorError):
        Prior.load(saved)


def test_pickles_are_refused_and_not_opened(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "plain.safetensors", tmp_path / "zip.safetensors"
    plain.write_bytes(pickle.dumps({"a": 1}))
    torch.save({"a": torch.zeros(2)}, zipped)
    for path in (plain, zipped):
        with pytest.raises(PriorError, match="never unpickles"):
            Prior.load(path)


def test_unknown_versions_and_foreign_files_are_refused(saved: Path) -> None:
    rewrite(saved, format_version="99")
    with pytest.raises(PriorError, match="format version 99"):
        Prior.load(saved)
    rewrite(saved, format="something")
    with pytest.raises(PriorError, match="not a medidiff prior"):
        Prior.load(saved)


def test_masks_of_version_1_are_refused_and_images_are_not(tmp_path: Path, tiny_prior: Prior) -> None:
    """Their masks were given otherwise, and the weights do not tell."""
    path = tmp_path / "tiny.safetensors"
    tiny_prior.save(path)
    rewrite(path, format_version="1")
    assert Prior.load(path).content_hash == tiny_prior.save(tmp_path / "same.safetensors").content_hash
    masks = Prior(tiny_prior.card.model_copy(update={"channels": ("mask",)}), tiny_prior.weights)
    masks.save(path)
    Prior.load(path)
    rewrite(path, format_version="1")
    with pytest.raises(PriorError, match="masks are of an older medidiff"):
        Prior.load(path)


def test_a_file_from_before_a_card_had_a_field_still_loads(saved: Path, tiny_prior: Prior) -> None:
    """Its hash is over the card as it was written then, not over today's with the defaults filled in."""
    before = tiny_prior.card.model_dump(mode="json")
    del before["network"]["noise_correlation"]
    text = json.dumps(before, sort_keys=True)
    rewrite(saved, card=text, content_hash=content_hash(text, tiny_prior.weights))
    loaded = Prior.load(saved)
    assert loaded.card == tiny_prior.card
    assert loaded.card.network.noise_correlation is False
    assert loaded.content_hash == read_entry(saved).content_hash != tiny_prior.content_hash
    again = loaded.save(saved.with_name("again.safetensors"))
    assert Prior.load(saved.with_name("again.safetensors")).content_hash == again.content_hash
    rewrite(saved, card=json.dumps(before | {"description": "better than it is"}, sort_keys=True))
    with pytest.raises(PriorError, match="does not match its hash"):
        Prior.load(saved)


def test_a_changed_card_is_noticed(saved: Path, tiny_prior: Prior) -> None:
    card = tiny_prior.card.model_dump(mode="json")
    rewrite(saved, card=json.dumps(card | {"description": "better than it is"}))
    with pytest.raises(PriorError, match="does not match its hash"):
        Prior.load(saved)
    rewrite(saved, card=json.dumps(card | {"colour": "blue"}))
    with pytest.raises(PriorError, match="colour"):
        Prior.load(saved)
    rewrite(saved, card="{")
    with pytest.raises(PriorError, match="card is damaged"):
        Prior.load(saved)


def test_weights_must_fit_the_card(tiny_prior: Prior) -> None:
    name = "stem.bias"
    wrong = dict(tiny_prior.weights)
    wrong[name] = torch.zeros(3)
    with pytest.raises(PriorError, match=r"stem.bias has shape \(3,\)"):
        Prior(tiny_prior.card, wrong)
    with pytest.raises(PriorError, match=r"stem.bias is missing"):
        Prior(tiny_prior.card, {k: v for k, v in tiny_prior.weights.items() if k != name})
    with pytest.raises(PriorError, match="not finite"):
        Prior(tiny_prior.card, tiny_prior.weights | {name: torch.full_like(tiny_prior.weights[name], torch.nan)})


@pytest.mark.parametrize(
    ("field", "value"), [("name", "Has Space"), ("sigma_data", (0.0,)), ("sigma_min", 1e9), ("unknown", 1)]
)
def test_invalid_cards_are_refused(tiny_prior: Prior, field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Card.model_validate(tiny_prior.card.model_dump() | {field: value})


def test_listing_needs_no_torch(saved: Path) -> None:
    ask = "from medidiff.prior import list_priors; print([entry.name for entry in list_priors()])"
    env = os.environ | {"MEDIDIFF_PRIORS": str(saved.parent)}
    command = [sys.executable, "-X", "importtime", "-c", ask]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=True)
    assert "tiny" in done.stdout
    assert not re.search(r"\|\s+(torch|pydantic)$", done.stderr, re.MULTILINE)
