"""Shape checks for the mathematics, switched on in the tests only, and the way to the real scans.

The jaxtyping hook must be in place before the first `import medidiff`, so it stands here and not in a fixture.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

# An int is accepted where a float is annotated (PEP 484's numeric tower), as type checkers do.
install_import_hook(
    ["medidiff.diffusion", "medidiff.nets", "medidiff.noise"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

DATA = Path(os.environ.get("MEDIDIFF_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_collection_finish() -> None:
    """One torch thread, where torch is used: the two cores are shared, and results must not depend on the count."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keys and lookup tables of pseudonyms are made in a folder that goes away, never in the home of who runs tests."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDIDIFF_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with all sets of real scans; the test skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real scans at {DATA}: set MEDIDIFF_DATA to their folder")
    return DATA


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("ixi")` is that set's folder; the test skips where the real scans are absent."""

    def folder(name: str) -> Path:
        if not (DATA / name).is_dir():
            pytest.skip(f"no real scans at {DATA / name}: set MEDIDIFF_DATA to the folder that holds {name}/")
        return DATA / name

    return folder


@pytest.fixture(scope="session")
def tiny_prior() -> Any:
    """A `Prior` of 50 thousand random weights: runs in milliseconds, denoises nothing."""
    import torch

    from medidiff.nets.unet import HaarUNet, NetConfig
    from medidiff.prior import Card, Prior, SpacingRange, TrainingRecord

    config = NetConfig(channels=1, widths=(16, 16, 24), blocks=(1, 1, 1), embedding=16)
    generator = torch.Generator().manual_seed(0)
    # Heads and modulations start at zero in training; here every weight does something.
    weights = {
        name: t + 0.05 * torch.randn(t.shape, generator=generator) for name, t in HaarUNet(config).state_dict().items()
    }
    card = Card(
        name="tiny",
        version="0",
        created="2026-11-20",
        description="Random weights for tests.",
        task="sample",
        network=config,
        sigma_data=(0.5,),
        sigma_min=0.002,
        sigma_max=80.0,
        spacing_mm=SpacingRange(low=0.5, high=4.0),
        modalities=("none",),
        training=TrainingRecord(),
        weights_licence="Apache-2.0",
        output_licence="none",
        intended_use="Tests.",
        limits="Everything.",
    )
    return Prior(card, weights)
