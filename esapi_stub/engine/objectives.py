"""From the objectives of a plan to one function of the dose in the voxels that they look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import StructureRefusal
from bridge.rt.interpolation import trilinear_matrix
from esapi_stub.engine.patient import PlanningPatient
from esapi_stub.engine.penalties import GeudPenalty, LimitPenalty, MeanPenalty, Penalty, PointPenalty
from esapi_stub.planning import (
    GeudObjective,
    MeanObjective,
    NormalTissueObjective,
    PlannedObjective,
    PointObjective,
)

__all__ = ["AUTOMATIC_NORMAL_TISSUE", "DoseFunction", "Term", "dose_function", "fall_off_gy"]

AUTOMATIC_NORMAL_TISSUE = NormalTissueObjective(
    priority=1.0, automatic=True, distance_mm=5.0, start_percent=105.0, end_percent=40.0, fall_off_per_mm=0.05
)
"""What the engine takes where a planning system would choose: a guess of ours, without the priority."""


@dataclass(frozen=True, eq=False)
class View:
    """Where the objectives of one structure look at the dose.

    Attributes
    ----------
    voxels
        Positions among the voxels of the dose function.
    share
        Part of the structure in each voxel, or at each sample; sums to 1 over the whole structure.
    interpolation
        From the dose in the voxels to that at the samples; None where the voxels themselves are looked at.
    """

    voxels: NDArray[np.int64]
    share: FloatArray
    interpolation: sparse.csr_array | None = None

    def dose(self, dose_gy: FloatArray) -> FloatArray:
        """Give what the objectives see of the dose in the function's voxels."""
        there = dose_gy[self.voxels]
        return there if self.interpolation is None else np.asarray(self.interpolation @ there, dtype=np.float64)

    def slope(self, by_seen: FloatArray) -> FloatArray:
        """Give the derivatives by the dose in the view's voxels from those by what is seen."""
        return by_seen if self.interpolation is None else np.asarray(self.interpolation.T @ by_seen, dtype=np.float64)

    def part(self, kept: NDArray[np.bool_]) -> View:
        """Give the view of some of the voxels or samples, and of no others."""
        if self.interpolation is None:
            return View(self.voxels[kept], self.share[kept])
        matrix = self.interpolation[kept]
        seen = np.unique(matrix.indices).astype(np.int64)
        return View(self.voxels[seen], self.share[kept], matrix[:, seen])


@dataclass(frozen=True, eq=False)
class Term:
    """One objective: a penalty, its weight and its view of the dose.

    Attributes
    ----------
    roi_number
        The structure's; None for the normal tissue objective.
    penalty
        Of the dose that is seen.
    weight
        The priority.
    view
        One and the same for all objectives of a structure.
    """

    roi_number: int | None
    penalty: Penalty
    weight: float
    view: View


@dataclass(frozen=True, eq=False)
class DoseFunction:
    """The weighted sum of all penalties.

    Attributes
    ----------
    voxels
        Ascending: positions among the voxels of the body that any objective looks at. All others cannot matter.
    terms
        The objectives.
    """

    voxels: NDArray[np.int64]
    terms: tuple[Term, ...]

    @property
    def least_weight(self) -> float:
        """The lowest weight of a term."""
        return min(term.weight for term in self.terms)

    def __call__(self, dose_gy: FloatArray) -> tuple[float, FloatArray]:
        """Give value (Gy² times priority) and gradient by the dose in the function's voxels."""
        total, gradient = 0.0, np.zeros_like(dose_gy)
        for view, terms in self._by_view().items():
            seen = view.dose(dose_gy)
            slope = np.zeros_like(seen)
            for term in terms:
                value, of_term = term.penalty(seen, view.share)
                total += term.weight * value
                slope += term.weight * of_term
            gradient[view.voxels] += view.slope(slope)  # the voxels of a view are all different
        return total, gradient

    def parts(self, dose_gy: FloatArray) -> dict[int | None, float]:
        """Give the part of each structure by its number; that of the normal tissue objective is under None."""
        parts: dict[int | None, float] = {}
        for view, terms in self._by_view().items():
            seen = view.dose(dose_gy)
            for term in terms:
                value, _ = term.penalty(seen, view.share)
                parts[term.roi_number] = parts.get(term.roi_number, 0.0) + term.weight * value
        return parts

    def _by_view(self) -> dict[View, list[Term]]:
        found: dict[View, list[Term]] = {}
        for term in self.terms:
            found.setdefault(term.view, []).append(term)
        return found

    def counting(self, dose_gy: FloatArray, margin_gy: float) -> tuple[NDArray[np.bool_], ...]:
        """Tell for each view which voxels or samples count with this dose, or one that is so near."""
        found = []
        for view, terms in self._by_view().items():
            seen = view.dose(dose_gy)
            found.append(np.logical_or.reduce([term.penalty.counting(seen, margin_gy) for term in terms]))
        return tuple(found)

    def bend(self, dose_gy: FloatArray, margin_gy: float) -> FloatArray:
        """Give about the second derivative by the dose of each voxel, also of those within the margin of counting."""
        bend = np.zeros_like(dose_gy)
        for view, terms in self._by_view().items():
            seen = view.dose(dose_gy)
            for term in terms:
                bend[view.voxels] += view.slope(term.weight * term.penalty.bend(seen, view.share, margin_gy))
        return bend

    def part(self, kept: Sequence[NDArray[np.bool_]]) -> DoseFunction:
        """Give the function that looks only at some voxels or samples of each view.

        Where all others do not count, it has the same value and gradient.
        """
        found = []
        for (view, terms), here in zip(self._by_view().items(), kept, strict=True):
            if here.any():
                seen = view.part(here)
                seen = replace(seen, voxels=self.voxels[seen.voxels])
                found += [replace(term, penalty=term.penalty.part(here), view=seen) for term in terms]
        return _placed(found)

    def weighted(self, factors: Mapping[int | None, float]) -> DoseFunction:
        """Give the same function with the weights of some structures multiplied."""
        terms = (replace(term, weight=term.weight * factors.get(term.roi_number, 1.0)) for term in self.terms)
        return replace(self, terms=tuple(terms))


def dose_function(
    patient: PlanningPatient,
    objectives: Sequence[PlannedObjective],
    normal_tissue: NormalTissueObjective | None,
    prescription_gy: float,
) -> DoseFunction:
    """Turn objectives into a function of the dose.

    Parameters
    ----------
    patient
        On the dose grid.
    objectives
        Of structures that the patient has; a priority of 0 is no objective.
    normal_tissue
        Or None.
    prescription_gy
        100 % of the normal tissue objective where no target has an upper point.

    Raises
    ------
    StructureRefusal
        A structure is unknown or has no voxel in the body (``objective-structure``), or there is no objective
        (``no-objective``).
    """
    body = np.flatnonzero(patient.body)
    views: dict[int, View] = {}
    found: list[Term] = []
    for objective in objectives:
        if objective.priority > 0:
            number = objective.roi_number
            if number not in views:
                views[number] = _view_of(patient, number, body)
            found.append(Term(number, _penalty(objective), objective.priority, views[number]))
    if normal_tissue is not None and normal_tissue.priority > 0:
        voxels, distance_mm = _outside_targets(patient, body)
        limit_gy = fall_off_gy(normal_tissue, distance_mm, _highest_upper_gy(objectives, patient) or prescription_gy)
        share = np.full(len(voxels), 1.0 / len(voxels))
        found.append(Term(None, LimitPenalty(limit_gy), normal_tissue.priority, View(voxels, share)))
    if not found:
        raise StructureRefusal("no-objective", "An optimization needs an objective with a priority above 0.")
    return _placed(found)


def _placed(terms: Sequence[Term]) -> DoseFunction:
    """Give the function of terms whose views have positions among the voxels of the body."""
    views = list(dict.fromkeys(term.view for term in terms))
    used = reduce(np.union1d, [view.voxels for view in views], np.empty(0, dtype=np.int64))
    placed = {view: replace(view, voxels=np.searchsorted(used, view.voxels)) for view in views}
    return DoseFunction(used, tuple(replace(term, view=placed[term.view]) for term in terms))


def fall_off_gy(objective: NormalTissueObjective, distance_mm: FloatArray, full_gy: float) -> FloatArray:
    """Give the highest dose that a normal tissue objective allows at each distance from the targets.

    ``start`` up to the given distance, and from there ``start e^(-k x) + end (1 - e^(-k x))``: the form that the
    vendor's reference guide gives for a manual objective.
    """
    chosen = AUTOMATIC_NORMAL_TISSUE if objective.automatic else objective
    left = np.exp(-chosen.fall_off_per_mm * np.maximum(distance_mm - chosen.distance_mm, 0.0))
    return full_gy / 100.0 * (chosen.start_percent * left + chosen.end_percent * (1.0 - left))


def _penalty(objective: PlannedObjective) -> Penalty:
    match objective:
        case PointObjective():
            return PointPenalty(objective.operator, objective.dose_gy, objective.volume_percent)
        case MeanObjective():
            return MeanPenalty(objective.dose_gy)
        case GeudObjective():
            return GeudPenalty(objective.operator, objective.dose_gy, objective.a)


def _view_of(patient: PlanningPatient, roi_number: int, body: NDArray[np.int64]) -> View:
    """Give the view of a structure, with voxels as positions among those of the body."""
    if roi_number not in patient.masks:
        raise StructureRefusal("objective-structure", f"No structure has the number {roi_number}.", roi=roi_number)
    fraction = patient.masks[roi_number].ravel()[body].astype(np.float64)
    voxels = np.flatnonzero(fraction)
    if not len(voxels):
        raise StructureRefusal(
            "objective-structure", f"Structure {roi_number} has objectives and no voxel in the body.", roi=roi_number
        )
    return _sampled(patient, roi_number, body) or View(voxels, fraction[voxels] / fraction[voxels].sum())


def _sampled(patient: PlanningPatient, roi_number: int, body: NDArray[np.int64]) -> View | None:
    """Give the view at the samples that lie in voxels of the body; None where there are none."""
    samples = patient.samples.get(roi_number)
    if samples is None:
        return None
    index = patient.ct.grid.indices(samples.points_mm)
    nearest, last = np.rint(index).astype(np.int64), np.array(patient.body.shape) - 1
    inside = (nearest == nearest.clip(0, last)).all(axis=1)
    inside[inside] = patient.body[tuple(nearest[inside].T)]
    if not inside.any():
        return None
    matrix = trilinear_matrix(index[inside], patient.body.shape)[:, body]
    matrix.eliminate_zeros()
    seen = np.unique(matrix.indices).astype(np.int64)
    return View(seen, samples.sample_cc[inside] / samples.sample_cc[inside].sum(), matrix[:, seen])


def _outside_targets(patient: PlanningPatient, body: NDArray[np.int64]) -> tuple[NDArray[np.int64], FloatArray]:
    """Give the voxels of the body outside all targets, and their distances from them."""
    distance_mm = ndimage.distance_transform_edt(~patient.targets, sampling=patient.ct.grid.spacing_mm)
    beyond = np.asarray(distance_mm, dtype=np.float64).ravel()[body]
    voxels = np.flatnonzero(beyond > 0)
    # distances are between voxel centres; the border is half a voxel nearer
    return voxels, beyond[voxels] - min(patient.ct.grid.spacing_mm) / 2.0


def _highest_upper_gy(objectives: Sequence[PlannedObjective], patient: PlanningPatient) -> float | None:
    """Give the highest dose of an upper point of a structure that lies for the most part in the targets."""
    doses = [
        objective.dose_gy
        for objective in objectives
        if isinstance(objective, PointObjective) and objective.operator == "upper" and objective.priority > 0
        and _is_target(patient, objective.roi_number)
    ]  # fmt: skip
    return max(doses, default=None)


def _is_target(patient: PlanningPatient, roi_number: int) -> bool:
    mask = patient.masks[roi_number]
    return float(mask[patient.targets].sum()) > 0.5 * float(mask.sum())
