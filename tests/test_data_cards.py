"""Every data set that trains or tests a prior has a card that says the same things in the same places."""

import re
from pathlib import Path

import pytest

CARDS = Path(__file__).resolve().parents[1] / "data_cards"
HEADINGS = ["Source", "Licence", "What we use", "Split", "Traps"]
EXPECTED_LICENCE = {
    "procedural": "Apache-2.0",
    "hippocampus": "CC BY-SA 4.0",
    "ixi": "CC BY-SA 3.0",
    "sarcoma": "CC BY 3.0",
}


def cards() -> list[Path]:
    return sorted(path for path in CARDS.glob("*.md") if path.name != "README.md")


def sections(path: Path) -> dict[str, str]:
    """Heading of the second level -> its text, in the file's order."""
    parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading.strip(): text.strip() for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_known_sets_have_cards() -> None:
    assert set(EXPECTED_LICENCE) <= {path.stem for path in cards()}


@pytest.mark.parametrize("path", cards(), ids=lambda path: path.stem)
def test_card_has_every_heading_filled(path: Path) -> None:
    found = sections(path)
    assert list(found) == HEADINGS
    assert all(found.values()), f"{path.name}: a heading without text"


@pytest.mark.parametrize(("name", "licence"), EXPECTED_LICENCE.items(), ids=EXPECTED_LICENCE)
def test_card_names_its_licence(name: str, licence: str) -> None:
    assert sections(CARDS / f"{name}.md")["Licence"].startswith(licence)


@pytest.mark.parametrize("path", cards(), ids=lambda path: path.stem)
def test_index_lists_the_card_with_its_licence(path: Path) -> None:
    row = next((r for r in (CARDS / "README.md").read_text(encoding="utf-8").splitlines() if f"({path.name})" in r), "")
    assert row, f"data_cards/README.md does not list {path.name}"
    if path.stem in EXPECTED_LICENCE:
        assert EXPECTED_LICENCE[path.stem] in row
