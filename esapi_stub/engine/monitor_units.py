"""Monitor units of a fluence: a guess, and its grounds.

One unit of fluence is taken for 100 MU, because the generic machine gives about 1 Gy for it where a linear
accelerator is usually calibrated to give 1 Gy for 100 MU. A beam needs as many as its slowest pair of leaves that
sweeps once (Spirou and Chui, Med Phys 21:1031, 1994): the sum of all rises of the fluence along the pair's way.
Transmission, rounded leaf ends, leaf speed and scatter of the head are left out.
"""

from __future__ import annotations

import numpy as np

from bridge.rt.arrays import FloatArray

__all__ = ["MU_PER_UNIT_FLUENCE", "monitor_units"]

MU_PER_UNIT_FLUENCE = 100.0


def monitor_units(x_mm: FloatArray, y_mm: FloatArray, weights: FloatArray, beamlet_mm: float) -> float:
    """Give the monitor units of one beam for its fluence.

    Parameters
    ----------
    x_mm, y_mm, weights
        Shape ``(n,)``: beamlets on a square lattice, and their fluence; leaves travel along x.
    beamlet_mm
        Spacing of the lattice.
    """
    column, row = (np.rint((at - at.min()) / beamlet_mm).astype(int) for at in (x_mm, y_mm))
    field = np.zeros((row.max() + 1, column.max() + 2))
    field[row, column + 1] = weights
    rises = np.maximum(np.diff(field, axis=1), 0.0).sum(axis=1)
    return float(rises.max()) * MU_PER_UNIT_FLUENCE
