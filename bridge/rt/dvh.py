"""Dose-volume histograms: one structure, one dose, one stated policy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import GeometryRefusal, StructureRefusal

__all__ = ["BetweenPlanes", "Dvh", "DvhPolicy", "EndCaps"]

EndCaps = Literal["half_slice", "none"]
BetweenPlanes = Literal["prism", "tapered"]


@dataclass(frozen=True)
class DvhPolicy:
    """The choices that move a DVH, stored with every one.

    Attributes
    ----------
    end_caps
        ``"none"``: a structure ends at its first and last plane, as in Eclipse. ``"half_slice"``: half a plane
        spacing beyond them.
    sample_mm
        Distance between dose samples; None chooses it from the structure's size.
    between_planes
        ``"prism"``: a plane stands unchanged for its slab, so that the parts of a divided structure add up exactly.
        ``"tapered"``: its contour narrows as those beside it do (:mod:`bridge.rt.taper`), which is nearer to the
        truth for structures that end in points and edges.
    """

    end_caps: EndCaps = "none"
    sample_mm: float | None = None
    between_planes: BetweenPlanes = "prism"

    @property
    def shape(self) -> str:
        """The choices about the structure's shape in words."""
        return f"end caps {self.end_caps}, {self.between_planes} between planes"

    def __post_init__(self) -> None:
        if self.sample_mm is not None and not 0 < self.sample_mm < np.inf:
            raise GeometryRefusal("sample-spacing", f"A DVH sample spacing must be positive, got {self.sample_mm} mm.")


@dataclass(frozen=True, eq=False)
class Dvh:
    """The cumulative DVH of one structure, kept as dose samples with their volumes.

    Attributes
    ----------
    roi_number, roi_name
        The structure.
    dose_gy
        Sample doses in ascending order, shape ``(n,)``; empty where no part of the structure lies in the dose grid.
    sample_cc
        Volume that each sample stands for, shape ``(n,)``.
    volume_cc
        Volume of the whole structure, inside the dose grid or not.
    policy
        End caps and the sampling used (``sample_mm`` filled in).

    Notes
    -----
    Relative volumes refer to the part inside the dose grid; ``coverage`` says how much that is, and nothing is
    invented for the rest.
    """

    roi_number: int
    roi_name: str
    dose_gy: FloatArray
    sample_cc: FloatArray
    volume_cc: float
    policy: DvhPolicy

    @property
    def is_empty(self) -> bool:
        """Whether there is no dose sample: no contours, or all of it outside the dose grid."""
        return self.dose_gy.size == 0

    @property
    def coverage(self) -> float:
        """Fraction of the structure's volume inside the dose grid, 0 to 1; 0 for an empty structure."""
        # rounded, so that a structure wholly inside has exactly 1 however its samples were summed
        return min(round(self.covered_cc / self.volume_cc, 9), 1.0) if self.volume_cc > 0 else 0.0

    @cached_property
    def _volume_above_cc(self) -> FloatArray:
        """Volume at or above each sample's dose, counted to the middle of the sample's own volume."""
        from_hottest = np.cumsum(self.sample_cc[::-1])[::-1]
        return np.asarray(from_hottest - self.sample_cc / 2.0)

    def _require_samples(self) -> None:
        if self.is_empty:
            raise StructureRefusal(
                "dvh-empty", f"Structure {self.roi_name!r} has no volume inside the dose grid.", roi=self.roi_name
            )

    @property
    def covered_cc(self) -> float:
        """Volume inside the dose grid."""
        return float(self.sample_cc.sum())

    @property
    def mean_gy(self) -> float:
        """Mean dose."""
        self._require_samples()
        return float(np.average(self.dose_gy, weights=self.sample_cc))

    @property
    def min_gy(self) -> float:
        """Lowest sample dose."""
        self._require_samples()
        return float(self.dose_gy[0])

    @property
    def max_gy(self) -> float:
        """Highest sample dose; depends on the sampling, so prefer D0.03cc."""
        self._require_samples()
        return float(self.dose_gy[-1])

    def dose_at_cc(self, volume_cc: float) -> float:
        """Give Dxcc: the least dose of the hottest ``volume_cc`` (ICRU 83), interpolated between samples.

        A volume larger than the structure gives the lowest dose.
        """
        self._require_samples()
        return float(np.interp(volume_cc, self._volume_above_cc[::-1], self.dose_gy[::-1]))

    def dose_at_percent(self, volume_percent: float) -> float:
        """Give Dx%: the least dose of the hottest ``volume_percent`` of the structure, 0 to 100."""
        if not 0.0 <= volume_percent <= 100.0:
            raise StructureRefusal("volume-range", f"A DVH volume must be 0 to 100 %, got {volume_percent:g}.")
        return self.dose_at_cc(volume_percent / 100.0 * self.covered_cc)

    def cc_at_dose(self, dose_gy: float) -> float:
        """Give VxGy in cc: the volume that gets at least ``dose_gy``."""
        self._require_samples()
        first = int(np.searchsorted(self.dose_gy, dose_gy, side="left"))
        if first == 0:
            return self.covered_cc
        if first == self.dose_gy.size:
            return 0.0
        below, above = self.dose_gy[first - 1], self.dose_gy[first]
        if above == dose_gy:  # a plateau at this very dose counts whole
            return float(self._volume_above_cc[first] + self.sample_cc[first] / 2.0)
        part = (dose_gy - below) / (above - below)
        v_below, v_above = self._volume_above_cc[first - 1], self._volume_above_cc[first]
        return float(v_below + part * (v_above - v_below))

    def percent_at_dose(self, dose_gy: float) -> float:
        """Give VxGy in percent of the volume inside the dose grid."""
        return 100.0 * self.cc_at_dose(dose_gy) / self.covered_cc

    def geud_gy(self, a: float) -> float:
        """Give the generalized equivalent uniform dose (sum v_i D_i^a)^(1/a) (Niemierko 1999)."""
        self._require_samples()
        if a == 0 or not np.isfinite(a):
            raise StructureRefusal("geud-exponent", f"gEUD needs a finite exponent other than 0, got {a}.")
        weights = self.sample_cc / self.sample_cc.sum()
        # the hottest or coldest dose decides: in units of it no power overflows
        scale = self.max_gy if a > 0 else self.min_gy
        if scale == 0.0:
            return 0.0
        with np.errstate(divide="ignore"):
            return float(scale * np.sum(weights * (self.dose_gy / scale) ** a) ** (1.0 / a))

    def curve(self, volumes_percent: FloatArray) -> FloatArray:
        """Give D(v) in Gy at many volumes in percent."""
        self._require_samples()
        at_cc = np.asarray(volumes_percent, dtype=np.float64) / 100.0 * self.covered_cc
        return np.asarray(np.interp(at_cc, self._volume_above_cc[::-1], self.dose_gy[::-1]))
