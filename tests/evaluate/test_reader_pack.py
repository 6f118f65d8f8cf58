"""A pack that gives nothing away, and a key that cannot be changed."""

import collections
import json
from pathlib import Path

import pytest

from medidiff.errors import InputError, UsageError
from medidiff.evaluate.reader_pack import (
    Item,
    commitment_of,
    draw_items,
    empty_scores,
    open_key,
    read_scores,
    seal,
    unblind,
)

SCANS = [(f"scan-{i}", f"p-{i // 2}") for i in range(21)]


def test_every_scan_has_every_two_methods_and_sides_are_balanced() -> None:
    items = draw_items(SCANS, ["a", "b", "c"], seed=1)
    assert len(items) == 3 * len(SCANS)
    assert [item.name for item in items[:2]] == ["item-001", "item-002"]
    seen = collections.Counter((item.scan, tuple(sorted(item.sides.values()))) for item in items)
    assert set(seen.values()) == {1}
    for two in (("a", "b"), ("a", "c"), ("b", "c")):
        left = sum(item.sides["A"] == two[0] for item in items if tuple(sorted(item.sides.values())) == two)
        assert left in (10, 11)


def test_order_and_sides_follow_the_seed_alone() -> None:
    assert draw_items(SCANS, ["a", "b"], 1) == draw_items(SCANS, ["a", "b"], 1)
    assert draw_items(SCANS, ["a", "b"], 1) != draw_items(SCANS, ["a", "b"], 2)
    firsts = collections.Counter(draw_items(SCANS[:1], ["a", "b"], seed)[0].sides["A"] for seed in range(200))
    assert 70 < firsts["a"] < 130  # binomial(200, 1/2): mean 100, four deviations 28


def test_a_key_opens_only_with_its_commitment(tmp_path: Path) -> None:
    items = draw_items(SCANS, ["a", "b"], 1)
    text, commitment = seal(items, 1, {"x.png": "00"}, {"methods": {}})
    again, other = seal(items, 1, {"x.png": "00"}, {"methods": {}})
    assert commitment != other  # else few keys could be tried against it
    key = tmp_path / "key.json"
    key.write_text(text)
    assert open_key(key, commitment)[1] == items
    key.write_text(text.replace('"A": "a"', '"A": "b"', 1))
    with pytest.raises(InputError, match="was changed"):
        open_key(key, commitment)
    key.write_text(again)
    with pytest.raises(InputError, match="another pack's key"):
        open_key(key, commitment)
    key.write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="no key"):
        open_key(key, commitment)
    assert commitment_of(text) == commitment


def test_scores_are_unblinded_side_by_side(tmp_path: Path) -> None:
    items = [Item("item-001", "s", "p", {"A": "x", "B": "y"}), Item("item-002", "t", "q", {"A": "y", "B": "x"})]
    path = tmp_path / "scores.csv"
    path.write_text(
        "item,better,confidence_A,confidence_B,artefacts_A,artefacts_B,comment\n"
        "item-001,A,5,3,no,yes,\nitem-002,b,2,4,Yes,no,fine\n"
    )
    told = unblind(read_scores(path, ["item-001", "item-002"]), items)
    (one,) = told["preferences"]
    assert one["better"] == {"x": 2, "y": 0}
    assert one["interval_95"] == pytest.approx([0.1581, 1.0], abs=1e-4)  # 0.025^(1/2)
    assert told["methods"]["x"] == {"confidence": 4.5, "artefacts": 0.0}
    assert told["methods"]["y"] == {"confidence": 2.5, "artefacts": 1.0}


def test_semicolons_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    items = draw_items(SCANS[:2], ["a", "b"], 1)
    path = tmp_path / "scores.csv"
    path.write_text("\ufeff" + empty_scores(items).replace(",", ";").replace("item-001;;", "item-001;same;"), "utf-8")
    rows = read_scores(path, [item.name for item in items])
    assert [(row["item"], row["better"]) for row in rows] == [("item-001", "same")]
    assert unblind(rows, items)["preferences"][0]["same"] == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("item-009,A,,,,,", "not in this pack"),
        ("item-001,C,,,,,", "better is 'c'"),
        ("item-001,A,7,,,,", "confidence_A"),
    ],
)
def test_wrong_entries_are_named_with_their_line(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(empty_scores([]) + line + "\n")
    with pytest.raises(InputError, match=f"line 2: .*{said}"):
        read_scores(path, ["item-001"])


def test_one_method_is_no_comparison() -> None:
    with pytest.raises(UsageError):
        draw_items(SCANS, ["a"], 1)
