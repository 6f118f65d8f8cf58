"""The interval of a voxel, from what the prior's card says of its calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medidiff.prior.card import Card

CALIBRATED_KINDS = ("gaussian", "rician", "correlated", "varying", "ct")
"""Kinds of noise for which a prior may be calibrated."""
_SAME_AS = {"chi": "rician"}


def interval_factor(card: Card, kind: str) -> float | None:
    """q of the 90% interval estimate +- q times uncertainty; None where the prior was not calibrated for it.

    It holds for patients like those it was calibrated on, not across sites: make no claim where a scan is extrapolated.

    Args:
        card: Of the prior.
        kind: gaussian, rician, chi (as rician), correlated, varying or ct; see `noise_kind`.
    """
    factors = (card.calibration or {}).get("factor", {})
    factor = factors.get(_SAME_AS.get(kind, kind))
    return None if factor is None else float(factor)


def noise_kind(model: str, *, correlated: bool, varying: bool, ct: bool) -> str:
    """The calibrated kind of a scan's noise, the most particular first.

    Args:
        model: gaussian, rician or chi.
        correlated: Whether its correlation is not zero.
        varying: Whether its level is a map.
        ct: Whether the scan is CT.
    """
    if ct:
        return "ct"
    if correlated:
        return "correlated"
    if model != "gaussian":
        return model
    return "varying" if varying else "gaussian"


__all__ = ["CALIBRATED_KINDS", "interval_factor", "noise_kind"]
