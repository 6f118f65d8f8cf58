"""Paths without patients: what is found, what is left alone, and that nothing survives."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from medidiff.io.identity.redact import holds_identifier, redact_path


@pytest.mark.parametrize(
    ("text", "identifiers", "expected"),
    [
        ("data/DOE_JOHN/IM1.dcm", ["DOE^JOHN"], "data/[id]/IM1.dcm"),
        ("data/john doe/IM1", ["DOE^JOHN"], "data/[id]/IM1"),
        ("JohnDoe.zip", ["DOE^JOHN"], "[id].zip"),
        ("ct-doe/x", ["DOE^JOHN"], "ct-[id]/x"),
        ("Müller/a", ["MUELLER^Eva"], "[id]/a"),
        ("mueller/a", ["Müller^Eva"], "[id]/a"),
        ("muller/a", ["Müller^Eva"], "[id]/a"),
        ("Mu\u0308ller/a", ["Müller^Eva"], "[id]/a"),
        ("Rene\u0301/a", ["RENÉ"], "[id]/a"),
        ("renée_ct", ["RENEE"], "[id]_ct"),
        ("IM00123456.dcm", ["00123456"], "IM[id].dcm"),
        ("pid 123456/x", ["00123456"], "pid [id]/x"),
        ("12-34-56/x", ["123456"], "[id]/x"),
        ("scan 31.01.1970/x", ["19700131"], "scan [id]/x"),
        ("scan_1970-01-31", ["19700131"], "scan_[id]"),
        ("山田太郎CT/1", ["Yamada^Tarou=山田^太郎"], "[id]CT/1"),
        ("Wei_Li/1", ["Li^Wei"], "[id]/1"),
        (r"C:\scans\DOE^JOHN\1", ["DOE^JOHN"], r"C:\scans\[id]\1"),
        ("scan_Ann/AnnSmith/Channel/ANNeal", ["Ann"], "scan_[id]/[id]Smith/Channel/ANNeal"),
        ("slice_017/IM17", ["17"], "slice_017/IM17"),
        ("Annabcdef", ["Ann", "abcdef"], "[id][id]"),
        ("", ["Ann"], ""),
        ("a/b", [], "a/b"),
        ("a/b", ["", "^^", "  "], "a/b"),
    ],
)
def test_what_is_replaced(text: str, identifiers: list[str], expected: str) -> None:
    assert redact_path(text, identifiers) == expected
    assert holds_identifier(text, identifiers) == (text != expected)


identifier = st.text(st.sampled_from("abcdeXYZ0123456789äéøß山^_- "), min_size=3, max_size=14).filter(
    lambda s: len(re.sub(r"[\W_]", "", s)) >= 3
)
name = st.text(st.sampled_from("klmnKLMN._- "), max_size=12)


@given(st.lists(name, min_size=3, max_size=6), identifier, st.sampled_from(["_", "-", ".", " ", "/"]), st.data())
def test_no_identifier_survives(names: list[str], planted: str, sign: str, data: st.DataObject) -> None:
    change = data.draw(st.sampled_from([str, str.upper, str.lower, lambda s: s.replace("^", " ")]))
    at = data.draw(st.integers(0, len(names)))
    text = sign.join([*names[:at], change(planted), *names[at:]])
    redacted = redact_path(text, [planted])
    assert "[id]" in redacted
    assert redacted.count("/") == text.count("/")
    left = re.sub(r"[\W_]", "", redacted.replace("[id]", "")).casefold()
    assert re.sub(r"[\W_]", "", planted).casefold() not in left
    assert redact_path(redacted, [planted]) == redacted


@given(st.lists(name, min_size=1, max_size=6), st.lists(identifier, max_size=4))
def test_without_identifiers_nothing_changes(names: list[str], identifiers: list[str]) -> None:
    text = "/".join(names)  # of other letters than any identifier's
    assert redact_path(text, identifiers) == text


@given(st.text(max_size=40), st.lists(st.text(max_size=12), max_size=4))
def test_any_text_is_taken_and_a_second_time_changes_nothing(text: str, identifiers: list[str]) -> None:
    assume("[id]" not in text)
    redacted = redact_path(text, identifiers)
    assert redact_path(redacted, identifiers) == redacted
    if not holds_identifier(text, identifiers):
        assert redacted == text
