"""The near-maximum dose: what stands for a maximum, because a single hottest sample depends on the sampling."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.rt.dvh import Dvh

__all__ = ["NEAR_MAXIMUM_CC", "NearMaximum", "near_maximum"]

NEAR_MAXIMUM_CC = 0.03
"""Volume of the near-maximum of all but the smallest structures."""

_NEAR_MAXIMUM_PERCENT = 2.0
"""The near-maximum of ICRU 83."""


@dataclass(frozen=True)
class NearMaximum:
    """A near-maximum with the name of its parameter, ``"D0.03cc"`` or ``"D2%"``."""

    name: str
    dose_gy: float


def near_maximum(dvh: Dvh) -> NearMaximum:
    """Give D0.03cc, or D2% of a structure so small that 0.03 cc are more than that.

    0.03 cc are all of a cochlea and a fifth of a lens: their D0.03cc is no maximum but near their minimum or median.
    """
    if _NEAR_MAXIMUM_PERCENT / 100.0 * dvh.covered_cc >= NEAR_MAXIMUM_CC:
        return NearMaximum(f"D{NEAR_MAXIMUM_CC:g}cc", dvh.dose_at_cc(NEAR_MAXIMUM_CC))
    return NearMaximum(f"D{_NEAR_MAXIMUM_PERCENT:g}%", dvh.dose_at_percent(_NEAR_MAXIMUM_PERCENT))
