"""Sections to one HTML file: style and pictures inside, no script, no address outside the page, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medidiff.draw import data_uri

DISCLAIMER = "Research use only. Not a medical device."
_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """One picture with its caption.

    Args:
        title: What it shows, a few words.
        caption: How to read it: limits, units.
        uri: The picture as a `data:` address.
    """

    title: str
    caption: str
    uri: str

    @classmethod
    def of(cls, rgb: np.ndarray, title: str, caption: str = "") -> Picture:
        """From RGB pixels, uint8."""
        return cls(title, caption, data_uri(rgb))


@dataclass(frozen=True)
class Table:
    """A table of several columns.

    Args:
        header: A word or two a column.
        rows: A text a column.
        caption: How to read it.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """One part of a page. Every text is plain: it is escaped when the page is made.

    Args:
        title: Heading.
        lead: One or two sentences under it.
        status: One word in a coloured label, or nothing.
        caution: The label is in the colour of warnings.
        pictures: In reading order.
        rows: A table of two columns.
        warnings: Shown before the pictures.
        details: (heading, rows) that are folded away until asked for.
        tables: Tables of several columns, after the others.
    """

    title: str
    lead: str = ""
    status: str = ""
    pictures: Sequence[Picture] = ()
    rows: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    details: Sequence[tuple[str, Sequence[tuple[str, str]]]] = field(default_factory=tuple)
    tables: Sequence[Table] = ()
    caution: bool = False


def render_page(title: str, sections: Sequence[Section], *, lead: str = "", footer: str = "") -> str:
    """The page as text.

    Args:
        title: Heading of the page.
        sections: Its parts.
        lead: One or two sentences at the top.
        footer: Last line, such as versions.

    Source: Jinja2 with autoescape on; the template stands beside this file.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # here: the command line's help needs no Jinja

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.jinja")
    return template.render(title=title, lead=lead, sections=sections, footer=footer, disclaimer=DISCLAIMER)
