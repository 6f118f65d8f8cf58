"""`Prior`: the weights and the card, loaded, checked and saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import PriorError
from medidiff.io.atomic import atomic_open
from medidiff.nets.unet import HaarUNet
from medidiff.prior.card import Card
from medidiff.prior.denoiser import Denoiser
from medidiff.prior.files import FORMAT, FORMAT_VERSION, PriorEntry, read_entry, resolve_prior

StoredDtype = Literal["float16", "float32"]
DTYPES: dict[StoredDtype, torch.dtype] = {"float16": torch.float16, "float32": torch.float32}


class Prior:
    """A trained denoiser with its card.

    Args:
        card: What it is and how to run it.
        weights: State of the network (a `HaarUNet`), by name; kept as given, computed with in float32 or bfloat16.
        stored_card: The card as it stands in a file, whose hash is over that text: a card written by an older medidiff
            lacks the fields that came later.

    Raises:
        PriorError: The weights do not fit the architecture on the card, or are not finite.
    """

    def __init__(self, card: Card, weights: Mapping[str, Tensor], stored_card: dict[str, Any] | None = None) -> None:
        self.card = card
        self.weights = {name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
        self._check()
        self.content_hash = content_hash(canonical(stored_card or card_fields(card)), self.weights)
        """SHA-256 over the weights as stored and the card."""

    def __repr__(self) -> str:
        return f"Prior({self.card.name!r}, version {self.card.version}, {self.parameters / 1e6:.2f} M parameters)"

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(t.numel() for t in self.weights.values())

    @classmethod
    def load(cls, path: str | Path) -> Prior:
        """Load a prior by its file's path or by its name, and check it against its hash.

        Raises:
            PriorError: Missing, pickled, corrupt, of an unknown version, or with weights that do not fit the card.
        """
        path = resolve_prior(path)
        entry = read_entry(path)
        if entry.base is not None:
            from medidiff.prior.adapter import load_adapted  # it stands on this module

            return load_adapted(entry)
        card = valid_card(entry)
        try:
            prior = cls(card, load_tensors(path.read_bytes()), entry.card)
        except (SafetensorError, OSError, ValueError) as error:
            raise PriorError(
                f"{path}: the weights are damaged ({error}). Download or train the prior again."
            ) from error
        except PriorError as error:
            raise PriorError(f"{path}: {error}") from error
        if prior.content_hash != entry.content_hash:
            raise PriorError(f"{path}: the content does not match its hash, so it changed. Download or train it again.")
        return prior

    def save(self, path: str | Path, dtype: StoredDtype = "float32") -> Prior:
        """Write the prior as one file, whole or not at all.

        Args:
            path: Name of the file, ending in .safetensors.
            dtype: Type of the stored weights; float16 halves the file.

        Returns:
            The prior as stored: its weights are rounded and its hash is the file's.

        Raises:
            PriorError: A weight is too large for float16.
            OutputError: The file cannot be written.
        """
        stored = Prior(self.card, {name: t.to(DTYPES[dtype]) for name, t in self.weights.items()})
        metadata = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "card": canonical(card_fields(self.card)),
            "content_hash": stored.content_hash,
        }
        with atomic_open(path) as file:
            file.write(save_tensors(stored.weights, metadata))
        return stored

    def build(self) -> Preconditioned:
        """The denoiser as a module, float32, on the CPU, in eval mode."""
        network = HaarUNet(self.card.network)
        network.load_state_dict({name: t.float() for name, t in self.weights.items()})
        card = self.card
        mean = torch.tensor(card.mean_data)
        masks = [channel in card.masks for channel in range(len(card.channels))]
        built = Preconditioned(network, torch.tensor(card.sigma_data), card.sigma_min, card.sigma_max, mean, masks)
        return built.eval().requires_grad_(False)

    def denoiser(self, device: str = "auto", precision: str = "auto") -> Denoiser:
        """The denoiser, ready to be called on a device.

        Args:
            device: auto, cpu, cuda, cuda:N or mps.
            precision: auto (measured), bf16 or float32.

        Raises:
            DeviceError: The device is not there.
        """
        image = self.card.channels.index("image") if "image" in self.card.channels else 0
        return Denoiser(self.build(), self.card.network, device=device, precision=precision, image=image)

    def _check(self) -> None:
        with torch.device("meta"):
            try:
                expected = HaarUNet(self.card.network).state_dict()
            except ValueError as error:
                raise PriorError(f"prior {self.card.name!r}: the architecture is not valid: {error}.") from error
        missing, unknown = expected.keys() - self.weights.keys(), self.weights.keys() - expected.keys()
        if missing or unknown:
            name = min(missing or unknown)
            kind = "is missing" if missing else "is not in the architecture"
            raise PriorError(f"prior {self.card.name!r}: weight {name} {kind} (card and weights disagree).")
        for name, tensor in self.weights.items():
            if tensor.shape != expected[name].shape:
                shape, should = tuple(tensor.shape), tuple(expected[name].shape)
                raise PriorError(f"prior {self.card.name!r}: weight {name} has shape {shape}, the card says {should}.")
            if not torch.isfinite(tensor).all():
                raise PriorError(
                    f"prior {self.card.name!r}: weight {name} is not finite, or too large for {tensor.dtype}."
                )


def valid_card(entry: PriorEntry) -> Card:
    """The card of a file's header, checked.

    Raises:
        PriorError: It is not valid.
    """
    try:
        return Card.model_validate(entry.card)
    except ValidationError as error:
        raise PriorError(f"{entry.path}: the card is not valid: {_first_problem(error)}. Update medidiff.") from error


def content_hash(card_text: str, weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over every weight's name, type, shape and bytes, in the order of names, and over the card."""
    digest = hashlib.sha256(card_text.encode())
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def card_fields(card: Card) -> dict[str, Any]:
    """The card as plain JSON types, as it is stored."""
    return card.model_dump(mode="json")


def canonical(fields: dict[str, Any]) -> str:
    """The one text of a JSON object that hashes are over."""
    return json.dumps(fields, sort_keys=True, ensure_ascii=True, allow_nan=False)


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'card'}: {first['msg']}"
