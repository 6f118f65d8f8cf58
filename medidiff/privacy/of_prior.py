"""What a prior itself adds to an audit: its features as a second embedding, and the white-box attacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medidiff.cohort.scan_set import FoundSet, to_window
from medidiff.prior import Prior
from medidiff.privacy.finding import Finding
from medidiff.privacy.material import Subjects
from medidiff.privacy.one_run import one_run_finding
from medidiff.privacy.prior_features import prior_features, whitened
from medidiff.privacy.thresholds import Thresholds
from medidiff.privacy.white_box import of_patients, white_box_findings, white_box_scores
from medidiff.privacy.white_box_probe import Probe

SPACE = "prior's features"
Embed = Callable[[np.ndarray], np.ndarray]


def asked_of_prior(
    prior: Prior,
    sets: Sequence[FoundSet],
    spacing_mm: tuple[float, float, float],
    thresholds: Thresholds,
    *,
    canary: Callable[[str], bool] | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[tuple[str, Callable[[np.ndarray], Embed]]], Callable[[Subjects], Sequence[Finding]]]:
    """Embeddings and white-box tests for `audit.run_audit`.

    Args:
        prior: The prior that was trained on the train patients.
        sets: Train and holdout, in this order: attacks see scans as the prior did.
        spacing_mm: Of the scans.
        thresholds: Of the audit.
        canary: Whether a fair coin put this patient into train or holdout; None: no coin is recorded, and no epsilon
            can be bounded.
        device: See `Probe`.
        precision: See `Probe`.
        progress: Told how many scans were asked about.

    Raises:
        InputError: The prior has no image channel.
    """
    probe = Probe(prior, spacing_mm, device=device, precision=precision)

    def embedding(gallery: np.ndarray) -> Embed:
        known = prior_features(prior, gallery, spacing_mm=spacing_mm, device=device)

        def embed(images: np.ndarray) -> np.ndarray:
            same = images is gallery
            found = known if same else prior_features(prior, images, spacing_mm=spacing_mm, device=device)
            return whitened(found, known)

        return embed

    def white_box(subjects: Subjects) -> list[Finding]:
        scores = white_box_scores(probe, _whole(prior, sets, subjects), thresholds.seed, progress)
        gallery = subjects.gallery
        fair = np.array([canary is None or canary(name) for name in subjects.people], dtype=bool)
        of_loss, inside = of_patients(scores["loss"], gallery)[fair], gallery.is_train[fair]
        bound = one_run_finding(of_loss, inside, thresholds, fair_coin=canary is not None, space="loss")
        return [*white_box_findings(scores, gallery, thresholds), bound]

    return [(SPACE, embedding)], white_box


def _whole(prior: Prior, sets: Sequence[FoundSet], subjects: Subjects) -> list[np.ndarray]:
    """The gallery's scans as the prior was shown them, in the unit that its normalisation expects of a scan.

    Those of a prior that samples are cut to its own window: one that has learned scans by heart knows them there, voxel
    for voxel, and elsewhere less well (an AUC of 0.6 in place of 1 for eight scans learned by heart). A store holds
    them normalised: for percentiles any unit will do, for a window it is gone back to the scan's own.
    """
    scans = [(scan, found.kind == "store") for found in sets for scan in found.scans]
    recipe, window, whole = prior.card.normalisation, prior.card.shape, []
    for place in np.arange(len(scans)) if subjects.order is None else subjects.order:
        scan, stored = scans[place]
        image = scan.read()[0]
        image = recipe.fit(image).inverse(image) if stored and recipe.name == "window" else image
        whole.append(image if window is None else to_window(scan.name, image, window, most_missing=1))
    return whole


__all__ = ["SPACE", "asked_of_prior"]
