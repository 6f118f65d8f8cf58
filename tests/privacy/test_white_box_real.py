"""The overfitted prior (benchmarks/hippocampus_overfit.yaml) knows its eight patients."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from medidiff.cohort.augment import PLAIN, random_patch
from medidiff.cohort.store_source import StoreSource, store_cases
from medidiff.prior import Prior
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.thresholds import Thresholds
from medidiff.privacy.white_box import pia_score, sima_score, white_box_findings
from medidiff.privacy.white_box_probe import Probe

ROOT = Path(__file__).resolve().parents[2]
PRIOR, STORE = ROOT / "runs/overfit8/overfit8.safetensors", ROOT / "runs/stores/hippocampus"
MIDDLE = PLAIN.model_copy(update={"centred": 1.0})


@pytest.mark.skipif(not PRIOR.is_file() or not STORE.is_dir(), reason=f"needs {PRIOR} and {STORE}")
def test_one_and_two_queries_are_enough() -> None:
    members = yaml.safe_load((ROOT / "benchmarks/hippocampus_overfit.yaml").read_text())["data"]["sources"][0]["where"]
    scans: dict[str, np.ndarray] = {}
    for case in store_cases(StoreSource(name="a", url=str(STORE), own_noise="kept"), "train"):
        if case.patient in members["patient"] or (case.patient not in scans and len(scans) < 13):
            scans[case.patient] = random_patch(case, (32, 48, 40), MIDDLE, np.random.default_rng(0)).data
    gallery = Gallery(np.arange(len(scans)), np.array([patient in members["patient"] for patient in scans]))
    assert gallery.n_train == 8
    probe = Probe(Prior.load(PRIOR), (1.0, 1.0, 1.0), device="cpu")
    images = [probe.normalised(image) for image in scans.values()]
    scores = {"PIA": [pia_score(probe, x) for x in images], "SimA": [sima_score(probe, x) for x in images]}
    found = white_box_findings({name: np.array(s) for name, s in scores.items()}, gallery, Thresholds())
    assert [one.statistic for one in found] == [1.0, 1.0]
    assert all(one.p_value is not None and one.p_value < 0.01 for one in found)
