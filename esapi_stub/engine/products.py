"""Products of an influence matrix with fluences, and of its transpose with derivatives, on all cores.

Several fluences share one pass over the matrix, whose entries are most of the work to fetch.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numba
import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.cores import on_all_cores
from esapi_stub.engine.influence import Matrix

__all__ = ["DoseProducts"]

_LANES = 4
"""Fluences that share a pass: their sums fit the registers."""

_SHARES = 8
"""Into which rows are cut, however many cores there are: sums are added up in one order, and plans do not differ."""


class DoseProducts:
    """Some or all rows of a matrix of voxels by beamlets, shared out among the cores.

    Parameters
    ----------
    matrix
        Its entries are shared, not copied.
    """

    def __init__(self, matrix: Matrix) -> None:
        columns = np.uint16 if matrix.shape[1] <= np.iinfo(np.uint16).max else np.uint32
        self._entries = (matrix.indptr.astype(np.int64), matrix.indices.astype(columns), matrix.data)
        self._columns = matrix.shape[1]
        self._rows: NDArray[np.int64] = np.arange(matrix.shape[0])

    def part(self, rows: NDArray[np.int64]) -> DoseProducts:
        """Give the products with some of the rows, which are not copied either."""
        part = copy(self)
        part._rows = self._rows[rows]
        return part

    def strong(self, part: float) -> DoseProducts:
        """Give the products without the entries below this part of the highest in their row."""
        indptr, indices, data = self._entries
        counts: NDArray[np.int64] = np.zeros(len(indptr), dtype=np.int64)
        _count_of_strong(indptr, data, part, counts)
        kept = np.cumsum(counts)
        strong = copy(self)
        strong._entries = (kept, np.empty(kept[-1], indices.dtype), np.empty(kept[-1], data.dtype))
        _entries_of_strong(indptr, indices, data, part, *strong._entries)
        return strong

    def dose(self, fluences: FloatArray) -> FloatArray:
        """Give the doses ``(k, rows)`` of fluences ``(k, beamlets)``."""
        doses: FloatArray = np.empty((len(fluences), len(self._rows)))
        edges = self._shares(self._rows)
        for several, lanes in self._together(fluences):
            out: FloatArray = np.empty((len(self._rows), lanes.shape[1]))
            run = _dose_of_four if lanes.shape[1] > 1 else _dose_of_one
            run(*self._entries, self._rows, edges, lanes, out)
            doses[several] = out.T[: len(doses[several])]
        return doses

    def gradient(self, by_dose: FloatArray) -> FloatArray:
        """Give the derivatives by fluence ``(k, beamlets)`` from those by dose ``(k, rows)``."""
        gradients: FloatArray = np.empty((len(by_dose), self._columns))
        sloping = np.flatnonzero(by_dose.any(axis=0))  # most voxels have what their objectives ask
        rows = self._rows[sloping]
        edges = self._shares(rows)
        for several, lanes in self._together(by_dose[:, sloping]):
            parts: FloatArray = np.zeros((len(edges) - 1, self._columns, lanes.shape[1]))
            run = _gradient_of_four if lanes.shape[1] > 1 else _gradient_of_one
            run(*self._entries, rows, edges, lanes, parts)
            gradients[several] = parts.sum(axis=0).T[: len(gradients[several])]
        return gradients

    def squares(self, by_row: FloatArray) -> FloatArray:
        """Give for each beamlet the sum of its squared entries, each times a number ``(rows,)`` of its row."""
        parts: FloatArray = np.zeros((_SHARES, self._columns))
        _sum_of_squares(*self._entries, self._rows, self._shares(self._rows), by_row, parts)
        return np.asarray(parts.sum(axis=0))

    def _shares(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cut rows into shares of equal work."""
        indptr = self._entries[0]
        ends = np.cumsum(indptr[rows + 1] - indptr[rows])
        shares = np.linspace(0, ends[-1] if len(ends) else 0, _SHARES + 1)
        edges = np.searchsorted(ends, shares).astype(np.int64)
        edges[[0, -1]] = 0, len(rows)
        return edges

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
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], rows: NDArray[np.int64],
    edges: NDArray[np.int64], fluence: FloatArray, dose: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for place in range(edges[block], edges[block + 1]):
            total = 0.0
            for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
                total += data[entry] * fluence[indices[entry], 0]
            dose[place, 0] = total


def _dose_four(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], rows: NDArray[np.int64],
    edges: NDArray[np.int64], fluence: FloatArray, dose: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for place in range(edges[block], edges[block + 1]):
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
                value, column = data[entry], indices[entry]
                a += value * fluence[column, 0]
                b += value * fluence[column, 1]
                c += value * fluence[column, 2]
                d += value * fluence[column, 3]
            dose[place, 0], dose[place, 1], dose[place, 2], dose[place, 3] = a, b, c, d


def _gradient_one(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], rows: NDArray[np.int64],
    edges: NDArray[np.int64], by_dose: FloatArray, parts: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for place in range(edges[block], edges[block + 1]):
            slope = by_dose[place, 0]
            for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
                parts[block, indices[entry], 0] += data[entry] * slope


def _gradient_four(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], rows: NDArray[np.int64],
    edges: NDArray[np.int64], by_dose: FloatArray, parts: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for place in range(edges[block], edges[block + 1]):
            a, b, c, d = by_dose[place, 0], by_dose[place, 1], by_dose[place, 2], by_dose[place, 3]
            for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
                value, column = data[entry], indices[entry]
                parts[block, column, 0] += value * a
                parts[block, column, 1] += value * b
                parts[block, column, 2] += value * c
                parts[block, column, 3] += value * d


def _squares(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], rows: NDArray[np.int64],
    edges: NDArray[np.int64], by_row: FloatArray, parts: FloatArray,
) -> None:  # fmt: skip
    for block in numba.prange(len(edges) - 1):
        for place in range(edges[block], edges[block + 1]):
            if by_row[place] != 0.0:
                for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
                    parts[block, indices[entry]] += data[entry] * data[entry] * by_row[place]


def _count_strong(
    indptr: NDArray[np.int64], data: NDArray[np.float32], part: float, counts: NDArray[np.int64]
) -> None:  # fmt: skip
    for row in numba.prange(len(indptr) - 1):
        entries = data[indptr[row] : indptr[row + 1]]
        if len(entries):
            least = part * entries.max()
            for value in entries:
                if value >= least:
                    counts[row + 1] += 1


def _keep_strong(
    indptr: NDArray[np.int64], indices: NDArray[np.integer], data: NDArray[np.float32], part: float,
    kept: NDArray[np.int64], kept_indices: NDArray[np.integer], kept_data: NDArray[np.float32],
) -> None:  # fmt: skip
    for row in numba.prange(len(indptr) - 1):
        place = kept[row]
        entries = data[indptr[row] : indptr[row + 1]]
        if len(entries):
            least = part * entries.max()
            for entry in range(indptr[row], indptr[row + 1]):
                if data[entry] >= least:
                    kept_indices[place] = indices[entry]
                    kept_data[place] = data[entry]
                    place += 1


_count_of_strong, _entries_of_strong = on_all_cores(_count_strong), on_all_cores(_keep_strong)
_dose_of_one, _dose_of_four = on_all_cores(_dose_one, fastmath=True), on_all_cores(_dose_four, fastmath=True)
_sum_of_squares = on_all_cores(_squares, fastmath=True)
_gradient_of_one = on_all_cores(_gradient_one, fastmath=True)
_gradient_of_four = on_all_cores(_gradient_four, fastmath=True)
