"""The sampling priors that ship: small enough, honest about what they have seen, and they sample what they say."""

from __future__ import annotations

import numpy as np
import pytest

from medidiff.prior import Prior
from medidiff.prior.files import PACKAGED
from medidiff.tasks.sample_maker import SampleMaker

MIB = 2**20
SAMPLERS = {"hippocampus": ("image", "mask:1", "mask:2"), "brain": ("image",)}


@pytest.fixture(scope="module", params=sorted(SAMPLERS))
def shipped(request: pytest.FixtureRequest) -> Prior:
    """A prior of the package."""
    path = PACKAGED / f"{request.param}.safetensors"
    assert path.stat().st_size <= 16 * MIB
    return Prior.load(path)


def test_the_card(shipped: Prior) -> None:
    card = shipped.card
    assert card.task == "sample"
    assert card.channels == SAMPLERS[card.name]
    assert card.shape is not None
    assert card.typical is not None
    assert card.figures
    assert "CC BY-SA" in card.output_licence
    (source,) = card.training.sources
    assert "train patients only" in source.note
    assert source.patients == {"hippocampus": 82, "brain": 68}[card.name]  # participants.tsv, split train


def test_what_it_can_be_asked_for(shipped: Prior) -> None:
    slots = shipped.card.conditions
    asked = {
        "hippocampus": ({"volume_ml", "own_noise"}, {"kind"}),
        "brain": ({"age_years"}, {"sex", "kind"}),
    }[shipped.card.name]
    assert (set(slots.continuous), set(slots.categorical)) == asked
    for slot in slots.continuous.values():
        assert len(slot.quantiles) == 21
        assert slot.quantiles[0] == slot.low < slot.quantiles[10] < slot.high == slot.quantiles[-1]
    frozen = shipped.card.model_dump_json()
    assert "hippocampus_0" not in frozen  # no case, no patient, no path of this machine
    assert "IXI0" not in frozen
    assert "/work" not in frozen


def test_samples_look_like_scans(shipped: Prior) -> None:
    """Broad limits, of any prior worth shipping: intensities within the scans', a label map of about the volume."""
    maker = SampleMaker(shipped, seed=7, n_steps=10)
    asked = {"volume_ml": 3.2} if shipped.card.name == "hippocampus" else {"age_years": 40.0, "sex": "F"}
    samples = [maker.make(i, conditions=asked) for i in range(2)]
    for sample in samples:
        assert sample.image.shape == shipped.card.shape
        assert float(np.abs(sample.image).max()) < 4
        assert 0.2 < float(sample.image.std()) < 1
        if sample.mask is not None:
            assert set(np.unique(sample.mask)) == {0, 1, 2}
            assert 1.6 < float((sample.mask > 0).sum()) / 1000 < 5
    assert np.abs(samples[0].image - samples[1].image).mean() > 0.1
