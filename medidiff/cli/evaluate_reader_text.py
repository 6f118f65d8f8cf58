"""What readers are told, and what their scores say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_README = """\
A blinded comparison of {count} items. Research use only. Not a medical device.

Each item shows one scan twice, as A and as B. Nothing here says which method made which; order and sides are random.

  images/item-001.png         A and B beside each other, middle slices, one grey window
  images/item-001_A.nii.gz    the whole volume, for a viewer; A and B have the same header and number type
  images/item-001_B.nii.gz
{input}
Fill in scores.csv, a row an item:

  better         A, B or same: which of the two you would rather read
  confidence_A   1 (not diagnostic) to 5 (fully diagnostic); confidence_B likewise
  artefacts_A    yes or no: structures that you do not believe; artefacts_B likewise
  comment        anything

Save it as CSV. Several readers: a copy each, scores-1.csv, scores-2.csv, all in this folder. A row without `better`
counts as not read yet.

The key lies elsewhere and was sealed before you looked. Its SHA-256 is

  {commitment}

and whoever unblinds must use the file with that SHA-256 (`sha256sum key.json`):
medidiff evaluate denoise --score-pack THIS_FOLDER --key key.json
"""


_INPUT = """\
  images/item-001_input.nii.gz    what both were made of; also in the picture, on the left
"""


def readme_of(count: int, commitment: str, with_input: bool) -> str:
    """The pack's README.txt."""
    return _README.format(count=count, commitment=commitment, input=_INPUT if with_input else "")


def lines_of_scores(readers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each reader preferred, as text."""
    lines: list[str] = []
    for reader, told in readers.items():
        lines += ["", f"{reader}: {told['read']} of {told['items']} items read"]
        for one in told["preferences"]:
            lines += _preference(one)
        for method, marks in told["methods"].items():
            lines.append(f"  {method}: {_mark(marks)}")
    return lines[1:]


def _preference(one: Mapping[str, Any]) -> list[str]:
    first, second = one["methods"]
    better = one["better"]
    text = f"  {first} better in {better[first]}, {second} better in {better[second]}, the same in {one['same']}"
    if "share_of_first" not in one:
        return [text]
    low, high = one["interval_95"]
    lines = [
        text,
        f"  {first} was preferred in {one['share_of_first']:.0%} of those that differ, 95% interval {low:.0%} to "
        f"{high:.0%} (exact binomial), p = {one['p_value']:.2g}",
    ]
    read = better[first] + better[second] + one["same"]
    if one["patients"] < read:
        lines.append(
            f"  {read} items of {one['patients']} patients: items of one patient are not independent, so the interval "
            "is too narrow"
        )
    return lines


def _mark(marks: Mapping[str, float | None]) -> str:
    confidence, artefacts = marks["confidence"], marks["artefacts"]
    said = "no confidence given" if confidence is None else f"confidence {confidence:.2f} of 5"
    return said + ("" if artefacts is None else f", artefacts in {artefacts:.0%}")


__all__ = ["lines_of_scores", "readme_of"]
