"""A prior that runs in milliseconds under the name `tiny`, scans, and two ways to run the command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medidiff.io import write_nifti
from medidiff.volume import Volume


@pytest.fixture(scope="session")
def priors_folder(tiny_prior: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("priors")
    tiny_prior.save(folder / "tiny.safetensors")
    return folder


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def environment(priors_folder: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDIDIFF_PRIORS", str(priors_folder))
    monkeypatch.setenv("MEDIDIFF_CACHE", str(cache_folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.delenv("MEDIDIFF_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)


def make_scan(path: Path, seed: int = 0, dtype: str = "int16", shape: tuple[int, int, int] = (17, 16, 20)) -> Volume:
    """A noisy ball, 0 to about 1000, on an oblique-free LAS grid with different spacings."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    clean = 800.0 * (x**2 + y**2 + z**2 < 0.6) + 100
    data = np.rint(clean + np.random.default_rng(seed).normal(0, 40, shape)).astype(np.float32)
    affine = np.diag([-1.5, 1.0, 2.0, 1.0])
    affine[:3, 3] = (12.0, -8.0, 3.5)
    volume = Volume(data, affine, name=path.name.split(".")[0])
    write_nifti(volume, path, dtype)
    return volume


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    make_scan(tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


class Ran:
    """What a run left: exit code, stdout, stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    def failed_cleanly(self, code: int, *said: str) -> None:
        """The documented code, one clear line, no traceback."""
        assert self.code == code, (self.code, self.out, self.err)
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        for text in said:
            assert text in self.err, self.err
        assert "Traceback" not in self.err + self.out


Run = Callable[..., Ran]


@pytest.fixture
def run() -> Run:
    """Run the command in this process."""
    from typer.testing import CliRunner

    from medidiff.cli import app

    def go(*args: object) -> Ran:
        done = CliRunner().invoke(app, [str(a) for a in args])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    return go


@pytest.fixture
def shell() -> Run:
    """Run the command as a process of its own."""

    def go(*args: object, **options: Any) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "medidiff", *map(str, args)],
            capture_output=True, text=True, timeout=120, check=False, **options,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    return go


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a small tmpfs, `mounted(size="64k")` or `mounted(read_only=True)`; skips where that is not allowed."""
    made: list[Path] = []

    def mount(size: str = "1m", read_only: bool = False) -> Path:
        folder = tmp_path / f"mount-{len(made)}"
        folder.mkdir()
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("mounting a tmpfs needs Linux and root")
        options = f"size={size}" + (",ro" if read_only else "")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", folder], check=True)
