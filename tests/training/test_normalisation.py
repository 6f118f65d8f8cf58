"""A prior's normalisation against that of the scans it is trained on from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from medidiff.prior import NormalisationRecipe, Prior
from medidiff.training.normalisation import warn_of_other_normalisation


def test_another_normalisation_is_told(tiny_prior: Prior, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_prior.save(tmp_path / "tiny.safetensors")
    config = cast(Any, SimpleNamespace(start_from=tmp_path / "tiny.safetensors"))
    warn_of_other_normalisation(config, tiny_prior.card.normalisation)
    assert capsys.readouterr().err == ""
    warn_of_other_normalisation(config, NormalisationRecipe(name="window", window=(-1000, 1000)))
    told = capsys.readouterr().err
    assert "the window -1000 to 1000" in told
    assert "percentiles 0.5 and 99.5" in told
