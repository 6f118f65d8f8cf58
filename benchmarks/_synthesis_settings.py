"""What the parts of the synthesis benchmark share: which files, how much of everything, and where nets are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Settings:
    """One run's choices; `small` has the sizes that only show that it works."""

    store: Path = ROOT / "runs" / "stores" / "hippocampus"
    """Real pairs."""
    cache: Path = ROOT / ".work" / "synthesis"
    """Trained nets, checkpoints and samples, keyed by what they were made from: a later run goes on with them."""
    prior: str = "hippocampus"
    """Our prior: a name or a file."""
    few_prior: str = ""
    """Our prior that saw the masks of only `few_patients` patients."""
    ours: tuple[str, ...] = ()
    """Our priors trained for the peers' wall-clock, one a seed."""
    brain: str = "brain"
    """The prior of whole heads."""
    samples: Path | None = None
    """A folder of `medidiff synth`, or .npz, to use in place of samples drawn here."""
    count: int = 500
    """Synthetic pairs."""
    sample_steps: int = 10
    """Steps of our sampler."""
    seeds: int = 3
    """Runs of every training."""
    net_steps: int = 1200
    """Steps of every segmentation net."""
    classifier_steps: int = 400
    """Steps of every classifier."""
    repeats: int = 8
    """Draws of the few small-volume patients."""
    peer_minutes: float = 12.0
    """CPU minutes of one core for every peer."""
    peer_steps: int | None = None
    """At most so many steps in place of the minutes: to try a peer."""
    peer_samples: int = 66
    """Samples of every peer, as many as there are holdout scans."""
    peer_pairs: int = 200
    """Pairs of a peer that a segmentation net is trained on."""
    few_patients: int = 10
    small_patients: int = 8
    test: str = "holdout"
    """Patients that figures are from; val while trying."""
    draws: int = 1000
    """Halvings of the real patients for a band."""
    extra: dict[str, Any] = field(default_factory=dict)

    def folder(self, *parts: str) -> Path:
        """A folder of the cache, made."""
        path = self.cache.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path


QUICK = {
    "count": 12, "seeds": 1, "net_steps": 6, "classifier_steps": 4, "repeats": 2, "peer_steps": 2, "peer_samples": 9,
    "peer_pairs": 9, "test": "val", "draws": 50, "sample_steps": 4,
}  # fmt: skip


def key(*facts: Any) -> str:
    """Twelve hex digits of anything that JSON or NumPy holds."""
    digest = hashlib.sha256()
    for fact in facts:
        if isinstance(fact, np.ndarray):
            digest.update(f"{fact.dtype}{fact.shape}".encode() + np.ascontiguousarray(fact).tobytes())
        else:
            digest.update(json.dumps(fact, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:12]
