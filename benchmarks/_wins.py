"""Where a peer is better than medidiff: every group, kind, level and measure, so that nobody has to look for it."""

from __future__ import annotations

from benchmarks._methods import PEER_NAMES
from benchmarks._noise import KINDS, label
from benchmarks._summary import BLIND, BLIND_PEERS, GROUPS, KNOWN, Rows, difference, select, unique

MEASURES = {"psnr": "PSNR", "psnr_foreground": "foreground PSNR", "psnr_window": "PSNR in the window", "ssim": "SSIM"}


def wins(rows: Rows) -> str:
    """A list in Markdown: the peer, where, by how much (over the cases both have)."""
    lines = []
    for kind in [k for k in KINDS if k in unique(rows, "kind")]:
        for group in GROUPS:
            here = select(rows, group, kind=kind)
            for level in unique(here, "level"):
                lines += _of(select(here, level=level), f"{kind} {label(kind, level)}, {group}")
    if not lines:
        return "Nowhere in these figures is the mean of a peer above medidiff's, told as much."
    return "\n".join(["A peer's mean is above medidiff's, told as much, here:", "", *lines])


def _of(rows: Rows, where: str) -> list[str]:
    informed = "bm4d informed" if "bm4d informed" in unique(rows, "method") else "bm4d"
    # What is told one level is held against known medidiff where nothing more can be told, else against blind.
    plain = KNOWN if informed == "bm4d" else BLIND
    found = []
    for peer in PEER_NAMES:
        own = KNOWN if peer == informed else plain
        if peer not in BLIND_PEERS and peer != informed:
            continue
        for key, name in MEASURES.items():
            pair = difference(rows, peer, own, key)
            if pair is not None and pair[1].mean > 0:
                unit = "" if key == "ssim" else " dB"
                figure = f"{pair[1].mean:+.3f}" if key == "ssim" else str(pair[1])
                found.append(f"- {where}: {peer}, {name} {figure}{unit} to {own} (n = {pair[0]})")
    return found
