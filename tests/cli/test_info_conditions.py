"""`medidiff info` says what a prior can be asked for."""

from pathlib import Path

from medidiff.prior import Prior

from ..tasks.random_priors import VOLUMES, random_prior
from .conftest import Run


def test_conditions_with_ranges_percentiles_and_counts(tmp_path: Path, tiny_prior: Prior, run: Run) -> None:
    random_prior(tiny_prior, ("image", "mask:1")).save(tmp_path / "joint.safetensors")
    text = run("info", "joint.safetensors").out
    low, p5, p50, p95, high = (f"{VOLUMES[i]:.4g}" for i in (0, 1, 10, 19, 20))
    told = f"{low} to {high} ml (p5 {p5}, p50 {p50}, p95 {p95}, 40 scans), unknown in 2"
    assert f"condition volume_ml: {told}" in text
    assert "head (30 scans), knee (12 scans)" in text
    assert "image, mask:1" in text
    described = run("info", "joint.safetensors", "--json").json
    assert described["channels"] == ["image", "mask:1"]
    volume = described["conditions"]["volume_ml"]
    assert (volume["unit"], volume["known"], volume["percentiles"]["p95"]) == ("ml", 40, VOLUMES[19])
    assert described["conditions"]["kind"]["values"] == {"head": 30, "knee": 12}
