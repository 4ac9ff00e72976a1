"""Trilinear interpolation as a sparse matrix: made once, it serves any number of arrays on one grid."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from bridge.rt.arrays import Points

__all__ = ["trilinear_matrix"]


def trilinear_matrix(index: Points, shape: tuple[int, int, int]) -> sparse.csr_array:
    """Give the matrix that takes the values of all voxels to those at fractional voxel indices.

    Parameters
    ----------
    index
        Shape ``(n, 3)``, ``[k, j, i]``; what is outside the grid takes the value at its border.
    shape
        Of the grid.

    Returns
    -------
    csr_array
        ``n`` rows, float32, one column for each voxel.
    """
    count = len(index)
    last = np.array(shape) - 1
    low = np.floor(index).astype(np.int64).clip(0, np.maximum(last - 1, 0))
    high = np.minimum(low + 1, last)
    part = (index - low).clip(0.0, 1.0)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    columns = np.empty((count, 8), dtype=np.int32)
    weights = np.empty((count, 8), dtype=np.float32)
    for corner in range(8):
        upper = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1], dtype=bool)
        columns[:, corner] = np.where(upper, high, low) @ strides
        weights[:, corner] = np.where(upper, part, 1.0 - part).prod(axis=1)
    rows = np.arange(0, 8 * count + 1, 8, dtype=np.int32)
    return sparse.csr_array((weights.ravel(), columns.ravel(), rows), shape=(count, int(np.prod(shape))))
