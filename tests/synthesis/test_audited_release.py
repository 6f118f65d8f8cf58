"""From a prior to a released set by the four commands a group types: synth, audit, sign, release."""

import datetime
import json
from pathlib import Path

import numpy as np
import pytest

from medidiff.io import write_nifti
from medidiff.nets.embedding import ConditionSlots
from medidiff.phantoms import procedural_volume
from medidiff.prior import Prior
from medidiff.privacy.report_record import read_audit
from medidiff.volume import Volume

from .conftest import Run, make_prior

PATIENTS, SAMPLES = 40, 200
"""Of each side, and of the set: no fewer let a share of 5% be found with a probability of 90%."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    side = np.random.default_rng(1).permutation(2 * PATIENTS) < PATIENTS
    for i, train in enumerate(side):
        place = root / ("train" if train else "holdout") / f"sub-{i:03d}.nii.gz"
        place.parent.mkdir(exist_ok=True)
        write_nifti(Volume(procedural_volume((16, 16, 16), 100 + i), np.eye(4)), place)
    return root


@pytest.fixture
def prior(tmp_path: Path) -> Prior:
    prior = make_prior("stranger", slots=ConditionSlots(), masks=False)
    prior.save(tmp_path / "stranger.safetensors")
    return prior


@pytest.mark.timeout(900)
def test_a_set_that_copies_nobody_is_audited_signed_and_released(run: Run, people: Path, prior: Prior) -> None:
    file = "stranger.safetensors"
    made = run("synth", "-p", file, "-n", SAMPLES, "-o", "set", "--steps", "4")
    assert made.code == 0, made.err
    sides = ("--train", people / "train", "--holdout", people / "holdout")
    done = run("audit", "set", *sides, "--prior", file, "-o", "set/audit")
    assert done.code == 0, done.out + done.err
    report = read_audit(Path("set/audit/audit.json"))
    assert report.verdict == "PASS"
    assert report.prior_hash == prior.content_hash
    assert {"white-box loss", "label permutation", "copy rate", "sensitivity"} <= {f.test for f in report.findings}
    unsigned = run("release", "set")
    assert unsigned.code == 2
    assert "--template" in unsigned.err
    assert run("release", "set", "--template").code == 0
    form_file = Path("set/audit") / report.sign_off
    form = json.loads(form_file.read_text())
    for row in (*form["random_samples"], *form["worst_samples"]):
        row["reviewed"] = True
    form |= {
        "reviewer": "A. Person", "role": "privacy officer", "date": str(datetime.date.today()),
        "statement": "I looked at all of them.", "decision": "approve",
    }  # fmt: skip
    form_file.write_text(json.dumps(form))
    released = run("release", "set")
    assert released.code == 0, released.err
    record = json.loads(Path("set/RELEASE.json").read_text())
    assert (record["verdict"], record["prior_audited"]) == ("PASS", True)
    assert report.words in Path("set/DATA_CARD.md").read_text()
