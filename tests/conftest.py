"""Shape checks for the mathematics, switched on in the tests only, and the way to the real scans.

The jaxtyping hook must be in place before the first `import medidiff`, so it stands here and not in a fixture.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

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
