"""Curves D(v) as values at a hundred volumes: each point stands for one percent of the volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bridge.rt.arrays import FloatArray

__all__ = ["POINTS", "VOLUMES_PERCENT", "curve_of", "joined"]

POINTS = 100

VOLUMES_PERCENT: FloatArray = (np.arange(POINTS, dtype=np.float64) + 0.5) * (100.0 / POINTS)
"""Middle of each percent, from the hottest to the coldest, so that the mean of a curve is the mean dose."""


def curve_of(values: ArrayLike, weights: ArrayLike) -> FloatArray:
    """Give D(v) of voxels that count by their weight.

    Parameters
    ----------
    values, weights
        Shape ``(n,)``; the weights are not negative and not all zero.

    Returns
    -------
    FloatArray
        Shape ``(100,)``, never ascending; each voxel stands at the middle of its own volume, as in
        :meth:`bridge.rt.dvh.Dvh.curve`.
    """
    values, weights = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    hottest_first = weights[order]
    middle = np.cumsum(hottest_first) - hottest_first / 2.0
    return np.asarray(np.interp(VOLUMES_PERCENT, middle * (100.0 / hottest_first.sum()), values[order]))


def joined(parts: Sequence[tuple[float, FloatArray]]) -> FloatArray:
    """Give the curve of a whole from the curves of its parts and the share of each; never ascending."""
    shares, curves = zip(*parts, strict=True)
    return curve_of(np.concatenate(curves), np.repeat(shares, [len(curve) for curve in curves]))
