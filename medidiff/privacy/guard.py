"""A sample that comes nearer to one patient than strangers do: what `medidiff synth --guard` draws again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medidiff.errors import InputError
from medidiff.privacy.gallery import Gallery, by_patient, nearest, strangers
from medidiff.privacy.similarity import InvariantSimilarity, PoseSearch

FEWEST_PATIENTS = 10
"""With fewer, nobody knows what a stranger looks like."""


@dataclass(frozen=True)
class Verdict:
    """What the guard says of a sample.

    Attributes:
        gap: Log gap between its nearest and its second nearest patient.
        limit: What strangers' scans exceed with the share `false_flag`.
    """

    gap: float
    limit: float

    @property
    def too_near(self) -> bool:
        """Whether it is drawn again."""
        return self.gap > self.limit


class Guard:
    """Scans of patients that no sample may come too near to.

    The limit is the gap that real scans of the SAME cohort show towards other patients than their own: its quantile
    1 - `false_flag`. So about that share of innocent samples is drawn again too.

    Args:
        images: (g, x, y, z) one window.
        patients: Whose each is.
        false_flag: Share of strangers' scans above the limit.
        search: Of the similarity; None: the audit's own.

    Raises:
        InputError: Fewer than 10 patients.
    """

    def __init__(
        self,
        images: np.ndarray,
        patients: Sequence[str],
        false_flag: float = 0.01,
        search: PoseSearch | None = None,
    ) -> None:
        names, numbers = np.unique(np.array(patients), return_inverse=True)
        if len(names) < FEWEST_PATIENTS:
            raise InputError(
                f"--guard: {len(names)} patients: {FEWEST_PATIENTS} are needed to know how near a stranger comes."
            )
        self.images, self.false_flag = images, false_flag
        # Who is train does not matter here: two labels are needed to be a gallery at all.
        self.gallery = Gallery(numbers, np.arange(len(names)) % 2 == 0)
        self._similarity = InvariantSimilarity(search)
        gaps = strangers(self._similarity.matrix(images, images), self.gallery).gap
        self.limit = float(np.quantile(gaps, 1 - false_flag, method="higher"))
        scans = sorted(hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in images)
        self.hash = hashlib.sha256("".join(scans).encode()).hexdigest()

    def judge(self, image: np.ndarray) -> Verdict:
        """What it says of one sample (x, y, z) on the same window; a pure function of its voxels."""
        best = by_patient(self._similarity.matrix(image[None], self.images), self.gallery)
        return Verdict(float(nearest(best).gap[0]), self.limit)


__all__ = ["Guard", "Verdict"]
