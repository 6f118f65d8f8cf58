"""A data card: the facts at its top, checked, and the headings that every card has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medidiff.errors import ConfigError

HEADINGS = (
    "Source", "Licence", "What we use", "Intended use", "Split", "Subgroups", "Known biases", "Privacy", "Traps",
)  # fmt: skip
UNKNOWN = "not recorded"
"""What stands where nobody wrote it down; a guess never does."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Counts(_Facts):
    """How many are in each split."""

    train: int = Field(ge=0)
    val: int = Field(ge=0)
    holdout: int = Field(ge=0)


class Ages(_Facts):
    """Of patients whose age is known, years."""

    known: int = Field(ge=1)
    lowest: float = Field(ge=0, le=120)
    highest: float = Field(ge=0, le=120)


class DataCard(_Facts):
    """The facts at the top of a card (YAML between two lines of `---`).

    A figure is what was counted, null what does not apply or is not known, and a text that nobody wrote down `not
    recorded`.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """As configurations and tests call it; the card's file is named after it."""
    kind: Literal["people", "drawn"]
    """Scans of people, or volumes that a program draws."""
    licence: str = Field(min_length=1)
    """As the source states it."""
    modalities: tuple[str, ...] = Field(min_length=1)
    """T1 MR, CT."""
    patients: Counts | None
    """By the fixed split; null for what is drawn."""
    scans: Counts | None
    """The same; null for what is drawn."""
    sex: dict[str, int] | None = None
    """Patients of each; null: not recorded."""
    ages: Ages | None = None
    """Null: not recorded."""
    ethnicity: str = UNKNOWN
    sites: str = UNKNOWN
    """Where the scans were made, how many places."""
    scanners: str = UNKNOWN
    consent: str = UNKNOWN
    """On what approval or consent the use rests, as far as the source says."""
    defaced: Literal["yes", "no", "no face in the scans", "not applicable", "not recorded"]
    trains: tuple[str, ...] = ()
    """Shipped priors that its train patients trained."""
    audited: str = UNKNOWN
    """Which audit looked at those priors, or that none did."""

    @model_validator(mode="after")
    def _agrees(self) -> DataCard:
        if (self.kind == "people") != (self.patients is not None and self.scans is not None):
            raise ValueError("patients and scans are counted for people, and for people alone")
        if self.patients is not None:
            everybody = sum(self.patients.model_dump().values())
            counted = [sum((self.sex or {}).values()), self.ages.known if self.ages else 0]
            if max(counted) > everybody:
                raise ValueError(f"{max(counted)} patients of known sex or age, and {everybody} in all")
        return self


def read_data_card(path: Path) -> tuple[DataCard, dict[str, str]]:
    """A card's facts, and its text by heading.

    Raises:
        ConfigError: It cannot be read, the facts are missing or wrong, or a heading is missing, empty or out of order.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from error
    found = re.match(r"---\n(.*?)\n---\n(.*)", text, flags=re.DOTALL)
    if found is None:
        raise ConfigError(f"{path}: begins with no facts between two lines of ---. See data_cards/template.md.")
    parts = re.split(r"^## (.+)$", found[2], flags=re.MULTILINE)
    sections = {title.strip(): body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}
    if tuple(sections) != HEADINGS:
        raise ConfigError(
            f"{path}: headings must be {', '.join(HEADINGS)}, in this order; it has {', '.join(sections)}."
        )
    empty = [title for title, body in sections.items() if not body]
    if empty:
        raise ConfigError(f"{path}: nothing under {', '.join(empty)}. Write '{UNKNOWN}' where it is so.")
    return _facts(path, found[1]), sections


def card_schema() -> dict[str, Any]:
    """JSON Schema of the facts, as data_cards/schema.json has it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DataCard.model_json_schema()}


def _facts(path: Path, text: str) -> DataCard:
    try:
        return DataCard.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: its facts are no YAML ({error}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "facts"
        raise ConfigError(f"{path}: {place}: {first['msg']}.") from error


__all__ = ["HEADINGS", "UNKNOWN", "DataCard", "card_schema", "read_data_card"]
