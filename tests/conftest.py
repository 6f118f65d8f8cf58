"""Shape checks for the mathematics, switched on in the tests only, and the way to the real scans.

The jaxtyping hook must be in place before the first `import medidiff`, so it stands here and not in a fixture.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# An int is accepted where a float is annotated (PEP 484's numeric tower), as type checkers do.
install_import_hook(
    ["medidiff.diffusion", "medidiff.nets", "medidiff.noise"],
    "beartype.beartype(conf=__import__('beartype').BeartypeConf(is_pep484_tower=True))",
)

DATA = Path(os.environ.get("MEDIDIFF_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("ixi")` is that set's folder; the test skips where the real scans are absent."""

    def folder(name: str) -> Path:
        if not (DATA / name).is_dir():
            pytest.skip(f"no real scans at {DATA / name}: set MEDIDIFF_DATA to the folder that holds {name}/")
        return DATA / name

    return folder
