"""The house stands as designed: floors, a core that knows torch only, and a light import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from medidiff.nets.haar import haar3d

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "monai", "matplotlib", "lightning"}
# jaxtyping names array shapes in signatures; it computes nothing.
CORE_MAY_IMPORT = {"torch", "jaxtyping"}


def run_python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_imports_go_down_the_floors() -> None:
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    done = run_python("-c", lint)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", [("-c", "import medidiff"), ("-m", "medidiff", "--help")], ids=["import medidiff", "medidiff --help"]
)
def test_import_and_help_are_light(command: tuple[str, ...]) -> None:
    # -X importtime writes one line for every module that is really loaded, lazily or not.
    done = run_python("-X", "importtime", *command)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {m.split(".")[0] for m in re.findall(r"^import time:[^|]*\|[^|]*\|\s*(\S+)", done.stderr, re.MULTILINE)}
    assert "medidiff" in loaded
    assert not loaded & HEAVY


def test_help_names_the_verbs_and_the_exit_codes() -> None:
    done = run_python("-m", "medidiff", "--help")
    assert done.returncode == 0, done.stderr[-2000:]
    for verb in ("scan", "denoise", "convert", "inpaint", "train", "priors", "info", "demo", "doctor"):
        assert verb in done.stdout


def imported_names(path: Path) -> set[str]:
    """Absolute modules that a file imports, at any depth of indentation."""
    names: set[str] = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names.add(".".join([*base, *filter(None, [node.module])]))
    return names


@pytest.mark.parametrize(
    "path", sorted((ROOT / "medidiff" / "diffusion").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_mathematics_imports_torch_only(path: Path) -> None:
    for name in imported_names(path):
        top = name.split(".")[0]
        if top == "medidiff":
            assert name.startswith(("medidiff.diffusion", "medidiff.errors")), f"{path.name} imports {name}"
        else:
            assert top in CORE_MAY_IMPORT or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_shape_checks_are_on() -> None:
    # conftest.py installs them; without this a broken hook would go unnoticed.
    with pytest.raises(TypeCheckError):
        haar3d(torch.zeros(2, 3))


def test_the_core_is_there() -> None:
    assert list((ROOT / "medidiff" / "diffusion").rglob("*.py")), "the parametrised test above would pass on nothing"
