"""Products of an influence matrix with fluences, and of its transpose with derivatives, on all cores.

Several fluences share one pass over the matrix, whose entries are most of the work to fetch.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.influence import Matrix

__all__ = ["DoseProducts"]


class DoseProducts:
    """A matrix of voxels by beamlets, cut into as many blocks of rows as there are cores.

    Parameters
    ----------
    matrix
        Its entries are shared, not copied.
    """

    def __init__(self, matrix: Matrix) -> None:
        self.shape = matrix.shape
        columns = np.uint16 if matrix.shape[1] <= np.iinfo(np.uint16).max else np.uint32
        self._entries = (matrix.indptr.astype(np.int64), matrix.indices.astype(columns), matrix.data)
        shares = np.linspace(0, matrix.nnz, numba.get_num_threads() + 1)
        self._edges = np.searchsorted(matrix.indptr, shares).astype(np.int64)
        self._edges[[0, -1]] = 0, matrix.shape[0]

    def dose(self, fluences: FloatArray) -> FloatArray:
        """Give the doses ``(k, voxels)`` of fluences ``(k, beamlets)``."""
        doses: FloatArray = np.empty((self.shape[0], len(fluences)))
        _dose_compiled(*self._entries, self._edges, np.ascontiguousarray(fluences.T), doses)
        return np.ascontiguousarray(doses.T)

    def gradient(self, by_dose: FloatArray) -> FloatArray:
        """Give the derivatives by fluence ``(k, beamlets)`` from those by dose ``(k, voxels)``."""
        parts: FloatArray = np.zeros((len(self._edges) - 1, self.shape[1], len(by_dose)))
        _gradient_compiled(*self._entries, self._edges, np.ascontiguousarray(by_dose.T), parts)
        return np.ascontiguousarray(parts.sum(axis=0).T)


def _dose(
    indptr: NDArray[np.int64],
    indices: NDArray[np.integer],
    data: NDArray[np.float32],
    edges: NDArray[np.int64],
    fluences: FloatArray,
    doses: FloatArray,
) -> None:
    """Fill ``doses``, voxels by k."""
    count = fluences.shape[1]
    for block in numba.prange(len(edges) - 1):
        for row in range(edges[block], edges[block + 1]):
            if count == 1:
                total = 0.0
                for entry in range(indptr[row], indptr[row + 1]):
                    total += data[entry] * fluences[indices[entry], 0]
                doses[row, 0] = total
            else:
                doses[row] = 0.0
                for entry in range(indptr[row], indptr[row + 1]):
                    value, column = data[entry], indices[entry]
                    for k in range(count):
                        doses[row, k] += value * fluences[column, k]


def _gradient(
    indptr: NDArray[np.int64],
    indices: NDArray[np.integer],
    data: NDArray[np.float32],
    edges: NDArray[np.int64],
    by_dose: FloatArray,
    parts: FloatArray,
) -> None:
    """Add to ``parts``, blocks by beamlets by k; voxels that no objective looks at are passed over."""
    count = by_dose.shape[1]
    for block in numba.prange(len(edges) - 1):
        part = parts[block]
        for row in range(edges[block], edges[block + 1]):
            if count == 1:
                slope = by_dose[row, 0]
                if slope != 0.0:
                    for entry in range(indptr[row], indptr[row + 1]):
                        part[indices[entry], 0] += data[entry] * slope
            elif np.any(by_dose[row] != 0.0):
                for entry in range(indptr[row], indptr[row + 1]):
                    value, column = data[entry], indices[entry]
                    for k in range(count):
                        part[column, k] += value * by_dose[row, k]


_dose_compiled: Callable[..., None] = numba.njit(parallel=True, nogil=True, cache=True, fastmath=True)(_dose)
_gradient_compiled: Callable[..., None] = numba.njit(parallel=True, nogil=True, cache=True, fastmath=True)(_gradient)
