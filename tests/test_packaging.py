"""What pip installs: the wheel holds priors, configs and report templates, and every version is pinned."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import medidiff

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize("pattern", ["weights/*.safetensors", "report/**/*.html*", "py.typed", "**/*.py"])
def test_wheel_holds_the_package_files(wheel_names: set[str], pattern: str) -> None:
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "medidiff").glob(pattern)}
    assert wanted, f"nothing in the source tree matches medidiff/{pattern}"
    assert wanted <= wheel_names


def test_wheel_holds_the_configs(wheel_names: set[str]) -> None:
    wanted = {f"medidiff/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert wanted, "configs/ holds no run"
    assert wanted <= wheel_names


def test_wheel_holds_nothing_else(wheel_names: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel_names} == {"medidiff", f"medidiff-{PROJECT['version']}.dist-info"}


def test_one_version_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert PROJECT["version"] == medidiff.__version__
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def canonical(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[\w.-]+==[0-9][A-Za-z0-9.]*( ; .+)?$", pin) for pin in pins), "one exact version a line"
    wanted = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    assert {canonical(r) for r in wanted} <= {canonical(pin) for pin in pins}
    assert "torch==2.13.0" in pins
