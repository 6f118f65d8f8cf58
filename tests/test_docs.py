"""What the documents say is true of the package: exit codes, names, links."""

import ast
import re
from pathlib import Path

import pytest

import medidiff
from medidiff.errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(p for folder in (".", "docs", "data_cards", "configs") for p in (ROOT / folder).glob("*.md"))


def test_readme_says_early_that_this_is_for_research() -> None:
    assert "Research use only. Not a medical device." in "\n".join(README.splitlines()[:12])


def test_readme_lists_the_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, flags=re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_readme_python_uses_public_names() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    used = {
        node.attr
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "medidiff"
    }
    assert used
    assert used <= set(medidiff.__all__)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_dicom_page_has_every_refusal_with_its_exit_code_and_every_decoder() -> None:
    from medidiff.io.dicom.codecs import CODECS
    from medidiff.io.dicom.model import NOT_A_VOLUME, REFUSALS, Candidate, Refusal, SeriesFacts
    from medidiff.io.dicom.read import refusal_error

    page = (ROOT / "docs" / "dicom.md").read_text(encoding="utf-8")
    exits = {code: int(number) for code, number in re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", page, flags=re.MULTILINE)}
    series = SeriesFacts("1.2", "1.3", "", "", (), 1, "CT", "", "", "", "", False)
    refused = {
        code: refusal_error(Candidate("00000000", series, "", (), None, Refusal(code, "", ""))).exit_code
        for code in REFUSALS.keys() - NOT_A_VOLUME
    }
    assert exits == refused
    assert all(f"| `{code}` |" in page for code in NOT_A_VOLUME)
    assert all(codec.package in page for codec in CODECS.values())


def test_dicom_page_shows_the_last_comparison_with_dcm2niix() -> None:
    page = (ROOT / "docs" / "dicom.md").read_text(encoding="utf-8")
    results = (ROOT / "benchmarks" / "results" / "dicom_readers.md").read_text(encoding="utf-8")
    assert results.strip() in page
