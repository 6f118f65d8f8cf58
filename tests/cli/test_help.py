"""What the help says, what docs/cli.md says, and what the code does are the same."""

import re
from pathlib import Path

import pytest

from medidiff.errors import EXIT_CODES

from .conftest import Run

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
VERBS = (
    "scan",
    "noise",
    "denoise",
    "inpaint",
    "insert",
    "convert",
    "evaluate denoise",
    "evaluate fidelity",
    "evaluate utility",
    "evaluate calibration",
    "priors",
    "info",
    "prepare",
    "train",
    "runs",
    "synth",
    "verify",
    "audit",
    "release",
    "demo",
    "doctor",
)


def section(verb: str) -> str:
    found = re.search(rf"^## {verb}\n(.*?)(?=^## )", DOCS, flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section {verb}"
    return found[1]


def test_the_exit_codes_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", DOCS.split("## Exit codes")[1], flags=re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_root_help_lists_verbs_and_exit_codes(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    assert "Research use only. Not a medical device." in done.out
    for verb in VERBS:
        assert re.search(rf"^  {verb.split()[0]} ", done.out, flags=re.MULTILINE)
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ +{code}  {re.escape(meaning)}$", done.out, flags=re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example_and_documented_options(verb: str, run: Run) -> None:
    done = run(*verb.split(), "--help")
    assert done.code == 0
    assert f"Examples:\n    medidiff {verb}" in done.out
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.out)) - {"--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section(verb)))
    assert options <= named, f"docs/cli.md, {verb}: {sorted(options - named)} missing"
    assert named <= options | {"--help"}, f"docs/cli.md, {verb}: {sorted(named - options)} do not exist"


def test_version(run: Run) -> None:
    import medidiff

    assert run("--version").out == f"medidiff {medidiff.__version__}\n"


def test_no_arguments_shows_help_and_an_unknown_verb_is_usage(run: Run) -> None:
    assert "denoise" in run().out + run().err
    assert run("denoize").code == 2
    assert run("denoise", "--no-such-option").code == 2
