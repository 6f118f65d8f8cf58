"""Prior files on disk: read the card without torch, list what is there, find one by name."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff.errors import PriorError

FORMAT = "medidiff-prior"
FORMAT_VERSION = "2"
"""2: masks are given by their log odds. What has no mask is read from version 1 too."""
SUFFIX = ".safetensors"
PACKAGED = Path(__file__).resolve().parents[1] / "weights"
# A header names every tensor (about 100 bytes each) and holds the card (a few KiB): 16 MiB is far beyond any real one.
_MAX_HEADER_BYTES = 16 * 2**20


@dataclass(frozen=True)
class PriorEntry:
    """A prior file as a list shows it; nothing but its header was read.

    Args:
        path: The file.
        name: The prior's name from its card, or the file's name when the card cannot be read.
        version: Version from the card.
        card: The card as plain JSON types; empty when it cannot be read.
        content_hash: SHA-256 over weights and card as the file claims it; checked only when the prior is loaded.
        size_bytes: Size of the file.
        tensors: Shape of every weight by name.
        problem: Why the file cannot be used, or None.
        base: Of an adapted prior: name, version and content_hash of the prior whose weights it changes.
    """

    path: Path
    name: str
    version: str
    card: dict[str, Any]
    content_hash: str
    size_bytes: int
    tensors: dict[str, tuple[int, ...]]
    problem: str | None = None
    base: dict[str, str] | None = None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        total = 0
        for shape in self.tensors.values():
            count = 1
            for n in shape:
                count *= n
            total += count
        return total


def user_folder() -> Path:
    """Where a person's own priors are looked for: $MEDIDIFF_PRIORS, or ~/.local/share/medidiff/priors."""
    return Path(
        os.environ.get("MEDIDIFF_PRIORS") or Path.home() / ".local" / "share" / "medidiff" / "priors"
    ).expanduser()


def read_header(path: str | Path) -> dict[str, Any]:
    """The JSON header of a safetensors file: 8 bytes of little-endian length, then the text.

    Raises:
        PriorError: The file is missing, pickled, or not a safetensors file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            whole = len(start) == 8 and 2 <= length <= min(_MAX_HEADER_BYTES, size - 8)
            text = file.read(length) if whole else b""
    except OSError as error:
        raise PriorError(f"{path}: the prior cannot be read ({error.strerror}). Check the path.") from error
    if not whole and (start[:2] == b"PK" or start[:1] == b"\x80"):  # a whole header may begin with 0x80 too
        raise PriorError(f"{path}: a pickled checkpoint: medidiff never unpickles. Give a prior in {SUFFIX} form.")
    try:
        header = json.loads(text.decode("utf-8")) if whole else None
    except (UnicodeDecodeError, json.JSONDecodeError):
        header = None
    if not isinstance(header, dict):
        raise PriorError(f"{path}: not a safetensors file, or cut short. Download or train the prior again.")
    return header


def read_entry(path: str | Path) -> PriorEntry:
    """Read one prior's card from the file's header, without torch and without the weights.

    Raises:
        PriorError: Not a safetensors file, not a medidiff prior, of an unknown format version, or without a valid card.
    """
    path = Path(path)
    header = read_header(path)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise PriorError(
            f"{path}: a safetensors file, but not a medidiff prior. Give a file that `medidiff train` wrote."
        )
    written = metadata.get("format_version")
    if written not in ("1", FORMAT_VERSION):
        raise PriorError(
            f"{path}: format version {written}, this medidiff reads 1 and {FORMAT_VERSION}. Update medidiff."
        )
    try:
        card = json.loads(metadata["card"])
        tensors = {k: tuple(int(n) for n in v["shape"]) for k, v in header.items() if k != "__metadata__"}
        name, version = str(card["name"]), str(card["version"])
        base = {k: str(v) for k, v in json.loads(metadata["base"]).items()} if "base" in metadata else None
        if base is not None and not {"name", "version", "content_hash"} <= base.keys():
            raise KeyError("base")
        old_masks = written == "1" and any(str(channel).startswith("mask") for channel in card.get("channels", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PriorError(f"{path}: the card is damaged ({error}). Download or train the prior again.") from error
    if old_masks:
        raise PriorError(f"{path}: its masks are of an older medidiff, which read them otherwise. Train it again.")
    size_bytes = path.stat().st_size
    stated = str(metadata.get("content_hash", ""))
    return PriorEntry(path, name, version, card, stated, size_bytes, tensors, base=base)


def list_priors() -> list[PriorEntry]:
    """Every prior in the package and in the user's folder; files that cannot be used are listed with their problem."""
    entries = []
    for folder in (PACKAGED, user_folder()):
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
            try:
                entries.append(read_entry(path))
            except PriorError as error:
                size_bytes = path.stat().st_size if path.exists() else 0
                entries.append(PriorEntry(path, path.stem, "", {}, "", size_bytes, {}, str(error)))
    return entries


def resolve_prior(name_or_path: str | Path) -> Path:
    """The file of a prior given by its name, or by a path.

    Raises:
        PriorError: There is no such prior (the message lists those that exist), or two have the name.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(SUFFIX) or os.sep in text:
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise PriorError(f"{path}: no such prior file. {_known()}")
        return path
    found = [entry for entry in list_priors() if entry.name == text]
    if not found:
        raise PriorError(f"prior {text!r}: not found. {_known()}")
    if len(found) > 1:
        raise PriorError(f"prior {text!r}: {len(found)} files have this name. Give one path of {_paths(found)}.")
    if found[0].problem:
        raise PriorError(found[0].problem)
    return found[0].path


def _known() -> str:
    names = sorted({entry.name for entry in list_priors() if not entry.problem})
    if names:
        return f"There are: {', '.join(names)}. Give one of them, or the path of a {SUFFIX} file."
    return f"There are none in {PACKAGED} or {user_folder()}. Give the path of a {SUFFIX} file."


def _paths(entries: list[PriorEntry]) -> str:
    return ", ".join(str(entry.path) for entry in entries)
