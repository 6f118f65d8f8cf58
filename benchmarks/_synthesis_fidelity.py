"""Are our samples like scans of patients that nobody trained on: four sets of features, and how alike they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._synthesis_autoencoder import code_features, trained_autoencoder
from benchmarks._synthesis_data import fidelity_window, real_pairs
from benchmarks._synthesis_distance import UNTRAINED, Extractor, RealSets, distances
from benchmarks._synthesis_samples import our_pairs
from benchmarks._synthesis_segmentation_net import bottleneck_features, trained_net
from benchmarks._synthesis_settings import Settings
from medidiff.evaluate.diversity import Diversity, diversity

FOUR = ("precision", "recall", "density", "coverage")


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Ours against the test scans."""
    settings = settings or Settings()
    train = real_pairs(settings.store, "train")
    made = our_pairs(settings, settings.prior, settings.count).pairs
    net, _ = trained_net(settings, [train], 0)
    coder = trained_autoencoder(settings, fidelity_window(train.images))
    extractors: dict[str, Extractor] = {
        **UNTRAINED,
        "segmentation net": lambda images: bottleneck_features(net, images),
        "autoencoder": lambda images: code_features(coder, images),
    }
    real = RealSets(settings, extractors)
    found = distances(real.compare(made.images))
    n, parts = len(real.test), next(iter(found.values()))["parts"]
    lines = [
        f"| features | MMD^2, KID's kernel | band | | MMD^2, RBF | band | | {' | '.join(FOUR)} |",
        f"|---|---|---|---|---|---|---|{'---|' * len(FOUR)}",
    ]
    for name, row in found.items():
        cells = []
        for kernel in ("polynomial", "rbf"):
            band = row[kernel]["band"]
            cells += [f"{row[kernel]['value']:.4f}", f"[{band['low']:.4f}, {band['high']:.4f}]", row[kernel]["verdict"]]
        cells += [f"{row['neighbourhood'][f]:.2f} ({row['real_neighbourhood'][f]:.2f})" for f in FOUR]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    alike = _diversity(fidelity_window(made.images)[:n]), _diversity(fidelity_window(real.test.images))
    mean, spread = (
        np.array([f(s.mean(axis=(1, 2, 3))) for s in (made.images, train.images)]) for f in (np.mean, np.std)
    )
    lines += [
        "",
        f"{n} scans on each side, mean over {parts} parts of {len(made)} samples; in brackets what other real patients "
        "reach. The band is that of halves of real patients at the same size.",
        f"MS-SSIM of pairs: {alike[0].ms_ssim:.3f} +- {alike[0].standard_error:.3f} of samples, {alike[1].ms_ssim:.3f} "
        f"+- {alike[1].standard_error:.3f} of real scans (1: copies). Mean intensity of a scan: {mean[0]:.3f}, spread "
        f"{spread[0]:.3f}; of real train scans {mean[1]:.3f}, {spread[1]:.3f}.",
    ]
    holds = all(row[kernel]["verdict"] == "inside" for row in found.values() for kernel in ("polynomial", "rbf"))
    return {
        "rows": found,
        "ms_ssim": {"made": alike[0]._asdict(), "real": alike[1]._asdict()},
        "mean_intensity": {"mean": mean.tolist(), "spread": spread.tolist()},
        "holds": holds,
        "lines": lines,
    }


def _diversity(images: np.ndarray) -> Diversity:
    return diversity(images, data_range=2.0, pairs=200)
