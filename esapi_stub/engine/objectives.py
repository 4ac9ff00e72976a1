"""From the objectives of a plan to one function of the dose in the voxels that they look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import StructureRefusal
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
class Term:
    """One objective: a penalty, its weight and its voxels.

    Attributes
    ----------
    roi_number
        The structure's; None for the normal tissue objective.
    penalty
        Of the dose in the voxels.
    weight
        The priority.
    voxels
        Positions among the voxels of the dose function.
    share
        Part of the structure in each of them; sums to 1.
    """

    roi_number: int | None
    penalty: Penalty
    weight: float
    voxels: NDArray[np.int64]
    share: FloatArray


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

    def __call__(self, dose_gy: FloatArray) -> tuple[float, FloatArray]:
        """Give value (Gy² times priority) and gradient by the dose in the function's voxels."""
        total, gradient = 0.0, np.zeros_like(dose_gy)
        for term in self.terms:
            value, slope = term.penalty(dose_gy[term.voxels], term.share)
            total += term.weight * value
            gradient[term.voxels] += term.weight * slope  # the voxels of a term are all different
        return total, gradient

    def parts(self, dose_gy: FloatArray) -> dict[int | None, float]:
        """Give the part of each structure by its number; that of the normal tissue objective is under None."""
        parts: dict[int | None, float] = {}
        for term in self.terms:
            value, _ = term.penalty(dose_gy[term.voxels], term.share)
            parts[term.roi_number] = parts.get(term.roi_number, 0.0) + term.weight * value
        return parts

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
    found: list[tuple[int | None, Penalty, float, NDArray[np.int64], FloatArray]] = []
    for objective in objectives:
        if objective.priority > 0:
            voxels, share = _voxels_of(patient, objective.roi_number, body)
            found.append((objective.roi_number, _penalty(objective), objective.priority, voxels, share))
    if normal_tissue is not None and normal_tissue.priority > 0:
        voxels, distance_mm = _outside_targets(patient, body)
        limit_gy = fall_off_gy(normal_tissue, distance_mm, _highest_upper_gy(objectives, patient) or prescription_gy)
        share = np.full(len(voxels), 1.0 / len(voxels))
        found.append((None, LimitPenalty(limit_gy), normal_tissue.priority, voxels, share))
    if not found:
        raise StructureRefusal("no-objective", "An optimization needs an objective with a priority above 0.")
    used = np.unique(np.concatenate([voxels for *_, voxels, _ in found]))
    terms = (Term(roi, penalty, weight, np.searchsorted(used, at), share) for roi, penalty, weight, at, share in found)
    return DoseFunction(used, tuple(terms))


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


def _voxels_of(
    patient: PlanningPatient, roi_number: int, body: NDArray[np.int64]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Give the voxels of a structure as positions among those of the body, and the share of each."""
    if roi_number not in patient.masks:
        raise StructureRefusal("objective-structure", f"No structure has the number {roi_number}.", roi=roi_number)
    fraction = patient.masks[roi_number].ravel()[body].astype(np.float64)
    voxels = np.flatnonzero(fraction)
    if not len(voxels):
        raise StructureRefusal(
            "objective-structure", f"Structure {roi_number} has objectives and no voxel in the body.", roi=roi_number
        )
    return voxels, fraction[voxels] / fraction[voxels].sum()


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
