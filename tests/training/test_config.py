"""Training configurations: what is shipped is valid, what is wrong is named."""

from pathlib import Path

import pytest

from medidiff.errors import ConfigError
from medidiff.training.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


RUNS = sorted(path for path in CONFIGS.glob("*.yaml") if path.stem != "audit")  # thresholds: tests/privacy


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_overrides_reach_into_lists() -> None:
    config = load_config(CONFIGS / "smoke.yaml", ["optimiser.batch=3", "data.sources.0.volumes=7", "hours=0.5"])
    assert (config.optimiser.batch, config.data.sources[0].volumes, config.hours) == (3, 7, 0.5)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimiser.speed=3", "optimiser.speed"),
        ("data.patch=[30, 32, 32]", "multiples of 8"),
        ("data.sources=[]", "sources is empty"),
        ("optimiser.lr=-1", "optimiser.lr"),
        ("noise.sigma_min=100", "sigma_min"),
        ("data.sources.9.volumes=1", "does not name a place"),
        ("optimiser.batch", "key=value"),
        ("name=../evil", "name"),
        ("data.sources.0.seed=900000", "seed"),
    ],
)
def test_wrong_settings_are_named(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(CONFIGS / "smoke.yaml", [override])


@pytest.mark.parametrize("text", ["name: [", "- a\n- b", "\x00"])
def test_not_a_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


def test_missing_file_says_where_examples_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="configs/"):
        load_config(tmp_path / "none.yaml")
