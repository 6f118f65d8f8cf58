"""Published figures that describe and decide nothing: authenticity, C_T, the DCR share."""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery, by_patient
from medidiff.privacy.proportions import wilson
from medidiff.privacy.thresholds import Thresholds

AUTHENTICITY_NULL = 0.69
"""About what authenticity is for new draws from the train scans' own distribution: not 1."""


def authenticity(
    sim: np.ndarray, gallery_sim: np.ndarray, gallery: Gallery, thresholds: Thresholds, stratum: str = ""
) -> Finding:
    """Share of synthetics farther from their nearest train scan than that scan is from its nearest other train patient.

    Args:
        sim: (n synthetics, g) similarity.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled; train alone is used.
        thresholds: `confidence`.
        stratum: Condition whose synthetics `sim` holds.

    Returns:
        Finding; 200 copies of one scan score 0, new draws from the same distribution about 0.69.

    Raises:
        InputError: See `by_patient`.

    Source: Alaa et al. 2022, Section 3.3 (a scan's neighbours are those of other patients here).
    """
    by_patient(sim, gallery)
    train = np.flatnonzero(gallery.is_train[gallery.patients])
    inner = np.asarray(gallery_sim, dtype=np.float64)[np.ix_(train, train)].copy()
    inner[gallery.patients[train][:, None] == gallery.patients[train][None, :]] = -np.inf
    neighbour = inner.max(axis=1)
    own = np.asarray(sim, dtype=np.float64)[:, train]
    closest = np.argmax(own, axis=1)
    real = int((own[np.arange(len(own)), closest] < neighbour[closest]).sum())
    share = real / len(own)
    return Finding(
        test="authenticity",
        role="descriptive",
        source="Alaa et al. 2022, Section 3.3",
        statistic=share,
        interval=wilson(real, len(own), thresholds.confidence),
        stratum=stratum,
        words=f"{share:.0%} of the synthetics are authentic; without copies about {AUTHENTICITY_NULL:.0%} are.",
        figures={"authentic": real, "synthetics": len(own), "expected_without_copies": AUTHENTICITY_NULL},
    )


def c_t(
    sim: np.ndarray, gallery_sim: np.ndarray, gallery: Gallery, thresholds: Thresholds, stratum: str = ""
) -> Finding:
    """C_T with one cell: are synthetics closer to train than holdout patients are, in the mean of ranks?

    Far below 0 means copying everywhere, far above 0 underfitting; a tenth of copies among good synthetics does not
    move it.

    Args:
        sim: (n synthetics, g) similarity.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled; a holdout patient counts with his closest scan.
        thresholds: Not used beyond the house's way.
        stratum: Condition whose synthetics `sim` holds.

    Raises:
        InputError: See `by_patient`.

    Source: Meehan, Chaudhuri and Dasgupta 2020, Eq. 3, with a single cell.
    """
    del thresholds
    made = by_patient(sim, gallery)[:, gallery.is_train].max(axis=1)
    real = by_patient(gallery_sim, gallery)[:, gallery.is_train].max(axis=1)
    held = np.array([real[gallery.patients == patient].max() for patient in np.flatnonzero(~gallery.is_train)])
    n, m = len(held), len(made)
    ranks = stats.rankdata(np.concatenate([-made, -held]))  # of distances
    u = float(ranks[:m].sum() - m * (m + 1) / 2)
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return Finding(
        test="C_T",
        role="descriptive",
        null="synthetics and holdout scans come from one source",
        source="Meehan et al. 2020, Eq. 3, one cell",
        statistic=z,
        p_value=float(stats.norm.cdf(z)),
        stratum=stratum,
        words=f"Synthetics are {'closer' if z < 0 else 'no closer'} to train than holdout patients: z = {z:.1f}.",
        figures={"synthetics": m, "holdout_patients": n},
    )


def dcr_share(sim: np.ndarray, gallery: Gallery, thresholds: Thresholds, stratum: str = "") -> Finding:
    """Share of synthetics nearest to train, for sides of equal size: 0.5 where nothing is copied.

    The larger side has more chances to be nearest (0.68 at 100 train and 50 holdout). So the share is the expectation
    over all ways to draw as many of the larger side's patients as the smaller one has, in closed form: with r of the M
    larger side's patients ahead of the smaller side's nearest, none of them is among k drawn with the probability
    C(M - r, k) / C(M, k).

    Args:
        sim: (n synthetics, g) similarity.
        gallery: Train and holdout pooled.
        thresholds: `confidence`.
        stratum: Condition whose synthetics `sim` holds.

    Returns:
        Finding; figures: the plain share too. Its interval treats the gallery as given.

    Raises:
        InputError: See `by_patient`.
    """
    best = by_patient(sim, gallery)
    larger = gallery.is_train if gallery.n_train >= gallery.n_holdout else ~gallery.is_train
    many, few = best[:, larger], best[:, ~larger].max(axis=1, keepdims=True)
    k, size = min(gallery.n_train, gallery.n_holdout), many.shape[1]
    ahead = (many > few).sum(axis=1) + 0.5 * (many == few).sum(axis=1)
    none = np.exp(_log_comb(size - ahead, k) - _log_comb(np.full(len(ahead), float(size)), k))
    none[size - ahead < k] = 0.0
    to_train = 1 - none if gallery.n_train >= gallery.n_holdout else none
    n, share = len(best), float(to_train.mean())
    half = float(stats.norm.ppf(0.5 + thresholds.confidence / 2)) * float(to_train.std()) / math.sqrt(n)
    plain = float((best[:, gallery.is_train].max(axis=1) > best[:, ~gallery.is_train].max(axis=1)).mean())
    return Finding(
        test="DCR share",
        role="descriptive",
        source="hypergeometric; the plain share is biased by unequal sides",
        statistic=share,
        interval=(max(0.0, share - half), min(1.0, share + half)),
        stratum=stratum,
        words=f"{share:.0%} of the synthetics are nearest to train when both sides are as large; 50% is chance.",
        figures={"plain_share": plain, "synthetics": n, "equal_size": k},
    )


def _log_comb(n: np.ndarray, k: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(np.maximum(n - k, 0) + 1)


__all__ = ["AUTHENTICITY_NULL", "authenticity", "c_t", "dcr_share"]
