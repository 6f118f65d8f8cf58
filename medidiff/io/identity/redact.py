"""Names, numbers and dates of patients taken out of the names of files and folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

MARK = "[id]"
"""What stands where an identifier stood."""

MINIMUM_LETTERS = 3
"""Shorter identifiers are not looked for: "7" would hit every second file name."""

_ANYWHERE = 6  # from this length on an identifier is found inside a longer word; a shorter one must be a whole word
_WITHOUT_CASE = 0x1100  # from Hangul on, scripts write a name in two or three characters and put no space between words
_PARTS = re.compile(r"[\W_]+")
_NAME_SIGNS = re.compile(r"[\^=,;\s]")
_FOLDERS = re.compile(r"([/\\]+)")
_NOT_DECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i"})
_SPELLED_OUT = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"}
_DATE = re.compile(r"(?P<y>(?:18|19|20)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>[0-2]\d|3[01])")


def redact_path(text: str, identifiers: Iterable[str]) -> str:
    """A path, or any label made like one, with every identifier in it replaced by `[id]`.

    Case, accents (also spelled out: Müller, Mueller, Muller) and whatever stands between letters and digits make no
    difference, so "DOE^JOHN" is found in "john doe", "JohnDoe" and "doe-john", each of its parts by itself too, and
    "19700131" in "31.01.1970". Identifiers of six letters or digits or more are found inside longer words, those of
    three to five as whole words only ("Ann" is in "scan_Ann" and in "AnnSmith", not in "Channel"). What lies
    between slashes is looked at by itself, and the slashes stay: the place of the file in its tree can still be told.

    Args:
        text: Path or label.
        identifiers: Names, numbers and dates of patients as the files spell them.

    Returns:
        The text; unchanged where it holds no identifier.
    """
    found = _prepare(frozenset(identifiers))
    if not found:
        return text
    return "".join(
        piece if _FOLDERS.fullmatch(piece) else _redact_name(piece, found) for piece in _FOLDERS.split(text) if piece
    )


def holds_identifier(text: str, identifiers: Iterable[str]) -> bool:
    """Whether `redact_path` would change the text."""
    return redact_path(text, identifiers) != text


@lru_cache(maxsize=8)
def _prepare(identifiers: frozenset[str]) -> dict[int, frozenset[str]]:
    """Every spelling of every identifier without what stands between its letters, by length."""
    spellings = {s for identifier in identifiers for s in _spellings(identifier) if _weight(s) >= MINIMUM_LETTERS}
    return {n: frozenset(s for s in spellings if len(s) == n) for n in {len(s) for s in spellings}}


def _spellings(identifier: str) -> set[str]:
    """What one identifier may look like in a path."""
    spellings: set[str] = set()
    for written in identifier.split("="):  # the alphabetic, ideographic and phonetic form of one name
        for variant in (written, _spell_out(written)):
            parts = [_fold(part) for part in _PARTS.split(variant) if part]
            spellings |= {"".join(parts), "".join(reversed(parts))}
            if _NAME_SIGNS.search(variant) or not any(c.isdigit() for c in variant):
                spellings |= {*parts, "".join(parts[:2]), "".join(reversed(parts[:2]))}
    spellings |= {re.sub("([aou])e", r"\1", s) for s in spellings}
    spellings |= {s.lstrip("0") for s in spellings if s.isdigit()}
    for date in filter(None, map(_DATE.fullmatch, tuple(spellings))):
        spellings |= {date["d"] + date["m"] + date["y"], date["m"] + date["d"] + date["y"]}
    return spellings


def _spell_out(text: str) -> str:
    return "".join(_SPELLED_OUT.get(c, c) for c in unicodedata.normalize("NFC", text).lower())


@lru_cache(maxsize=4096)
def _fold(text: str) -> str:
    """Letters and digits only, without case and accents."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_NOT_DECOMPOSED)
    return "".join(c for c in plain if c.isalnum())


def _weight(spelling: str) -> int:
    return sum(3 if ord(c) >= _WITHOUT_CASE else 1 for c in spelling)


def _redact_name(name: str, spellings: dict[int, frozenset[str]]) -> str:
    """One component. What is replaced can lay bare a whole word beside it, so it is done until nothing changes."""
    while True:
        pieces = [_replace(piece, spellings) for piece in name.split(MARK)]
        redacted = MARK.join(pieces)
        if redacted == name:
            return name
        name = redacted


@lru_cache(maxsize=4096)
def _letters(piece: str) -> tuple[str, tuple[int, ...]]:
    """The folded letters and digits of a piece, and where in the piece each comes from."""
    letters = [(letter, i) for i, c in enumerate(piece) for letter in _fold(c)]
    return "".join(letter for letter, _ in letters), tuple(i for _, i in letters)


def _replace(piece: str, spellings: dict[int, frozenset[str]]) -> str:
    letters, places = _letters(piece)
    covered = [False] * len(piece)
    for length, known in spellings.items():
        for start in range(len(letters) - length + 1):
            spelling = letters[start : start + length]
            if spelling in known and (
                _weight(spelling) >= _ANYWHERE or _is_word(piece, places[start], places[start + length - 1])
            ):
                covered[places[start] : places[start + length - 1] + 1] = [True] * (
                    places[start + length - 1] + 1 - places[start]
                )
    if not any(covered):
        return piece
    redacted: list[str] = []
    for i, c in enumerate(piece):
        if covered[i] or (i and covered[i - 1] and unicodedata.combining(c)):
            covered[i] = True
            if not i or not covered[i - 1]:
                redacted.append(MARK)
        else:
            redacted.append(c)
    return "".join(redacted)


def _is_word(piece: str, first: int, last: int) -> bool:
    """Whether the characters from `first` to `last` begin and end where a word does."""
    while last + 1 < len(piece) and unicodedata.combining(piece[last + 1]):
        last += 1
    return _is_boundary(piece, first) and _is_boundary(piece, last + 1)


def _is_boundary(piece: str, i: int) -> bool:
    """Whether a word ends before character i: at the ends, beside a sign, between letter and digit, in camelCase."""
    if i in (0, len(piece)):
        return True
    before, after = piece[i - 1], piece[i]
    if unicodedata.combining(before):
        return not after.isalnum()
    if not (before.isalnum() and after.isalnum()) or before.isdigit() != after.isdigit():
        return True
    next_is_lower = i + 1 < len(piece) and piece[i + 1].islower()
    return after.isupper() and (before.islower() or next_is_lower)
