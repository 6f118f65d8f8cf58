"""Every data set that trains or tests a prior has a card that says the same things in the same places, and truly."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from medidiff.cohort.data_card import HEADINGS, UNKNOWN, card_schema, read_data_card
from medidiff.errors import ConfigError

CARDS = Path(__file__).resolve().parents[1] / "data_cards"
DATA = Path("/work/shared/data")
EXPECTED_LICENCE = {
    "procedural": "Apache-2.0",
    "hippocampus": "CC BY-SA 4.0",
    "ixi": "CC BY-SA 3.0",
    "sarcoma": "CC BY 3.0",
}


def cards() -> list[Path]:
    return sorted(path for path in CARDS.glob("*.md") if path.name not in ("README.md", "template.md"))


def participants(name: str) -> list[dict[str, str]]:
    path = DATA / name / "participants.tsv"
    if not path.is_file():
        pytest.skip(f"{path} is not here: the shared sets are beside the project, never inside it")
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_known_sets_have_cards() -> None:
    assert set(EXPECTED_LICENCE) <= {path.stem for path in cards()}


@pytest.mark.parametrize("path", [*cards(), CARDS / "template.md"], ids=lambda path: path.stem)
def test_card_has_facts_that_the_schema_allows_and_every_heading_filled(path: Path) -> None:
    facts, sections = read_data_card(path)
    assert tuple(sections) == HEADINGS
    assert facts.name == (path.stem if path.stem != "template" else "my_cohort")


def test_the_schema_is_that_of_the_code() -> None:
    schema = json.loads((CARDS / "schema.json").read_text(encoding="utf-8"))
    assert schema == card_schema(), "data_cards/schema.json: write card_schema() into it again"


@pytest.mark.parametrize(("name", "licence"), EXPECTED_LICENCE.items(), ids=EXPECTED_LICENCE)
def test_card_names_its_licence(name: str, licence: str) -> None:
    facts, sections = read_data_card(CARDS / f"{name}.md")
    assert facts.licence == licence
    assert sections["Licence"].startswith(licence)


@pytest.mark.parametrize("path", cards(), ids=lambda path: path.stem)
def test_index_lists_the_card_with_its_licence(path: Path) -> None:
    row = next((r for r in (CARDS / "README.md").read_text(encoding="utf-8").splitlines() if f"({path.name})" in r), "")
    assert row, f"data_cards/README.md does not list {path.name}"
    if path.stem in EXPECTED_LICENCE:
        assert EXPECTED_LICENCE[path.stem] in row


@pytest.mark.parametrize("name", ["hippocampus", "ixi", "sarcoma"])
def test_counts_are_those_of_the_table(name: str) -> None:
    rows = participants(name)
    facts, sections = read_data_card(CARDS / f"{name}.md")
    assert facts.patients is not None
    assert facts.scans is not None
    whose = "patient" if "patient" in rows[0] else "case"
    patients = Counter(split for _, split in {(row[whose], row["split"]) for row in rows})
    assert facts.patients.model_dump() == {split: patients[split] for split in ("train", "val", "holdout")}
    per_case = len(facts.modalities)  # a case of sarcoma is one scan of each
    scans = Counter(row["split"] for row in rows)
    assert facts.scans.model_dump() == {split: per_case * scans[split] for split in ("train", "val", "holdout")}
    told = re.search(r"^\| (?:patients|subjects) \| (\d+) \| (\d+) \| (\d+) \|$", sections["Split"], re.MULTILINE)
    assert told is not None
    assert [int(n) for n in told.groups()] == list(facts.patients.model_dump().values())


def test_subgroups_of_ixi_are_those_of_the_table() -> None:
    rows = participants("ixi")
    facts, sections = read_data_card(CARDS / "ixi.md")
    assert facts.sex == Counter(row["sex"] for row in rows if row["sex"] in ("F", "M"))
    ages = [float(row["age_years"]) for row in rows if row["age_years"] != "n/a"]
    assert facts.ages is not None
    assert (facts.ages.known, facts.ages.lowest, facts.ages.highest) == (len(ages), min(ages), max(ages))
    for label, low, high in (
        ("20 to 40", 20, 40),
        ("40 to 60", 40, 60),
        ("60 to 80", 60, 80),
        ("80 and over", 80, 200),
    ):
        here = [row for row in rows if row["age_years"] != "n/a" and low <= float(row["age_years"]) < high]
        cells = [
            f"{sum(row['sex'] == sex for row in here)} "
            f"({sum(row['sex'] == sex and row['split'] == 'train' for row in here)})"
            for sex in ("F", "M")
        ]
        assert f"| {label} | {cells[0]} | {cells[1]} |" in sections["Subgroups"]


@pytest.mark.parametrize("name", ["hippocampus", "sarcoma"])
def test_what_the_table_does_not_say_is_not_recorded(name: str) -> None:
    facts, sections = read_data_card(CARDS / f"{name}.md")
    assert not {"sex", "age_years", "site"} & set(participants(name)[0])
    assert (facts.sex, facts.ages, facts.ethnicity, facts.consent) == (None, None, UNKNOWN, UNKNOWN)
    assert "not recorded" in sections["Subgroups"]


def test_the_priors_that_a_set_trains_say_so_too() -> None:
    from medidiff.prior import read_entry

    of_set = {"hippocampus": "hippocampus_t1", "ixi": "head_t1", "sarcoma": "body_ct", "procedural": "procedural"}
    shipped = [read_entry(path).card for path in (CARDS.parent / "medidiff" / "weights").glob("*.safetensors")]
    for name, source in of_set.items():
        facts, _ = read_data_card(CARDS / f"{name}.md")
        trained = {card["name"] for card in shipped if source in {s["name"] for s in card["training"]["sources"]}}
        assert set(facts.trains) == trained


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("---\n", "", 1), "no facts"),
        (("kind: people", "kind: robots"), "kind"),
        (("patients: {train: 0, val: 0, holdout: 0}", "patients: null"), "counted for people"),
        (("sex: null", "sex: {F: 3}"), "3 patients of known sex"),
        (("trains: []", "trains: []\nmood: good"), "mood"),
        (("## Privacy\n", "## Secrecy\n"), "headings must be"),
        (("What goes wrong when one does not know it.", ""), "nothing under Traps"),
        (("licence: CC BY 4.0", "licence: [CC"), "no YAML"),
    ],
)
def test_a_card_that_is_wrong_is_refused(tmp_path: Path, change: tuple, said: str) -> None:
    text = (CARDS / "template.md").read_text(encoding="utf-8")
    path = tmp_path / "card.md"
    path.write_text(text.replace(*change))
    assert path.read_text() != text
    with pytest.raises(ConfigError, match=said):
        read_data_card(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_data_card(tmp_path / "none.md")


def test_facts_are_plain_yaml() -> None:
    for path in cards():
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1]), dict)
