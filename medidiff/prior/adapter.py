"""An adapted prior: a small file beside the prior that it changes. It loads like any other prior."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from medidiff.errors import PriorError
from medidiff.io.atomic import atomic_open
from medidiff.nets.lora import merge_low_rank
from medidiff.prior.card import Card
from medidiff.prior.files import FORMAT, FORMAT_VERSION, SUFFIX, PriorEntry, list_priors, read_entry
from medidiff.prior.model import DTYPES, Prior, StoredDtype, canonical, card_fields, content_hash, valid_card


def save_adapted(
    card: Card, base: Prior, change: Mapping[str, Tensor], path: str | Path, dtype: StoredDtype = "float16"
) -> Prior:
    """Write what training changed in `base` as one file, whole or not at all.

    Args:
        card: The card of the adapted prior.
        base: The prior that was adapted; the file names it by its hash.
        change: From `low_rank_state`.
        path: Name of the file, ending in .safetensors.
        dtype: Type of the stored numbers.

    Returns:
        The adapted prior as it will load.

    Raises:
        PriorError: The change does not fit the base, or is not finite.
        OutputError: The file cannot be written.
    """
    stored = {name: change[name].detach().cpu().contiguous().to(DTYPES[dtype]) for name in sorted(change)}
    of = {"name": base.card.name, "version": base.card.version, "content_hash": base.content_hash}
    fields = card_fields(card)
    prior = _merged(card, fields, base, stored, _hash(fields, of, stored))
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "card": canonical(fields),
        "base": canonical(of),
        "content_hash": prior.content_hash,
    }
    with atomic_open(path) as file:
        file.write(save_tensors(stored, metadata))
    return prior


def load_adapted(entry: PriorEntry) -> Prior:
    """Load an adapted prior and the prior it changes, which is found by its hash: beside it, or among the known priors.

    Raises:
        PriorError: Damaged, or its base is nowhere to be found.
    """
    if entry.base is None:
        raise PriorError(f"{entry.path}: a whole prior, not an adapted one. Load it with Prior.load.")
    card = valid_card(entry)
    try:
        change = load_tensors(entry.path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise PriorError(f"{entry.path}: the weights are damaged ({error}). Train the prior again.") from error
    if _hash(entry.card, entry.base, change) != entry.content_hash:
        raise PriorError(f"{entry.path}: the content does not match its hash, so it changed. Train the prior again.")
    base = Prior.load(find_base(entry))
    try:
        return _merged(card, entry.card, base, change, entry.content_hash)
    except PriorError as error:
        raise PriorError(f"{entry.path}: {error}") from error


def _merged(card: Card, fields: dict, base: Prior, change: Mapping[str, Tensor], own_hash: str) -> Prior:
    try:
        weights = merge_low_rank(base.weights, change)
    except ValueError as error:
        raise PriorError(f"prior {card.name!r}: {error}.") from error
    prior = Prior(card, weights, fields)
    prior.content_hash = own_hash
    return prior


def _hash(fields: dict, of: Mapping[str, str], change: Mapping[str, Tensor]) -> str:
    """SHA-256 over the change, the card and the base's hash."""
    return content_hash(canonical(fields) + "\n" + canonical(dict(of)), change)


def find_base(entry: PriorEntry) -> Path:
    """The file of the prior that an adapted one changes.

    Raises:
        PriorError: It lies neither beside it nor among the known priors.
    """
    wanted = entry.base or {}
    beside = []
    for path in sorted(entry.path.parent.glob(f"*{SUFFIX}")):
        try:
            beside.append(read_entry(path))
        except PriorError:
            continue  # another file that happens to lie there
    for candidate in (*beside, *list_priors()):
        if not candidate.problem and candidate.content_hash == wanted["content_hash"]:
            return candidate.path
    raise PriorError(
        f"{entry.path}: changes the prior {wanted['name']} version {wanted['version']} (hash "
        f"{wanted['content_hash'][:16]}), which is not here. Put that file beside it."
    )
