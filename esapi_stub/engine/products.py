"""Products of an influence matrix with fluences, and of its transpose with derivatives, on all cores.

Several fluences share one pass over the matrix, whose entries are most of the work to fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.influence import Matrix

__all__ = ["DoseProducts"]

_LANES = 4
"""Fluences that share a pass: their sums fit the registers."""


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
        doses: FloatArray = np.empty((len(fluences), self.shape[0]))
        for several, lanes in self._together(fluences):
            out: FloatArray = np.empty((self.shape[0], lanes.shape[1]))
            (_dose_of_four if lanes.shape[1] > 1 else _dose_of_one)(*self._entries, self._edges, lanes, out)
            doses[several] = out.T[: len(doses[several])]
        return doses

    def gradient(self, by_dose: FloatArray) -> FloatArray:
        """Give the derivatives by fluence ``(k, beamlets)`` from those by dose ``(k, voxels)``."""
        gradients: FloatArray = np.empty((len(by_dose), self.shape[1]))
        for several, lanes in self._together(by_dose):
            parts: FloatArray = np.zeros((len(self._edges) - 1, self.shape[1], lanes.shape[1]))
            (_gradient_of_four if lanes.shape[1] > 1 else _gradient_of_one)(*self._entries, self._edges, lanes, parts)
            gradients[several] = parts.sum(axis=0).T[: len(gradients[several])]
        return gradients

    @staticmethod
    def _together(rows: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
        """Give one row by itself, and several in groups of four with zeros for those that are missing."""
        if len(rows) == 1:
            yield slice(0, 1), np.ascontiguousarray(rows.T)
            return
        for first in range(0, len(rows), _LANES):
            group = rows[first : first + _LANES]
            lanes: FloatArray = np.zeros((rows.shape[1], _LANES))
            lanes[:, : len(group)] = group.T
            yield slice(first, first + _LANES), lanes


def _dose_one(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], edges: NDArray[np.int64],
    fluence: FloatArray, dose: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for row in range(edges[block], edges[block + 1]):
            total = 0.0
            for entry in range(indptr[row], indptr[row + 1]):
                total += data[entry] * fluence[indices[entry], 0]
            dose[row, 0] = total


def _dose_four(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], edges: NDArray[np.int64],
    fluence: FloatArray, dose: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for row in range(edges[block], edges[block + 1]):
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for entry in range(indptr[row], indptr[row + 1]):
                value, column = data[entry], indices[entry]
                a += value * fluence[column, 0]
                b += value * fluence[column, 1]
                c += value * fluence[column, 2]
                d += value * fluence[column, 3]
            dose[row, 0], dose[row, 1], dose[row, 2], dose[row, 3] = a, b, c, d


def _gradient_one(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], edges: NDArray[np.int64],
    by_dose: FloatArray, parts: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for row in range(edges[block], edges[block + 1]):
            slope = by_dose[row, 0]
            if slope != 0.0:  # most voxels have what their objectives ask
                for entry in range(indptr[row], indptr[row + 1]):
                    parts[block, indices[entry], 0] += data[entry] * slope


def _gradient_four(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], edges: NDArray[np.int64],
    by_dose: FloatArray, parts: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for row in range(edges[block], edges[block + 1]):
            a, b, c, d = by_dose[row, 0], by_dose[row, 1], by_dose[row, 2], by_dose[row, 3]
            if a != 0.0 or b != 0.0 or c != 0.0 or d != 0.0:
                for entry in range(indptr[row], indptr[row + 1]):
                    value, column = data[entry], indices[entry]
                    parts[block, column, 0] += value * a
                    parts[block, column, 1] += value * b
                    parts[block, column, 2] += value * c
                    parts[block, column, 3] += value * d


_compiled: Callable[[Callable[..., None]], Callable[..., None]] = numba.njit(
    parallel=True, nogil=True, cache=True, fastmath=True
)
_dose_of_one, _dose_of_four = _compiled(_dose_one), _compiled(_dose_four)
_gradient_of_one, _gradient_of_four = _compiled(_gradient_one), _compiled(_gradient_four)
