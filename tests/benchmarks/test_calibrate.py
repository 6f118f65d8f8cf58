"""The calibration run with a denoiser whose errors are known: it finds the factor, and the card has it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import _calibration_cases as cases
from benchmarks import calibrate as run
from medidiff.prior import Prior
from medidiff.prior.calibration import interval_factor
from medidiff.volume import Volume

COUNT = 5


def cohort(tau: float = 0.0) -> list[cases.Patient]:
    """Five patients in arbitrary units and five in HU, 16 voxels a side."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(2 * COUNT):
        ct = i >= COUNT
        values = 100 * rng.random((16, 16, 16)) + (0 if ct else 50)
        volume = Volume.from_array(values.astype(np.float32), (2.0, 2.0, 2.0), name=f"p{i}")
        made.append(cases.Patient("body" if ct else "head", f"p{i}", volume, tau, "ct" if ct else "mr"))
    return made


@pytest.fixture
def known_errors(monkeypatch: pytest.MonkeyPatch) -> list[cases.Patient]:
    """`denoise` errs by a Gaussian of standard deviation 2 and claims 1."""
    patients = cohort()
    clean = {p.name: p.clean.data for p in patients}

    def denoise(volume: Volume, prior: Any, *, noise: Any, precision: str) -> Any:
        assert precision == "float32"
        error = np.random.default_rng(int(volume.name[1:])).standard_normal(volume.shape)
        one = volume.with_data(np.ones(volume.shape, np.float32))
        output = volume.with_data((clean[volume.name] + 2 * error).astype(np.float32))
        return SimpleNamespace(output=output, uncertainty=one, noise_map=one)

    monkeypatch.setattr(run, "denoise", denoise)
    monkeypatch.setattr(run, "patients", lambda split, limit: iter(patients))
    monkeypatch.setattr(run, "FEWEST_PATIENTS", COUNT)
    return patients


def test_it_finds_the_factor_and_writes_the_card(
    known_errors: list[cases.Patient], tiny_prior: Prior, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.safetensors"
    before = tiny_prior.save(path, "float16")
    assert run.main(["--prior", str(path), "--precision", "float32", "--write"]) == 0
    after = Prior.load(path)  # checks the new hash
    assert after.content_hash != before.content_hash
    assert all(bool((after.weights[name] == before.weights[name]).all()) for name in before.weights)
    for kind in cases.KINDS:
        # 90% of |N(0, 2)| is 3.29; 5 patients of 4096 voxels at least: 1% is three standard errors.
        assert interval_factor(after.card, kind) == pytest.approx(3.29, rel=0.015)
    told = after.card.calibration
    assert told is not None
    assert (told["level"], told["unit"], told["patients"]) == (0.9, "patient", COUNT)
    assert told["coverage"]["ct"][1] < 0.9 < told["coverage"]["ct"][2]
    text = capsys.readouterr().out
    assert "| correlated | 10 |" in text
    assert run.main(["--prior", str(path), "--precision", "float32", "--split", "holdout"]) == 0
    assert "the card's factor" in capsys.readouterr().out


def test_too_few_patients_are_not_written(
    known_errors: list[cases.Patient], tiny_prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_prior.save(path)
    monkeypatch.setattr(run, "FEWEST_PATIENTS", COUNT + 1)
    with pytest.raises(SystemExit, match="rician, ct"):
        run.main(["--prior", str(path), "--precision", "float32", "--write"])
    assert Prior.load(path).card.calibration is None
    with pytest.raises(SystemExit):
        run.main(["--prior", str(path), "--write", "--split", "holdout"])


@pytest.mark.parametrize("kind", cases.KINDS)
@pytest.mark.parametrize("tau", [0.0, 3.0])
def test_the_noise_is_what_is_said(kind: str, tau: float) -> None:
    """Level, map and correlation: whitened by the added level the noise has unit variance and the told correlation."""
    patient = cohort(tau)[-1 if kind == "ct" else 0]
    scan, known = cases.noisy(patient, kind, 10.0)
    level = np.broadcast_to(known.level, scan.shape)
    assert float(np.sqrt(np.mean(level**2))) == pytest.approx(0.1 * patient.data_range, rel=0.02)
    assert isinstance(known.level, np.ndarray) == (kind in ("varying", "ct"))
    added = np.sqrt(level**2 - tau**2)
    if kind == "rician":
        assert known.kind == "rician"
        assert float(scan.data.min()) >= 0
        return
    unit = (scan.data - patient.clean.data) / added
    assert float(unit.std()) == pytest.approx(1, abs=0.08)  # 4096 voxels, fewer independent ones where correlated
    found = float(np.mean(unit[1:] * unit[:-1]))
    share = float(np.mean(added**2 / level**2))
    assert known.correlation[0] == pytest.approx(share * found, abs=0.08)
    if kind == "varying":
        assert float(level.max() / level.min()) == pytest.approx(3, rel=0.1)
    again, _ = cases.noisy(patient, kind, 10.0)
    assert np.array_equal(again.data, scan.data)


def test_patients_are_nobody_s_else() -> None:
    """Phantom seeds lie above training's and outside the other benchmarks'."""
    from benchmarks._cases import PHANTOM_SEEDS
    from medidiff.cohort.sources import TRAINING_SEED_LIMIT

    for seed in cases.SEEDS.values():
        assert seed > TRAINING_SEED_LIMIT + 99_999
        assert all(abs(seed - other) > 1000 for other in PHANTOM_SEEDS.values())
    assert abs(cases.SEEDS["val"] - cases.SEEDS["holdout"]) > max(cases.PHANTOMS.values())
