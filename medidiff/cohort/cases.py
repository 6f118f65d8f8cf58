"""One scan, ready to be cut into patches: in memory, or read box by box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np

from medidiff.cohort.body import body_frame

Triple = tuple[int, int, int]
Box = tuple[slice, slice, slice]


class AnyCase(Protocol):
    """What `augment.random_patch` asks of a scan."""

    @property
    def name(self) -> str:
        """Case name within its source."""
        ...

    @property
    def patient(self) -> str:
        """Whose scan it is."""
        ...

    @property
    def kind(self) -> str:
        """Name of its source, the value of the categorical condition `kind`."""
        ...

    @property
    def shape(self) -> Triple:
        """Voxels along x, y, z."""
        ...

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing; nan where it has none."""
        ...

    @property
    def tau(self) -> float:
        """Own white noise level, normalised units."""
        ...

    @property
    def body(self) -> tuple[Triple, Triple] | None:
        """Bounding box of the body: first voxel and one past the last; None where unknown."""
        ...

    @property
    def foreground(self) -> float:
        """Share of patches whose centre lies in the body's bounding box; the others lie anywhere."""
        ...

    @property
    def conditions(self) -> Mapping[str, float | str | None]:
        """What is known of the patient, by name; None: missing."""
        ...

    @property
    def masks(self) -> tuple[str, ...]:
        """Masks that patches are given with, "mask" or "mask:LABEL"; see `read_masks`."""
        ...

    def read(self, box: Box) -> np.ndarray:
        """A box of the normalised intensities."""
        ...

    def read_masks(self, box: Box) -> Sequence[np.ndarray]:
        """The same box of every mask, -1 outside and 1 inside; empty where this scan's are not known."""
        ...

    def frame(self) -> np.ndarray | None:
        """Affine (3, 4) from voxel to body coordinates (`cohort.body`); None where unknown."""
        ...


@dataclass(frozen=True)
class Case:
    """One scan in memory.

    Attributes:
        name: Case name within its source.
        data: Normalised intensities (x, y, z), float16.
        spacing_mm: Voxel spacing; nan where a procedural volume has none.
        tau: The scan's own white noise level, normalised units; 0 for a clean volume.
        kind: Name of its source, the value of the categorical condition `kind`.
        affine_ras: Voxel index to mm, (4, 4); None for a procedural volume.
        body: See `AnyCase`.
        foreground: See `AnyCase`.
        conditions: See `AnyCase`.
        of_patient: The patient; empty: not known.
    """

    name: str
    data: np.ndarray
    spacing_mm: tuple[float, float, float]
    tau: float
    kind: str
    affine_ras: np.ndarray | None = None
    body: tuple[Triple, Triple] | None = None
    foreground: float = 0.0
    conditions: Mapping[str, float | str | None] = field(default_factory=dict)
    of_patient: str = ""

    @property
    def patient(self) -> str:
        """Whose scan it is; a scan of which nothing is known is its own."""
        return self.of_patient or self.name

    @property
    def shape(self) -> Triple:
        """Voxels along x, y, z."""
        return cast(Triple, self.data.shape)

    @property
    def masks(self) -> tuple[str, ...]:
        """None."""
        return ()

    def read(self, box: Box) -> np.ndarray:
        """A box of the scan; no copy."""
        return self.data[box]

    def read_masks(self, box: Box) -> Sequence[np.ndarray]:
        """None."""
        return ()

    def frame(self) -> np.ndarray | None:
        """See `AnyCase`."""
        if self.affine_ras is None or self.body is None:
            return None
        return body_frame(self.affine_ras, *self.body)


def draw(cases: Sequence[AnyCase], rng: np.random.Generator) -> AnyCase:
    """One case: as its cohort draws them (`StoreCases`), or each alike."""
    chosen = getattr(cases, "draw", None)
    return chosen(rng) if chosen is not None else cases[int(rng.integers(len(cases)))]


__all__ = ["AnyCase", "Box", "Case", "draw"]
