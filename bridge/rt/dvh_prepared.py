"""Prepared DVHs: all structures of a case made ready once, then measured in any number of doses within milliseconds.

The definition is that of :func:`bridge.rt.dvh_compute.compute_dvh`: the same samples, the same trilinear dose. Of the
samples of a large structure a systematic draw is kept, each standing for the same volume, so that a new dose needs one
sparse product and one sort of plain numbers for each structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import require_same_frame
from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from bridge.rt.interpolation import trilinear_matrix
from bridge.rt.sampling import StructureSamples, sample_structure
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose

__all__ = ["PreparedDvhs", "prepare_dvhs"]

_KEPT_SAMPLES = 30_000
_DECIMALS = 3
"""Single precision scatters a uniform dose by up to 5e-5 Gy here; see DOSE_DECIMALS of the reference path."""

_LARGEST_SAMPLE_CC = 0.1
"""Of a structure 30,000 samples are kept, or as many more as it takes that none stands for more than 0.1 cc. On a real
patient this costs 0.02 Gy on average over all dose parameters, and 0.24 Gy at most (docs/reference/dvh-accuracy.md)."""


@dataclass(frozen=True, eq=False)
class _Entry:
    """One structure: its rows of the interpolation matrix, and what they stand for."""

    structure: Structure
    rows: slice
    sample_cc: FloatArray
    volume_cc: float
    policy: DvhPolicy


@dataclass(frozen=True, eq=False)
class PreparedDvhs:
    """Structures ready to be measured in doses on one grid.

    Attributes
    ----------
    grid
        The grid of every dose that can be measured.
    """

    grid: Grid
    _entries: tuple[_Entry, ...]
    _interpolation: sparse.csr_array

    def dvhs(self, dose: Dose) -> tuple[Dvh, ...]:
        """Give the DVHs of all structures, in their order.

        Raises
        ------
        GeometryRefusal
            The dose is on another grid (``grid-differs``).
        """
        if not dose.grid.matches(self.grid):
            raise GeometryRefusal("grid-differs", "The dose is on another grid than the one that was prepared.")
        at_samples = self._interpolation @ dose.values.ravel()
        return tuple(_measured(entry, at_samples[entry.rows]) for entry in self._entries)


def prepare_dvhs(structures: Sequence[Structure], grid: Grid, policy: DvhPolicy | None = None) -> PreparedDvhs:
    """Make structures ready for doses on a grid.

    Parameters
    ----------
    structures
        Any, also empty ones.
    grid
        Of the doses to come, in the structures' frame of reference.
    policy
        As for :func:`bridge.rt.dvh_compute.compute_dvh`.

    Raises
    ------
    GeometryRefusal
        A structure is in another frame of reference.
    """
    entries, points, first = [], [np.zeros((0, 3))], 0
    for structure in structures:
        require_same_frame(structure, grid)
        samples = sample_structure(structure, policy or DvhPolicy())
        index = grid.indices(samples.points_mm)
        inside = ((index >= -1e-6) & (index <= np.array(grid.shape) - 1 + 1e-6)).all(axis=1)
        kept, sample_cc = _drawn(samples, np.flatnonzero(inside))
        entries.append(
            _Entry(
                structure,
                slice(first, first + len(kept)),
                sample_cc,
                float(samples.sample_cc.sum()),
                samples.policy,
            )
        )
        points.append(index[kept])
        first += len(kept)
    return PreparedDvhs(grid, tuple(entries), trilinear_matrix(np.concatenate(points), grid.shape))


def _drawn(samples: StructureSamples, inside: NDArray[np.intp]) -> tuple[NDArray[np.intp], FloatArray]:
    """Keep all samples of a small structure, or a systematic draw by volume of a large one."""
    volume = samples.sample_cc[inside]
    total = float(volume.sum())
    count = max(_KEPT_SAMPLES, int(np.ceil(total / _LARGEST_SAMPLE_CC)))
    if len(inside) <= count:
        return inside, volume
    share = total / count
    chosen = np.searchsorted(np.cumsum(volume), (np.arange(count) + 0.5) * share).clip(max=len(inside) - 1)
    return inside[chosen], np.full(count, share)


def _measured(entry: _Entry, at_samples: NDArray[np.float32]) -> Dvh:
    structure, sample_cc = entry.structure, entry.sample_cc
    if len(sample_cc) and sample_cc.min() == sample_cc.max():
        ordered = np.sort(at_samples)  # every sample stands for the same volume: no need to keep them together
    else:
        order = np.argsort(at_samples)
        ordered, sample_cc = at_samples[order], sample_cc[order]
    dose_gy: FloatArray = ordered.astype(np.float64).round(_DECIMALS)
    return Dvh(structure.number, structure.name, dose_gy, sample_cc, entry.volume_cc, entry.policy)
