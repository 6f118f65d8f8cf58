"""The commands of the documents, run as they stand there.

Every line `$ medidiff ...` in a fence tagged `console` is run, page by page and in order, in a folder that holds
`scan.nii.gz`, `mask.nii.gz`, `scans/` with two more,
`dicom/` with a series and `scans.zip` with the same.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medidiff.io import write_nifti
from medidiff.volume import Volume

from .cli.dicom_files import make_series

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "docs/cli.md"]


def commands(page: str) -> list[str]:
    fences = re.findall(r"^```console\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for fence in fences for line in fence.splitlines() if line.startswith("$ ")]
    return [line[2:].split(" #")[0].strip() for line in lines]


@pytest.fixture(scope="module")
def general(tiny_prior: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for MEDIDIFF_PRIORS that makes sure there is a prior `general`; empty where the package ships it."""
    from medidiff.prior import Prior
    from medidiff.prior.files import PACKAGED

    folder = tmp_path_factory.mktemp("priors")
    if not list(PACKAGED.glob("general*.safetensors")):
        Prior(tiny_prior.card.model_copy(update={"name": "general"}), tiny_prior.weights).save(
            folder / "general.safetensors"
        )
    return folder


def make_scan(path: Path, seed: int) -> None:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (24, 22, 18)], indexing="ij")
    ball = 700.0 * (x**2 + y**2 + z**2 < 0.6) + 100
    noise = np.random.default_rng(seed).normal(0, 25, ball.shape)
    write_nifti(Volume.from_array((ball + noise).astype(np.float32), (1, 1, 1.5)), path, "float32")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    make_scan(tmp_path / "scan.nii.gz", 0)
    make_scan(tmp_path / "scans" / "a.nii.gz", 1)
    make_scan(tmp_path / "scans" / "b.nii.gz", 2)
    make_series(tmp_path / "dicom", shape=(24, 22), slices=18)
    shutil.make_archive(str(tmp_path / "scans"), "zip", tmp_path / "dicom")
    mask = np.zeros((24, 22, 18), np.uint8)
    mask[8:13, 8:13, 6:10] = 1
    write_nifti(Volume.from_array(mask, (1, 1, 1.5)), tmp_path / "mask.nii.gz")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1800)  # 27 processes, each of which imports torch
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page_run(page: str, place: Path, general: Path) -> None:
    lines = commands(page)
    assert lines, f"{page} has no line `$ medidiff ...` in a fence tagged console"
    environment = {**os.environ, "MEDIDIFF_PRIORS": str(general), "OMP_NUM_THREADS": "1"}
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "medidiff", f"{page}: only medidiff's own commands are run, not: {line}"
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=place, env=environment,
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        if words[1] == "doctor" and list(general.iterdir()):
            assert done.returncode in (0, 5), done.stderr  # random weights stand in for `general`: they denoise nothing
            continue
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        for output in re.findall(r"-o (\S+)", line):
            assert (place / output).exists(), f"{line} wrote no {output}"
