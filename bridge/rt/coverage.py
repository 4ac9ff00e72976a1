"""Area coverage: which part of each cell of a rectangular raster lies inside a set of closed contours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.rt.arrays import FloatArray, Loop

__all__ = ["LINES_PER_CELL", "region_coverage"]

LINES_PER_CELL = 8
"""Scan lines per raster row. Along a line the coverage is exact, across lines it is the midpoint rule, which is exact
too but for cells that hold a vertex or where an edge leaves through the side. An edge along a row is off by at most
half a line (1/16 cell); over a whole contour errors cancel: 0.1 % of the area of a circle ten cells across."""


def region_coverage(loops: Sequence[Loop], shape: tuple[int, int], lines_per_cell: int = LINES_PER_CELL) -> FloatArray:
    """Rasterise a region bounded by closed loops under the even-odd rule.

    Parameters
    ----------
    loops
        Closed contours ``(n, 2)`` in raster units, columns (column, row): cell ``[r, c]`` covers the columns
        ``c`` to ``c + 1`` and the rows ``r`` to ``r + 1``. Parts beyond the raster are cut off.
    shape
        Rows and columns of the raster.
    lines_per_cell
        Scan lines per row.

    Returns
    -------
    FloatArray
        Covered fraction of each cell, 0 to 1, shape ``shape``.

    Notes
    -----
    Every scan line crosses the closed loops an even number of times; sorted along the line, the crossings enter
    and leave the region in turn. Holes, islands and keyholes need no case of their own: where a keyhole walks in
    and out along one line, the two crossings coincide and enclose nothing.
    """
    rows, columns = shape
    start = np.concatenate(list(loops))
    end = np.concatenate([np.roll(loop, -1, axis=0) for loop in loops])
    low_first = (start[:, 1] <= end[:, 1])[:, None]
    lower, upper = np.where(low_first, start, end), np.where(low_first, end, start)

    # line s runs at row (s + 0.5) / lines_per_cell; an edge crosses the lines in the half-open row interval it spans
    first = np.ceil(lower[:, 1] * lines_per_cell - 0.5).clip(0, rows * lines_per_cell).astype(np.int64)
    stop = np.ceil(upper[:, 1] * lines_per_cell - 0.5).clip(0, rows * lines_per_cell).astype(np.int64)
    crossings = stop - first
    edge = np.repeat(np.arange(len(first)), crossings)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(crossings) - crossings, crossings) + first[edge]
    along = ((line + 0.5) / lines_per_cell - lower[edge, 1]) / (upper[edge, 1] - lower[edge, 1])
    column = lower[edge, 0] + along * (upper[edge, 0] - lower[edge, 0])

    order = np.lexsort((column, line))
    line, column = line[order], column[order].clip(0.0, columns)
    sign = np.where(np.arange(len(order)) % 2 == 0, 1.0, -1.0)
    # an entry at column u covers the rest of its own cell and all cells after it: the running sum of these two steps
    cell = np.floor(column).astype(np.int64)
    rest = column - cell
    width = columns + 2
    flat = (line // lines_per_cell) * width + cell
    steps = np.bincount(flat, sign * (1.0 - rest), rows * width) + np.bincount(flat + 1, sign * rest, rows * width)
    covered = np.cumsum(steps.reshape(rows, width), axis=1)[:, :columns] / lines_per_cell
    # the running sum leaves rounding of 1e-16 behind a region, where nothing is covered
    return np.clip(np.round(covered, 9), 0.0, 1.0)
