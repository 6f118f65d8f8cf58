"""What tasks have in common: the machine they run on, the prior they use, the maps they save."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.errors import UsageError

if TYPE_CHECKING:
    from medidiff.prior import Prior

SAVES = ("residual", "noise-map", "uncertainty")


@dataclass(frozen=True)
class Machine:
    """Where and how the network runs; does not decide what comes out, but for the precision.

    Raises:
        UsageError: A value that no machine has.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    max_gb: float | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "bf16", "float32"):
            raise UsageError(f"--precision {self.precision}: must be auto, bf16 or float32.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads {self.threads}: must be 1 or more. Leave it out to use all cores.")
        if self.max_gb is not None and not 0 < self.max_gb < math.inf:
            raise UsageError(f"--max-gb {self.max_gb}: must be a positive number of GB.")

    def check_device(self) -> None:
        """Refuse a device that is not there.

        Raises:
            DeviceError: It is not.
            UsageError: There is no such kind of device.
        """
        from medidiff.device import pick_device

        pick_device(self.device)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of a task."""
        return {"device": self.device, "precision": self.precision, "threads": self.threads, "max_gb": self.max_gb}


@dataclass(frozen=True)
class PriorChoice:
    """A prior that is known by its card's header at once, and loaded when it is first needed."""

    wanted: str

    @functools.cached_property
    def path(self) -> Path:
        """The prior's file.

        Raises:
            PriorError: There is none of that name.
        """
        from medidiff.prior import resolve_prior

        return resolve_prior(self.wanted)

    @functools.cached_property
    def identity(self) -> dict[str, str]:
        """Name and hash, from the header."""
        from medidiff.prior import read_entry

        entry = read_entry(self.path)
        return {"name": entry.name, "hash": entry.content_hash}

    def modality_warnings(self, modality: str) -> list[str]:
        """What to know where the prior has seen no scan of this kind ("MR", "CT"; "" for not known)."""
        from medidiff.prior import read_entry

        seen = read_entry(self.path).card.get("modalities", [])
        if not modality or any(modality in kind.split() for kind in seen):  # kinds such as "T1 MR"
            return []
        return [
            f"the prior {self.identity['name']} has seen no {modality}, but {', '.join(seen) or 'nothing'}: look at "
            "the residual."
        ]

    @functools.cached_property
    def loaded(self) -> Prior:
        """The prior, checked against its hash; loaded once for all scans."""
        from medidiff.prior import Prior

        return Prior.load(self.path)


def parse_save(text: str) -> tuple[str, ...]:
    """The list after --save.

    Raises:
        UsageError: Something in it is not known.
    """
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in (*SAVES, "all"):
            raise UsageError(f"--save {kind}: must be all, or any of {', '.join(SAVES)}, separated by commas.")
    return tuple(kind for kind in SAVES if kind in kinds or "all" in kinds)


class OnPrior:
    """What every task that runs a prior on a machine has in common."""

    choice: PriorChoice
    machine: Machine

    @property
    def prior(self) -> Mapping[str, str]:
        """Name and hash."""
        return self.choice.identity

    def check_machine(self) -> None:
        """Refuse a device that is not there.

        Raises:
            DeviceError: It is not.
        """
        self.machine.check_device()
