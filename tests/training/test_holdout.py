"""A run with its own holdout: the record beside it, nobody held out is trained on, and the card's commitment."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medidiff.cli.audit_ahead import SYNTHETICS, audit_lines
from medidiff.cohort.commitment import KEY_FILE, is_committed, read_key
from medidiff.cohort.run_holdout import RECORD, RunCoin
from medidiff.errors import ConfigError, InputError
from medidiff.prior import Prior
from medidiff.prior.card import TrainingRecord
from medidiff.privacy.plan import plan
from medidiff.training import run
from medidiff.training.checkpoints import CHECKPOINT

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]
NAMES = [f"p{k}" for k in range(12)]


def config_of(tiny_config: Callable[..., Path], folder: Path, **parts: Any) -> Path:
    """Twelve train patients and one of val in a folder with a table, tiny scans."""
    scans = folder / "scans"
    scans.mkdir(parents=True, exist_ok=True)
    rows = ["case\tsplit"]
    for number, name in enumerate([*NAMES, "v"]):
        data = np.random.default_rng(number).normal(size=(12, 12, 12)).astype(np.float32)
        nib.save(nib.Nifti1Image(data, np.eye(4)), scans / f"{name}.nii.gz")  # type: ignore[attr-defined]
        rows.append(f"{name}\t{'val' if name == 'v' else 'train'}")
    (folder / "p.tsv").write_text("\n".join(rows) + "\n")
    source = {"type": "folder", "name": "f", "files": "scans/{case}.nii.gz", "table": "p.tsv", "tau": 0.1}
    data = {"root": str(folder), "cache": str(folder / "cache"), "patch": [8, 8, 8], "sources": [source]}
    return tiny_config(folder, steps=4, data=data, **parts)


def test_a_run_with_a_coin(
    tiny_config: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medidiff.cohort.run_holdout.secrets.randbelow", lambda _: 3)
    config, seen = config_of(tiny_config, tmp_path), []
    plan = run.plan_training(config, ["holdout=coin"])
    out = tmp_path / "out"
    assert not out.exists()
    prior = Prior.load(run.run_training(config, ["holdout=coin"], audit=lambda *n: seen.append(n) or ["AUDIT"]))
    record = json.loads((out / RECORD).read_text())
    held = [name for name in sorted(NAMES) if RunCoin(3).keeps_out(name)]
    assert record["seed"] == 3
    train = sorted(set(NAMES) - set(held))
    assert record["sources"] == [{"name": "f", "train": train, "holdout": held}]
    assert seen == [(12 - len(held), len(held))]
    assert plan["holdout_patients"] == len(held)
    assert plan["data"]["train_patients"] == 12 - len(held)
    told = capsys.readouterr().err
    assert f"holdout: {len(held)} patients are kept out of training, {12 - len(held)} are trained on" in told
    assert "AUDIT" in told
    card = prior.card.training
    assert card.patients == 12 - len(held)
    key = read_key(out / KEY_FILE)
    assert is_committed(record["sources"][0]["train"], key, card.commitment)
    assert not is_committed(NAMES, key, card.commitment)
    text = json.dumps(prior.card.model_dump(mode="json"))
    assert key.hex() not in text
    assert not any(f'"{name}"' in text for name in NAMES)
    with pytest.raises(ConfigError, match="holds a run with other settings \\(holdout"):
        run.run_training(config, [])
    (out / RECORD).unlink()
    with pytest.raises(ConfigError, match="Bring the file back"):
        run.run_training(config, ["holdout=coin"])


def test_another_coin_is_noticed_on_resume(
    tiny_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tiny_config, tmp_path)
    run.run_training(config, ["holdout=coin"])
    record = tmp_path / "out" / RECORD
    record.write_text(json.dumps({**json.loads(record.read_text()), "seed": 1}))
    (tmp_path / "out" / "tiny.safetensors").unlink()
    assert (tmp_path / "out" / CHECKPOINT).is_file()
    with pytest.raises(InputError, match="its scans or their split changed"):
        run.run_training(config, ["holdout=coin"])


def test_an_old_card_has_no_commitment() -> None:
    assert TrainingRecord.model_validate({"steps": 3}).commitment == ""


def test_what_an_audit_can_show_is_said_before() -> None:
    assert audit_lines(9, 0) == [
        "privacy audit: nobody is held out and 9 are trained on, too few to audit with. `--holdout coin` keeps 30% of "
        "the patients out."
    ]
    assert audit_lines(9, 1)[0].startswith("privacy audit: only 1 is held out")
    assert audit_lines(82, 43) == [f"privacy audit: {plan(82, 43, SYNTHETICS).words}"]
