"""Trained networks against what is known exactly; `python -m benchmarks.gaussian_field` trains and stores them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def field() -> ModuleType:
    """The benchmark's module, which made the networks."""
    spec = importlib.util.spec_from_file_location("gaussian_field", ROOT / "benchmarks" / "gaussian_field.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0])
def test_within_five_per_cent_of_the_wiener_bound(field: ModuleType, sigma: float) -> None:
    torch.manual_seed(0)
    errors = field.against_wiener(field.load("clean"), sigma, n=16)
    # The same fields for both, so the chance in the draw cancels; the filter itself is within 3% of its expected error.
    assert errors["wiener"] == pytest.approx(errors["exact"], rel=0.03)
    assert errors["network"] < 1.05 * errors["wiener"]
    assert errors["network"] > 0.99 * errors["wiener"], "better than the best: the test would be wrong"
    assert errors["predicted"] == pytest.approx(errors["network"], rel=0.1), "the predicted variance is the error"


@pytest.mark.parametrize("level", [0.4, 0.6, 1.0])
def test_noisy_targets(field: ModuleType, level: float) -> None:
    """Trained on noisy targets alone, the output is nearer the clean field, and nearer than the naive network's."""
    noisy = field.against_noisy_target(field.load("noisy"), "noisy", level, n=16)
    naive = field.against_noisy_target(field.load("naive"), "naive", level, n=16)
    assert noisy["to_clean"] < noisy["to_noisy"]
    assert noisy["to_clean"] < 0.95 * naive["to_clean"]
    assert noisy["to_clean"] < 1.08 * noisy["exact"]
