"""A scan of a BIDS dataset as a verb's source, and the dataset that the outputs make."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff.cli.input_choice import InputChoice
from medidiff.cli.sources import NiftiSource, framed
from medidiff.io.bids import BidsScan, find_scans, inherited_gradients, inherited_sidecar
from medidiff.io.bids_derivatives import derivative_path, derivative_sidecar, desc_of, source_link
from medidiff.io.gradients import Carried, carry_gradients
from medidiff.io.json_sidecar import Sidecar

DONE = {"denoise": "denoised", "convert": "converted"}


@dataclass(frozen=True)
class BidsSource(NiftiSource):
    """A NIfTI file whose name and place say what it is.

    Args:
        scan: What they say.
        desc: The desc- label of its output.
        linked: The derivative dataset says where the scan's dataset lies, so that it can be named by a BIDS URI.
    """

    scan: BidsScan | None = None
    desc: str = "denoised"
    linked: bool = False

    @property
    def bids(self) -> BidsScan:
        """The scan, which every source made by `bids_sources` has."""
        if self.scan is None:
            raise ValueError("a BIDS source without its scan")
        return self.scan

    @property
    def name(self) -> str:
        """The path below the dataset."""
        return f"{self.bids.name}{self._which}"

    @property
    def output_name(self) -> str:
        """The path below the derivative dataset."""
        return framed(derivative_path(self.bids, Path(), self.desc).as_posix(), self.frame)

    def beside(self, stem: str, kind: str) -> str:
        """What another output is called: BIDS tells them apart by desc-."""
        return derivative_path(self.bids, Path(), desc_of(kind, self.desc), "").name

    @functools.cached_property
    def _sidecar(self) -> Sidecar:
        return inherited_sidecar(self.bids)

    @property
    def has_gradients(self) -> bool:
        """Whether a .bval or .bvec applies to it."""
        return any(file.is_file() for file in inherited_gradients(self.bids))

    def carry_gradients(self, output: Path) -> Carried:
        """Copy those that apply to it beside the output."""
        return carry_gradients(self.path, output, self.frames, inherited_gradients(self.bids))

    def facts(self) -> dict[str, Any]:
        """What its JSON files say that may travel, and what BIDS wants said of a derivative."""
        done = f"{self.desc.capitalize()} by medidiff"
        return derivative_sidecar(self.bids, done, self._sidecar.values, linked=self.linked)


def bids_sources(root: Path, choice: InputChoice, verb: str, output: Path) -> tuple[BidsSource, ...]:
    """The scans of a dataset.

    Args:
        root: The dataset.
        choice: Which participants.
        verb: What will be done.
        output: The derivative dataset.

    Raises:
        UsageError: No such participant.
        InputError: No scan.
    """
    linked = source_link(output, root) is not None
    return tuple(
        BidsSource(scan.path, choice.modality or scan.modality, choice.four_d, scan, DONE.get(verb, verb), linked)
        for scan in find_scans(root, choice.participants)
    )
